// compare.js -- the rows of two jobs side by side, by row number: those that differ first.
import { useState } from "preact/hooks";
import { count } from "../lib/format.js";
import { useJobs } from "../lib/jobs.js";
import { go, route } from "../lib/route.js";
import { useRows, wholeRow } from "../lib/rowfeed.js";
import { Request, Response } from "../lib/talk.js";
import { Empty, Failure, Loading, html, useLoad } from "../lib/ui.js";
import { Downloads, RowList, RowLine, Status, errorOf } from "./rows.js";

function Pair({ job, other, index }) {
  const both = useLoad((signal) => Promise.all([wholeRow(job.name, index, signal), wholeRow(other.name, index, signal)]), [job.name, other.name, index]);
  if (both.error) return html`<${Failure} error=${both.error} retry=${both.reload} />`;
  if (!both.data) return html`<${Loading} />`;
  const [a, b] = both.data;
  const asked = a?.row.request ?? a?.input?.request ?? b?.row.request ?? b?.input?.request;
  const Side = ({ of, row }) => html`<section aria-label=${of.title}><h3>${of.title} · ${of.model}</h3>${row ? html`<${Status} of=${row.status} /><${Response} response=${row.row.response} error=${errorOf(row)} />` : html`<p class="help">It has no such row yet.</p>`}</section>`;
  return html`<article class="detail" aria-label=${`Row ${count(index)}`}><div class="detail-head"><h2>Row ${count(index)}</h2></div>
    <div class="sides"><${Side} of=${job} row=${a} /><${Side} of=${other} row=${b} /></div>
    ${asked !== undefined && html`<section><h3>Request</h3><${Request} request=${asked} /></section>`}</article>`;
}

function Both({ job, other, all }) {
  const { row } = route.value.query;
  const filter = all ? {} : { differsFrom: other.facts.id };
  const rows = useRows(job, filter, 3000);
  const set = (query) => go(["jobs", job.id], { ...route.value.query, ...query }, { replace: true });
  return html`${rows.error && html`<${Failure} error=${rows.error} />`}
    <p class="help" role="status">${rows.loading ? "Looking" : all ? `${count(rows.count)} rows` : `${count(rows.count)} of ${count(rows.total)} rows differ`}</p>
    ${!rows.loading && !rows.count && !rows.error && html`<${Empty} title=${all ? "The job has no rows yet" : "Every row has the same answer"} />`}
    ${rows.count > 0 && html`<div class="browser ${row !== undefined ? "open" : ""}">
      <${RowList} key=${JSON.stringify(filter)} label="Rows of both jobs" rows=${rows} chosen=${row} choose=${(index) => set({ row: index })} height=${64} line=${(r) => html`<${RowLine} row=${r} />`} />
      ${row !== undefined ? html`<${Pair} job=${job} other=${other} index=${row} />` : html`<div class="detail none"><p class="help">Choose a row to read both answers.</p></div>`}</div>`}`;
}

export function Compare({ job }) {
  const { jobs, loading, error } = useJobs();
  const [all, setAll] = useState(false);
  const { with: id } = route.value.query;
  const others = jobs.filter((j) => j.name !== job.name).sort((a, b) => (a.created < b.created ? 1 : -1));
  const other = others.find((j) => j.id === id);
  if (error && !jobs.length) return html`<${Failure} error=${error} />`;
  if (loading && !jobs.length) return html`<${Loading} />`;
  if (!others.length) return html`<${Empty} title="There is no other job to compare with" />`;
  return html`<div class="filters"><label class="with">Compare with<select value=${id || ""} onChange=${(e) => go(["jobs", job.id], { tab: "compare", with: e.target.value }, { replace: true })}>
      <option value="">Choose a job</option>${others.map((j) => html`<option value=${j.id}>${j.title} (${j.model}, ${count(j.facts.progress.total)} lines)</option>`)}</select></label>
      ${other && html`<div class="chip-row" role="group" aria-label="Show"><button class="chip" aria-pressed=${!all} onClick=${() => setAll(false)}>Rows that differ</button><button class="chip" aria-pressed=${all} onClick=${() => setAll(true)}>All rows</button></div>
      <${Downloads} job=${job} filter=${all ? {} : { differsFrom: other.facts.id }} />`}</div>
    ${other ? html`<${Both} key=${`${other.id} ${all}`} job=${job} other=${other} all=${all} />` : html`<p class="help">Rows are compared by their number, so both jobs should have the same input.</p>`}`;
}
