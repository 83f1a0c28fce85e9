// job.js -- one job: its progress now and over time, what it costs and saves, why lines failed, its rows, and how to do
// the same by command and code.
import { useEffect, useState } from "preact/hooks";
import { get, request, session } from "../lib/api.js";
import { clock, count, duration, percent, rate, state, usd } from "../lib/format.js";
import { nameOf, path, useJob } from "../lib/jobs.js";
import { listen, live, readEvents } from "../lib/live.js";
import { Plot } from "../lib/plot.js";
import { go, link, route } from "../lib/route.js";
import { Badge, Copy, Empty, Failure, Figure, Loading, Meter, Tabs, html, useLoad } from "../lib/ui.js";
import { Compare } from "./compare.js";
import { Actions } from "./jobs.js";
import { Rows } from "./rows.js";

const number = (n) => (n >= 1000 ? `${+(n / 1000).toFixed(1)}k` : String(+n.toFixed(1)));

function Figures({ job }) {
  const { progress: p, tokens: t = {}, cost = {}, saved = {}, eta, rates, queuePosition, inFlight, retries, structured } = job.facts;
  const s = state(job.state);
  const took = job.started && ((job.ended ? Date.parse(job.ended) : Date.now()) - Date.parse(job.started)) / 1000;
  const kept = (saved.duplicateTokens || 0) + (saved.sharedTokens || 0) + (saved.reusedTokens || 0);
  return html`<dl class="figure-grid">
    <${Figure} name="Answered" value=${count(p.succeeded)} note=${p.total ? `${percent(p.succeeded, p.total)} of ${count(p.total)} lines` : "the input is not read yet"} />
    <${Figure} name="Failed" value=${count(p.failed)} note=${[p.badLines ? `${count(p.badLines)} bad lines` : "", p.notRun ? `${count(p.notRun)} not run` : "", retries ? `${count(retries)} retries` : ""].filter(Boolean).join(", ") || "no bad lines"} />
    ${s.final || s.name === "PAUSED" ? html`<${Figure} name="Time" value=${took ? duration(took) : "–"} note=${job.ended ? `ended ${clock(job.ended)}` : "so far"} />`
      : s.name === "QUEUED" ? html`<${Figure} name="Queue" value=${queuePosition === undefined ? "–" : queuePosition === 0 ? "next" : `${count(queuePosition)} before`} note="of jobs for this model" />`
      : html`<${Figure} name="Time left" value=${eta ? duration(eta.seconds) : "–"} note=${eta ? `${duration(eta.low)} to ${duration(eta.high)} with 90 %` : "not known yet"} />`}
    ${rates && html`<${Figure} name="Rate" value=${`${rate(rates.linesPerSecond)}/s`} note=${`${count(inFlight)} in flight, ${count(rates.promptTokensPerSecond + rates.generatedTokensPerSecond)} tokens/s`} />`}
    <${Figure} name="Tokens" value=${count((t.prompt || 0) + (t.generated || 0) + (t.thoughts || 0))} note=${`${count(t.prompt)} in, ${count(t.generated)} out${t.thoughts ? `, ${count(t.thoughts)} thoughts` : ""}${t.forced ? `, ${count(t.forced)} forced` : ""}`} />
    <${Figure} name="Cost" value=${usd(cost.soFarUsd)} note=${`${cost.estimatedUsd && !s.final ? `of about ${usd(cost.estimatedUsd)}, ` : ""}${usd(cost.onlineUsd)} online`} />
    <${Figure} name="Saved tokens" value=${count(kept)} note=${`${count(saved.sharedTokens)} of reused prefixes, ${count(saved.duplicateTokens)} of ${count(saved.duplicateLines)} duplicates${saved.reusedLines !== undefined ? `, ${count(saved.reusedTokens)} of kept answers` : ""}`} />
    ${structured && html`<${Figure} name="Complete answers" value=${percent(structured.complete, structured.answers)} note=${`of ${count(structured.answers)} with a schema`} />`}
  </dl>`;
}

// Rates over time. Of a job that runs: those since the page was opened, and before them how many of the rows that are
// written ended when. Of another: the latter.
function Course({ job, samples, timeline, written }) {
  const running = state(job.state).name === "RUNNING";
  const lively = running && samples.length > 1;
  const { succeeded = 0, failed: bad = 0 } = job.facts.progress;
  // Rows are written in the order of the input: behind an open line many may be missing, and the past would look slow.
  const known = !running || written >= 0.9 * (succeeded + bad);
  const line = timeline && known && timeline.answered.length >= 5 ? timeline : null;
  if (!line && !lively) return null;
  const per = line?.seconds || 1;
  const start = line ? Date.parse(line.start) / 1000 : 0;
  const until = lively ? samples[0].time - 2 * per : Infinity;
  const past = line ? line.answered.map((_, i) => i).filter((i) => start + i * per < until) : [];
  const now = lively ? samples : [];
  const times = [...past.map((i) => start + i * per), ...now.map((s) => s.time)];
  const lines = [...past.map((i) => line.answered[i] / per), ...now.map((s) => s.rates.linesPerSecond)];
  const tokens = [...past.map((i) => line.tokens[i] / per), ...now.map((s) => s.rates.generatedTokensPerSecond)];
  const failed = past.map((i) => line.failed[i] / per);
  const mean = (s) => (s.rates.linesPerSecond > 0 ? s.inFlight / s.rates.linesPerSecond : null);
  const last = samples[samples.length - 1];
  const words = (values) => (lively ? `now ${number(values[values.length - 1])}` : `peak ${number(Math.max(...values))}`);
  return html`<div class="plots" role="region" aria-label="Over time">
    <${Plot} title="Lines per second" times=${times} format=${number} text=${words(lines)}
      lines=${[{ name: "answered", colour: "accent", fill: true, values: lines }, ...(failed.some(Boolean) && !lively ? [{ name: "failed", colour: "bad", values: failed }] : [])]} />
    <${Plot} title="Output tokens per second" times=${times} format=${number} text=${words(tokens)} lines=${[{ name: "tokens", colour: "live", fill: true, values: tokens }]} />
    ${lively && html`<${Plot} title="Latency, seconds" times=${samples.map((s) => s.time)} format=${number}
      lines=${[{ name: "seconds", colour: "accent", values: samples.map(mean) }]} text=${mean(last) === null ? "" : `now ${mean(last).toFixed(2)} s`} />
    <${Plot} title="Requests in flight" times=${samples.map((s) => s.time)} format=${number}
      lines=${[{ name: "in flight", colour: "live", values: samples.map((s) => s.inFlight) }]} text=${`now ${count(last.inFlight)}`} />`}
  </div>`;
}

function Causes({ job, facets }) {
  if (!facets?.causes.length) return null;
  return html`<section class="panel"><h2>Why lines failed</h2><ul class="causes">${facets.causes.map((c) => html`<li>
    <div class="cause-head"><b>${count(c.count)} ${c.status === "notRun" ? "not run" : c.count === "1" ? "line" : "lines"}</b>
      <a href=${link(["jobs", job.id], { tab: "results", cause: c.cause })}>Show them</a></div>
    <p class="message">${c.message}</p>
    <small>Such as row ${c.rows.map((n, i) => html`${i ? ", " : ""}<a href=${link(["jobs", job.id], { tab: "results", row: n })}>${count(n)}</a>`)}</small></li>`)}</ul>
    ${Number(facets.otherCauses) > 0 && html`<p class="help">${count(facets.otherCauses)} more have other causes.</p>`}</section>`;
}

function Upstreams({ list }) {
  if (!list?.length) return null;
  return html`<section class="panel"><h2>Upstream servers</h2><div class="wide"><table><thead><tr><th>Name</th><th>Health</th><th class="number">In flight</th><th class="number">Requests/s</th><th class="number">Tokens/s</th><th class="number">Latency</th></tr></thead>
    <tbody>${list.map((u) => html`<tr><td>${u.name}</td><td><span class="badge ${u.health === "healthy" ? "good" : "warn"}">${u.health}</span></td><td class="number">${count(u.inFlight)} of ${count(u.concurrency)}</td>
      <td class="number">${rate(u.requestsPerSecond)}</td><td class="number">${count(u.tokensPerSecond)}</td><td class="number">${u.latencySeconds.toFixed(2)} s</td></tr>`)}</tbody></table></div></section>`;
}

function Overview({ job, samples }) {
  const final = state(job.state).final;
  // Once every few seconds while rows come; a table's rows are elsewhere.
  const rows = useLoad((signal) => get(`${path(job.name)}:rows?count=1&facets=true&timeline=true`, { signal }).catch((e) => (e.status === 400 ? {} : Promise.reject(e))),
    [job.name, job.state], final ? 0 : 4000);
  const { progress: p } = job.facts;
  return html`<section class="panel lead"><div class="lead-line"><${Badge} of=${job.state} /><b>${p.total ? percent(p.succeeded + p.failed, p.total) : ""}</b>
      <span>${p.total ? `${count(p.succeeded + p.failed)} of ${count(p.total)} lines` : "The input is being read."}</span></div>
      <${Meter} done=${p.succeeded} failed=${p.failed} total=${p.total} label="Progress" />
      ${job.facts.pauseReason && html`<p class="notice warn">${job.facts.pauseReason === "asked" ? "A user has paused it." : job.facts.pauseReason}</p>`}
      ${job.error && html`<p class="notice bad">${job.error}</p>`}
      <${Figures} job=${job} /></section>
    <${Course} job=${job} samples=${samples} timeline=${rows.data?.timeline} written=${Number(rows.data?.total || 0)} />
    <${Causes} job=${job} facets=${rows.data?.facets} />
    <${Upstreams} list=${job.facts.upstreams} />`;
}

// ---- Configuration, code, events ----

function quoted(text) {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

// A value as Python writes it.
function python(v) {
  if (Array.isArray(v)) return `[${v.map(python).join(", ")}]`;
  if (v && typeof v === "object") return `{${Object.entries(v).map(([k, x]) => `${JSON.stringify(k)}: ${python(x)}`).join(", ")}}`;
  return v === true ? "True" : v === false ? "False" : v === null ? "None" : JSON.stringify(v);
}

// The same job by the command and by Google's client. Texts are written as JSON, which Python reads too.
function code(job) {
  const raw = job.raw;
  const { requestId, ...o } = job.facts.options || {}; // with its id it would be this job again
  const server = location.origin;
  const input = raw.inputConfig?.gcsSource?.uris?.[0] || raw.inputConfig?.bigquerySource?.inputUri || "requests.jsonl";
  const output = raw.outputConfig?.gcsDestination?.outputUriPrefix || raw.outputConfig?.bigqueryDestination?.outputUri;
  const options = [
    ["--model", job.model], ["--name", job.title], ["--budget-usd", o.budget?.usd], ["--budget-tokens", o.budget?.tokens], ["--max-error-rate", o.maxErrorRate],
    ["--priority", o.priority],
  ].filter(([, v]) => v !== undefined).map(([k, v]) => `${k} ${quoted(String(v))}`);
  if (o.strict) options.push("--strict");
  const cli = [`tranche submit ${quoted(input)}`, ...options, ...(output ? [`--output ${quoted(output)}`] : []), `--server ${server}`].join(" \\\n    ");
  const body = Object.keys(o).length ? `,\n                                    "http_options": {"extra_body": {"tranche": ${python(o)}}}` : "";
  const text = JSON.stringify;
  const config = job.batch ? `{"display_name": ${text(job.title)}}` : `{"display_name": ${text(job.title)}, "dest": ${text(output || "")}${body}}`;
  const client = job.batch ? `client = genai.Client(api_key="YOUR_KEY", http_options={"base_url": ${text(server)}})`
    : `client = genai.Client(vertexai=True, api_key="YOUR_KEY", project=${text(session.value.project)}, location=${text(session.value.location)},\n                      http_options={"base_url": ${text(server)}})`;
  const source = job.batch ? `client.files.upload(file="requests.jsonl", config={"mime_type": "application/jsonl"}).name` : text(input);
  const program = `import time\nfrom google import genai\n\n${client}\njob = client.batches.create(model=${text(job.model)}, src=${source},\n                            config=${config})\nwhile not job.done:\n    time.sleep(2)\n    job = client.batches.get(name=job.name)\nprint(job.state)\n`;
  return [["Command", cli], ["Python", program], ["Follow it", `tranche watch ${job.batch ? job.name : job.id} --server ${server}\ntranche results ${job.batch ? job.name : job.id} --server ${server} > results.jsonl`]];
}

// The events of a job since its creation, and those that come.
function useEvents(name) {
  const [events, set] = useState([]);
  useEffect(() => {
    const control = new AbortController();
    let timer;
    const add = (e) => set((all) => (all.some((x) => x.time === e.time && x.state === e.state) ? all : [...all, e].sort((a, b) => (a.time < b.time ? -1 : 1))));
    // The stream of a job that goes on does not end: what was before comes at once.
    const later = () => {
      clearTimeout(timer);
      timer = setTimeout(() => control.abort(), 1500);
    };
    request(`${path(name)}:events`, { signal: control.signal, headers: { "last-event-id": "0" } })
      .then((response) => (later(), readEvents(response, ({ event, data }) => event === "job" && (later(), add(JSON.parse(data)))))).catch(() => {});
    const stop = listen((e) => e.kind === "state" && e.job === name && add(e));
    return () => {
      stop();
      clearTimeout(timer);
      control.abort();
    };
  }, [name]);
  return events;
}

function Details({ job }) {
  const events = useEvents(job.name);
  const shown = job.batch ? job.raw.metadata : job.raw;
  const { tranche, ...config } = shown;
  const text = JSON.stringify({ ...config, ...(tranche && { tranche: { options: tranche.options } }) }, null, 2);
  return html`<div class="halves"><section class="panel"><h2>The same again</h2>${code(job).map(([name, lines]) => html`<div class="code"><div class="code-head"><b>${name}</b><${Copy} text=${lines} name=${`Copy ${name === "Command" ? "command" : name === "Python" ? "Python" : "commands"}`} /></div><pre tabindex="0">${lines}</pre></div>`)}</section>
    <section class="panel"><h2>Events</h2><ol class="timeline">${events.map((e, i) => html`<li><${Badge} of=${e.state} /><time datetime=${e.time}>${new Date(e.time).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" })}</time>
      <small>${i ? `after ${duration((Date.parse(e.time) - Date.parse(events[i - 1].time)) / 1000)}` : "created"}</small></li>`)}</ol>${!events.length && html`<p class="help">Loading the events.</p>`}</section>
    <section class="panel whole"><div class="code"><div class="code-head"><h2>Configuration</h2><${Copy} text=${text} name="Copy configuration" /></div><pre tabindex="0">${text}</pre></div></section></div>`;
}

// ---- The page ----

export function Job({ id }) {
  const name = nameOf(id);
  const { job, error, loading, samples } = useJob(name);
  const { tab = "overview" } = route.value.query;
  useEffect(() => {
    if (job) document.title = `${job.title} · tranche`;
  }, [job?.title]);
  if (loading) return html`<${Loading} />`;
  if (!job && error?.status === 404) return html`<${Empty} title="There is no such job"><p>It may have been deleted. <a href="#/jobs">All jobs</a></p></${Empty}>`;
  if (!job) return html`<${Failure} error=${error} />`;
  const parts = [["overview", "Overview"], ["results", "Results"], ["compare", "Compare"], ["details", "Code and events"]];
  return html`<nav class="back" aria-label="Way here"><a href="#/jobs">Jobs</a></nav>
    <div class="page-head"><div><h1>${job.title}</h1><p class="help">${job.model} · created ${clock(job.created)} · <span class="mono">${job.id}</span></p></div>
      <div class="head-actions">${live.value === "broken" && html`<span class="badge warn" role="status">the service is away; trying again</span>`}<${Actions} jobs=${[job]} done=${(what) => what === "delete" && go(["jobs"])} /></div></div>
    <${Tabs} current=${tab} items=${parts.map(([t, word]) => [t, word, link(["jobs", id], { tab: t === "overview" ? "" : t })])} />
    ${error && html`<${Failure} error=${error} />`}
    ${tab === "results" ? html`<${Rows} job=${job} />` : tab === "compare" ? html`<${Compare} job=${job} />` : tab === "details" ? html`<${Details} job=${job} />` : html`<${Overview} job=${job} samples=${samples} />`}`;
}
