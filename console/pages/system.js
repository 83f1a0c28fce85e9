// system.js -- the service itself: version, room, throughput, what works and what waits, upstream servers.
import { get, session } from "../lib/api.js";
import { ago, bytes, count, duration, rate, state } from "../lib/format.js";
import { rates, sum, useMetrics, values } from "../lib/metrics.js";
import { Spark } from "../lib/spark.js";
import { Empty, Failure, Figure, Loading, html, useLoad } from "../lib/ui.js";

const tones = { healthy: "good", paused: "warn", open: "bad", "given up": "bad", probed: "warn" };
const a = (n) => `${rate(n)}/s`;

// The part of the configured limits that the process which answers may use now.
const shareOf = (s) => ["requestsPerMinute", "tokensPerMinute"].filter((k) => s[k] !== undefined)
  .map((k) => `${count(Math.round(s[k]))} ${k === "requestsPerMinute" ? "requests" : "tokens"}/min`).join(", ") || (s.concurrency ? "" : "no part of its limits");

function Upstreams() {
  const load = useLoad((signal) => get("/tranche/v1/upstreams", { signal }), [], 4000);
  const all = load.data?.upstreams || [];
  if (load.error && !load.data) return html`<${Failure} error=${load.error} retry=${load.reload} />`;
  if (!load.data) return html`<${Loading} />`;
  if (!all.length) return html`<p class="help">None is configured: models answer on this machine.</p>`;
  return html`<div class="scroll"><table><thead><tr><th>Server</th><th>Health</th><th class="number">In flight</th><th class="number">Requests/s</th>
    <th class="number">Tokens/s</th><th class="number">Latency</th><th class="number">Answered</th><th class="number">Failed</th></tr></thead>
    <tbody>${all.map((u) => html`<tr key=${u.name}><td>${u.name}${u.url && html`<small class="block">${u.url}</small>`}</td>
      <td><span class="badge ${tones[u.health] || "quiet"}">${u.health}</span>${u.lastError && html`<small class="block">${u.lastError} (${ago(u.lastErrorTime)})</small>`}</td>
      <td class="number">${u.inFlight} of ${u.concurrency}${u.share && html`<small class="block">${shareOf(u.share)}</small>`}</td><td class="number">${rate(u.requestsPerSecond)}</td><td class="number">${rate(u.tokensPerSecond)}</td>
      <td class="number">${u.latencySeconds ? `${u.latencySeconds.toFixed(2)} s` : ""}</td><td class="number">${count(u.answered)}</td>
      <td class="number">${count(Number(u.failed) + Number(u.overload))}</td></tr>`)}</tbody></table></div>`;
}

// Which processes share the store; nothing when this one has it alone.
function Processes() {
  const load = useLoad((signal) => get("/tranche/v1/fleet", { signal }), [], 4000);
  const fleet = load.data;
  if (load.error && !fleet) return html`<section aria-labelledby="processes"><h2 id="processes">Processes</h2><${Failure} error=${load.error} retry=${load.reload} /></section>`;
  if (!fleet?.shared) return null;
  const left = (p) => (new Date(p.leaseEndTime) - Date.now()) / 1000;
  return html`<section aria-labelledby="processes"><h2 id="processes">Processes</h2>
    ${!fleet.leaseHeld && html`<p class="notice bad" role="alert">This process holds no lease: it answers calls, and works on no job until it reaches the database again.</p>`}
    <p class="help">They share one database and one bucket. Each works on jobs, and what one that ends was working on goes to the others. The figures above are of process ${fleet.process}, which answers this page.</p>
    <div class="scroll"><table><thead><tr><th>Process</th><th>Version</th><th>Since</th><th>Lease</th><th class="number">Shards</th></tr></thead>
    <tbody>${fleet.processes.map((p) => html`<tr key=${p.process}><th scope="row">${p.name || p.process}${p.name && html`<small class="block">process ${p.process}</small>`}</th>
      <td>${p.version}</td><td>${ago(p.joinTime)}</td>
      <td><span class="badge ${left(p) > 0 ? "good" : "bad"}">${left(p) > 0 ? "held" : "ended"}</span>${p.process === fleet.process ? html` <small>this one</small>` : ""}</td>
      <td class="number">${count(p.shards)}</td></tr>`)}</tbody></table></div></section>`;
}

const limits = [
  ["Line of an input", "32 MiB", "as JSON"], ["Answer", "64 MiB", "of one request"], ["Files of one job", "10,000", "any number of lines"],
  ["Inline batch", "20 MiB", "larger ones come from a file or a table"], ["Object", "5 TiB", "an upload goes on after a break"],
  ["Unfinished upload", "7 days", "then it is deleted"], ["Gemini file", "48 hours", "then it is deleted"],
];

export function System() {
  const { now, samples, error } = useMetrics();
  if (!now) return html`<h1>System</h1>${error ? html`<${Failure} error=${error} />` : html`<${Loading} />`}`;
  const one = (name) => sum(now, name);
  const jobs = now.get("tranche_jobs") || [];
  const running = jobs.filter((j) => state(j.labels.state).name === "RUNNING").reduce((n, j) => n + j.value, 0);
  const ended = (now.get("tranche_jobs_ended_total") || []).filter((j) => j.value);
  const calls = (now.get("tranche_http_requests_total") || []).filter((c) => c.value);
  const free = one("tranche_state_free_bytes");
  return html`<h1>System</h1>
    ${error && html`<${Failure} error=${error} />`}
    <dl class="figures">
      <${Figure} name="Version" value=${session.value.version} note=${`up ${duration(Date.now() / 1000 - one("process_start_time_seconds"))}`} />
      <${Figure} name="Free on disk" value=${bytes(free)} note=${free < 1e9 ? "nearly full: jobs will be refused" : "of the state folder"} />
      <${Figure} name="Memory" value=${bytes(one("process_max_resident_memory_bytes"))} note="most so far" />
      <${Figure} name="CPU time" value=${duration(one("process_cpu_seconds_total"))} note="since the start" />
      <${Figure} name="Connections" value=${count(one("tranche_http_connections"))} note=${`${count(one("tranche_event_streams"))} event streams`} />
      <${Figure} name="Jobs" value=${count(running)} note=${`running; ${count(jobs.reduce((n, j) => n + j.value, 0) - running)} wait`} />
    </dl>
    <section aria-labelledby="throughput"><h2 id="throughput">Throughput</h2><div class="sparks">
      <${Spark} title="Lines answered" points=${rates(samples, "lines")} say=${a} />
      <${Spark} title="Tokens generated" points=${rates(samples, "tokens")} say=${a} />
      <${Spark} title="HTTP calls" points=${rates(samples, "calls")} say=${a} />
      <${Spark} title="Requests in flight" points=${values(samples, "inFlight")} say=${count} />
      <${Spark} title="Requests waiting" points=${values(samples, "waiting")} say=${count} />
      <${Spark} title="CPU cores in use" points=${rates(samples, "cpu")} say=${(n) => n.toFixed(n < 0.1 ? 2 : n < 10 ? 1 : 0)} />
    </div></section>
    <section aria-labelledby="servers"><h2 id="servers">Upstream servers</h2><${Upstreams} /></section>
    <${Processes} />
    <div class="two">
      <section aria-labelledby="counts"><h2 id="counts">Since the start</h2>${ended.length || calls.length ? html`<div class="scroll"><table><tbody>
        ${ended.map((e) => html`<tr><th scope="row">Jobs ${state(e.labels.state).word}</th><td class="number">${count(e.value)}</td></tr>`)}
        ${calls.map((c) => html`<tr><th scope="row">Calls answered ${c.labels.code}</th><td class="number">${count(c.value)}</td></tr>`)}
        </tbody></table></div>` : html`<${Empty} title="Nothing yet" />`}</section>
      <section aria-labelledby="limits"><h2 id="limits">Limits</h2><div class="scroll"><table><tbody>
        ${limits.map(([name, value, note]) => html`<tr><th scope="row">${name}</th><td>${value}<small class="block">${note}</small></td></tr>`)}
        <tr><th scope="row">Open files</th><td>${count(one("process_max_fds"))}<small class="block">limit of the process</small></td></tr></tbody></table></div></section>
    </div>`;
}
