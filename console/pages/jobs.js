// jobs.js -- all jobs of the project, live: found, sorted, and steered one or several at once.
import { useEffect, useMemo, useState } from "preact/hooks";
import "../jobs.css";
import { may } from "../lib/api.js";
import { ago, clock, count, duration, percent, rate, state, usd } from "../lib/format.js";
import { actions, useJobs } from "../lib/jobs.js";
import { live } from "../lib/live.js";
import { VirtualList } from "../lib/list.js";
import { go, link, route } from "../lib/route.js";
import { Sample } from "../lib/sample.js";
import { Badge, Empty, Failure, Loading, Meter, html, sure, tell } from "../lib/ui.js";
import { Job } from "./job.js";

const groups = {
  all: ["All", () => true],
  active: ["Active", (s) => !s.final && s.name !== "PAUSED"],
  paused: ["Paused", (s) => s.name === "PAUSED"],
  succeeded: ["Succeeded", (s) => s.name.endsWith("SUCCEEDED")],
  failed: ["Failed", (s) => ["FAILED", "EXPIRED", "PARTIALLY_SUCCEEDED"].includes(s.name)],
  cancelled: ["Cancelled", (s) => s.name.startsWith("CANCEL")],
};

const share = (job) => (job.facts.progress.total ? (job.facts.progress.succeeded + job.facts.progress.failed) / job.facts.progress.total : 0);
const columns = [
  // id, name, what it sorts by, how it begins when it is chosen
  ["title", "Job", (j) => j.title.toLowerCase(), 1],
  ["state", "State", (j) => state(j.state).word, 1],
  ["progress", "Progress", share, -1],
  ["failed", "Failed", (j) => j.facts.progress.failed || 0, -1],
  ["cost", "Cost", (j) => j.facts.cost?.soFarUsd || 0, -1],
  ["created", "Created", (j) => j.created || "", -1],
];

// "1,200 lines/s, 3 min left"; "2nd in the queue".
function pace(job) {
  const { eta, rates, queuePosition, pauseReason } = job.facts;
  const s = state(job.state).name;
  if (s === "RUNNING" && rates) return `${rate(rates.linesPerSecond)} lines/s${eta ? `, ${duration(eta.seconds)} left` : ""}`;
  if (s === "QUEUED" && queuePosition !== undefined) return queuePosition ? `${count(queuePosition)} before it` : "next in the queue";
  if (s === "PAUSED") return !pauseReason || pauseReason === "asked" ? "paused by a user" : pauseReason;
  if (job.facts.progress.notRun) return `${count(job.facts.progress.notRun)} not run`;
  if (job.started && job.ended) return `took ${duration((Date.parse(job.ended) - Date.parse(job.started)) / 1000)}`;
  return "";
}

function Row({ job, chosen, choose }) {
  const p = job.facts.progress;
  return html`<div class="jobs-row" role="row" aria-selected=${chosen}>
    <div role="cell" class="pick">${may("user") && html`<input type="checkbox" aria-label=${`Choose ${job.title}`} checked=${chosen} onChange=${choose} />`}</div>
    <div role="cell" class="name"><a href=${link(["jobs", job.id])}>${job.title}</a><small>${job.model}${job.batch ? " · Gemini API" : ""}</small></div>
    <div role="cell" class="state"><${Badge} of=${job.state} /></div>
    <div role="cell" class="progress"><${Meter} done=${p.succeeded} failed=${p.failed} total=${p.total} label=${`Progress of ${job.title}`} />
      <small><b>${p.total ? `${percent(p.succeeded + p.failed, p.total)} of ${count(p.total)}` : "not read yet"}</b> ${pace(job)}</small></div>
    <div role="cell" class="number failed ${p.failed ? "bad" : ""}">${count(p.failed)}</div>
    <div role="cell" class="number cost">${usd(job.facts.cost?.soFarUsd)}</div>
    <div role="cell" class="number created"><time datetime=${job.created} title=${clock(job.created)}>${ago(job.created)}</time></div>
  </div>`;
}

async function act(id, jobs, done) {
  const action = actions[id];
  const fitting = jobs.filter(action.fits);
  const many = fitting.length === 1 ? `“${fitting[0].title}”` : `${fitting.length} jobs`;
  if (action.sure && !(await sure(`${action.word} ${many}?`, action.word))) return;
  let failed;
  let ended = 0;
  // A few at a time: a browser has six connections.
  const left = [...fitting];
  await Promise.all([0, 1, 2].map(async () => {
    for (let job; (job = left.pop()); ) {
      try {
        await action.run(job);
        ended++;
      } catch (error) {
        failed = error;
      }
    }
  }));
  if (ended) tell(`${ended === 1 ? "1 job" : `${ended} jobs`} ${action.done}.`, "good");
  if (failed) tell(failed.message, "bad");
  done?.(id);
}

// The buttons for these jobs; an action that fits none of them is not shown.
export function Actions({ jobs, done, small = false }) {
  if (!may("user")) return null;
  return Object.entries(actions).filter(([, a]) => jobs.some(a.fits)).map(([id, a]) =>
    html`<button class="${small ? "small" : ""} ${a.sure ? "careful" : ""}" onClick=${() => act(id, jobs, done)}>${a.word}${jobs.length > 1 ? ` (${jobs.filter(a.fits).length})` : ""}</button>`);
}

function JobList() {
  const { jobs, loading, error, reload } = useJobs();
  const { show = "all", search = "", sort = "created", down } = route.value.query;
  const [chosen, setChosen] = useState(() => new Set());
  const set = (query) => go(["jobs"], { ...route.value.query, ...query }, { replace: true });
  const group = groups[show] ? show : "all";
  const [, , by, begin] = columns.find(([id]) => id === sort) || columns[5];
  const way = down === undefined ? begin : down === "1" ? -1 : 1;

  const counts = useMemo(() => Object.fromEntries(Object.entries(groups).map(([id, [, has]]) => [id, jobs.filter((j) => has(state(j.state))).length])), [jobs]);
  const found = useMemo(() => {
    const words = search.toLowerCase().split(/\s+/).filter(Boolean);
    const text = (j) => `${j.title} ${j.model} ${j.id} ${state(j.state).word} ${Object.entries(j.labels).map(([k, v]) => `${k}:${v}`).join(" ")}`.toLowerCase();
    return jobs.filter((j) => groups[group][1](state(j.state)) && words.every((w) => text(j).includes(w)))
      .sort((a, b) => {
        const [x, y] = [by(a), by(b)];
        return way * (x < y ? -1 : x > y ? 1 : 0) || (a.created < b.created ? 1 : -1);
      });
  }, [jobs, group, search, sort, down]);
  const picked = found.filter((j) => chosen.has(j.name));
  // Times such as "2 min ago" move on.
  const [, tick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => tick((n) => n + 1), 15_000);
    return () => clearInterval(timer);
  }, []);

  const choose = (name) => setChosen((before) => {
    const next = new Set(before);
    if (!next.delete(name)) next.add(name);
    return next;
  });
  const head = html`<div class="jobs-row head" role="row">
    <div role="columnheader" class="pick">${may("user") && html`<input type="checkbox" aria-label="Choose all jobs shown" checked=${picked.length > 0 && picked.length === found.length}
      onChange=${() => setChosen(picked.length === found.length ? new Set() : new Set(found.map((j) => j.name)))} />`}</div>
    ${columns.map(([id, name]) => html`<div role="columnheader" class="${id} ${["failed", "cost", "created"].includes(id) ? "number" : ""}" aria-sort=${id === sort ? (way > 0 ? "ascending" : "descending") : undefined}>
      <button class="sort" onClick=${() => set({ sort: id, down: id === sort ? (way > 0 ? "1" : "0") : undefined })}>${name}<span aria-hidden="true">${id === sort ? (way > 0 ? " ↑" : " ↓") : ""}</span></button></div>`)}
  </div>`;

  return html`<div class="page-head"><h1>Jobs</h1>${live.value === "broken" && html`<span class="badge warn" role="status">the service is away; trying again</span>`}</div>
    <div class="filters">
      <div class="chip-row" role="group" aria-label="Show">${Object.entries(groups).map(([id, [name]]) =>
        html`<button class="chip" aria-pressed=${id === group} onClick=${() => set({ show: id === "all" ? undefined : id })}>${name} <span>${count(counts[id])}</span></button>`)}</div>
      <input type="search" aria-label="Search jobs" placeholder="Name, model, label, number" value=${search} onInput=${(e) => set({ search: e.target.value })} />
    </div>
    <div class="bulk" role="region" aria-label="Chosen jobs" hidden=${!picked.length}>${picked.length > 0 && html`<b>${count(picked.length)} chosen</b>
      <${Actions} jobs=${picked} done=${(id) => id === "delete" && reload()} />
      <button class="plain" onClick=${() => setChosen(new Set())}>Choose none</button>`}</div>
    ${error && html`<${Failure} error=${error} retry=${reload} />`}
    ${!jobs.length && loading && html`<${Loading} />`}
    ${!jobs.length && !loading && !error && html`<${Empty} title="No jobs yet"><p>A job takes a file or a table of requests${may("user") && html`: <a href="#/new">make one</a>, or hand one over with`}</p>
      <p><code>tranche submit requests.jsonl</code></p><${Sample} /></${Empty}>`}
    ${jobs.length > 0 && !found.length && html`<${Empty} title="No job matches"><p><button onClick=${() => set({ search: undefined, show: undefined })}>Show all jobs</button></p></${Empty}>`}
    ${found.length > 0 && html`<${VirtualList} className="jobs-list" role="table" aria-label="Jobs" aria-rowcount=${found.length + 1} count=${found.length} height=${innerWidth < 700 ? 104 : 56} head=${head}
      row=${(i) => html`<${Row} job=${found[i]} chosen=${chosen.has(found[i].name)} choose=${() => choose(found[i].name)} />`} />`}`;
}

export function Jobs() {
  const [, id] = route.value.path;
  return html`<div class="of-jobs">${id ? html`<${Job} key=${id} id=${id} />` : html`<${JobList} />`}</div>`;
}
