// rows.js -- the results browser: the rows of a job, also while it runs, and one of them at a time as a conversation.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { get, may, session } from "../lib/api.js";
import { tablePath, tableRows } from "../lib/bq.js";
import { clock, count, state } from "../lib/format.js";
import { Grid } from "../lib/grid.js";
import { path } from "../lib/jobs.js";
import { VirtualList } from "../lib/list.js";
import { Bars } from "../lib/plot.js";
import { go, link, route } from "../lib/route.js";
import { fileUrl, useRows, wholeRow } from "../lib/rowfeed.js";
import { save } from "../lib/save.js";
import { Request, Response } from "../lib/talk.js";
import { Copy, Empty, Failure, Loading, attempt, html, useLoad } from "../lib/ui.js";

const words = { answered: ["answered", "good"], failed: ["failed", "bad"], notRun: ["not run", "quiet"] };
export const Status = ({ of }) => html`<span class="badge ${words[of]?.[1]}">${words[of]?.[0]}</span>`;

// The error of a row as people read it.
export const errorOf = (row) => (row.status === "answered" ? "" : row.error || "It failed.");

export function RowDetail({ job, index, close, order }) {
  const [json, setJson] = useState(false);
  const one = useLoad((signal) => wholeRow(job.name, index, signal, order), [job.name, index, order]);
  const row = one.data;
  if (one.error) return html`<${Failure} error=${one.error} retry=${one.reload} />`;
  if (!row) return html`<${Loading} />`;
  const input = row.row.request ?? row.input?.request ?? row.input;
  const text = JSON.stringify(row.row, null, 2);
  const inputText = row.row.request === undefined && row.input !== undefined ? JSON.stringify(row.input, null, 2) : JSON.stringify(input ?? null, null, 2);
  return html`<article class="detail" aria-label=${`Row ${count(index)}`}>
    <div class="detail-head"><h2>Row ${count(index)}${row.key && html` <small class="mono">${row.key}</small>`}</h2><${Status} of=${row.status} />
      <div class="chip-row" role="group" aria-label="Form"><button class="chip" aria-pressed=${!json} onClick=${() => setJson(false)}>Conversation</button><button class="chip" aria-pressed=${json} onClick=${() => setJson(true)}>JSON</button></div>
      <${Copy} text=${text} name="Copy row" />${close && html`<button class="plain" aria-label="Close the row" onClick=${close}>×</button>`}</div>
    <div class="sides">
      <section aria-label="Request"><h3>Request</h3>${json ? html`<pre tabindex="0">${inputText}</pre>` : input === undefined ? html`<p class="help">The input is not there any more.</p>` : html`<${Request} request=${input} />`}</section>
      <section aria-label="Response"><h3>Response</h3>${json ? html`<pre tabindex="0">${JSON.stringify(row.row.response ?? row.row.error ?? {}, null, 2)}${row.row.status ? `\n\n${row.row.status}` : ""}</pre>` : html`<${Response} response=${row.row.response} error=${errorOf(row)} />`}</section>
    </div></article>`;
}

export function Downloads({ job, filter }) {
  const { order, ...rest } = filter;
  const some = Object.values(rest).some(Boolean);
  const file = (form) => attempt(() => save(order ? `${path(job.name)}:results?order=done` : fileUrl(job.name, rest, form), `job-${job.id}.${form}`));
  if (order && some) return null;
  return html`<div class="downloads" role="group" aria-label="Download">Download ${some ? "these" : order ? "all answered" : "all"}
    ${(order ? ["jsonl"] : ["jsonl", "csv", "parquet"]).map((f) => html`<button class="small" onClick=${() => file(f)}>${{ jsonl: "JSONL", csv: "CSV", parquet: "Parquet" }[f]}</button>`)}</div>`;
}

// The rows of a job whose answers went into a table: that table, or how to read it where this service cannot.
function TableRows({ uri }) {
  const [owner, dataset, table] = uri.replace(/^bq:\/\//, "").split(".");
  const sql = `SELECT * FROM \`${owner}.${dataset}.${table}\` LIMIT 100`;
  const own = owner === session.value.project;
  const load = useLoad((signal) => (own ? get(tablePath(dataset, table), { signal }) : Promise.resolve(null)), [uri]);
  const fetch = useMemo(() => (start, n) => tableRows(dataset, table, start, n), [uri]);
  const t = load.data;
  if (own && !t && !load.error) return html`<${Loading} />`;
  if (!t) return html`<${Empty} title="The answers are in a table"><p><code>${uri}</code></p>
    <p>${load.error ? load.error.message : "It is another project's."} Where the table is, this query shows them:</p>
    <pre tabindex="0">${sql}</pre><${Copy} text=${sql} name="Copy SQL" /></${Empty}>`;
  return html`<p class="bar"><span>The answers are in the table <a href=${link(["tables", dataset, table])}>${dataset}.${table}</a>: ${count(t.numRows)} rows, as the table has them now.</span>
    ${may("user") && html`<a class="button" href=${link(["tables"], { sql })}>Query</a>`}</p>
    ${Number(t.numRows) ? html`<${Grid} fields=${t.schema.fields} total=${Number(t.numRows)} fetch=${fetch} label=${`Rows of ${table}`} />` : html`<${Empty} title="The table has no rows" />`}`;
}

// A list of rows of which one is open; arrows move. line(row): how it is shown.
export function RowList({ rows, chosen, choose, line, height, label }) {
  const [at, setAt] = useState(-1);
  useEffect(() => setAt((i) => (i >= rows.count ? rows.count - 1 : i)), [rows.count]);
  const move = (to) => {
    const i = Math.max(0, Math.min(rows.count - 1, to));
    setAt(i);
    const row = rows.at(i);
    if (row) choose(row.index);
  };
  const key = (e) => {
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10 }[e.key];
    if (step) move(at + step);
    else if (e.key === "Home") move(0);
    else if (e.key === "End") move(rows.count - 1);
    else if (e.key === "Enter" && rows.at(at)) choose(rows.at(at).index);
    else return;
    e.preventDefault();
  };
  // A row that was not here yet when an arrow came to it is opened when it comes.
  const waiting = at >= 0 ? rows.at(at)?.index : undefined;
  const opened = useRef();
  useEffect(() => {
    if (waiting !== undefined && opened.current !== at) choose(waiting);
    opened.current = waiting === undefined ? undefined : at;
  }, [at, waiting]);
  return html`<${VirtualList} className="rows-list" role="listbox" aria-label=${label} aria-activedescendant=${at >= 0 ? `row-${at}` : undefined} count=${rows.count} height=${height} reveal=${at}
    onRange=${rows.need} onKeyDown=${key} row=${(i) => {
      const row = rows.at(i);
      return html`<div id=${`row-${i}`} role="option" class="row-line ${i === at ? "at" : ""}" aria-selected=${!!row && row.index === chosen} aria-setsize=${rows.count} aria-posinset=${i + 1}
        onClick=${() => row && (setAt(i), choose(row.index))}>${row ? line(row) : html`<span class="ghost">…</span>`}</div>`;
    }} />`;
}

export const RowLine = ({ row }) => html`<span class="row-number">${count(row.index)}</span><${Status} of=${row.status} />
  <span class="row-text"><span class="row-request">${row.request || row.key || ""}</span><span class="row-answer ${row.status === "answered" ? "" : "bad"}">${row.status === "answered" ? row.answer : row.error}</span></span>`;

export function Rows({ job }) {
  const { status, label, cause, text = "", row } = route.value.query;
  const [typed, setTyped] = useState(text);
  const final = state(job.state).final;
  const order = !final && route.value.query.order === "done" ? "done" : undefined;
  const filter = order ? { status, text, order } : { status, label, cause, text };
  const rows = useRows(job, filter, 2000);
  const facets = useLoad((signal) => get(`${path(job.name)}:rows?count=1&facets=true`, { signal }), [job.name, job.state], final && rows.whole ? 0 : 4000).data?.facets;
  const set = (query) => go(["jobs", job.id], { ...route.value.query, ...query }, { replace: true });
  useEffect(() => {
    if (typed === text) return;
    const timer = setTimeout(() => set({ text: typed, row: undefined }), 300);
    return () => clearTimeout(timer);
  }, [typed]);
  const table = job.raw.outputInfo?.bigqueryOutputTable;
  if (table && rows.error?.status === 400 && !rows.count) return html`<${TableRows} uri=${table} />`;
  const statuses = [[undefined, "All", rows.total], ["answered", "Answered", facets?.answered], ["failed", "Failed", facets?.failed], ["notRun", "Not run", facets?.notRun]];
  const behind = (job.facts.progress.succeeded || 0) + (job.facts.progress.failed || 0) - rows.total;
  const some = status || (!order && (label !== undefined || cause)) || text;
  return html`<div class="filters">
      <div class="chip-row" role="group" aria-label="Status">${statuses.map(([id, name, n]) => html`<button class="chip" aria-pressed=${status === id} onClick=${() => set({ status: id })}>${name} ${n !== undefined && html`<span>${count(n)}</span>`}</button>`)}</div>
      ${!final && (order || behind > 0) && html`<div class="chip-row" role="group" aria-label="Which rows"><button class="chip" aria-pressed=${!order} onClick=${() => set({ order: undefined, row: undefined })}>Without gaps</button>
        <button class="chip" aria-pressed=${!!order} onClick=${() => set({ order: "done", label: undefined, cause: undefined, row: undefined })}>All answered ${html`<span>${count(rows.total + (order ? 0 : behind))}</span>`}</button></div>`}
      <input type="search" aria-label="Search the rows for a text" placeholder="Text in request or response" value=${typed} onInput=${(e) => setTyped(e.target.value)} />
      <${Downloads} job=${job} filter=${filter} />
    </div>
    ${!order && facets?.labels.length > 0 && html`<section class="panel"><h2>Labels</h2><${Bars} unit="rows" total=${Number(facets.answered)} items=${facets.labels.map((l) => ({ name: l.label, count: Number(l.count), chosen: l.label === label }))}
      choose=${(l) => set({ label: l.chosen ? undefined : l.name, row: undefined })} /></section>`}
    ${!order && cause && html`<p class="notice">Only failures of one cause: ${facets?.causes.find((c) => c.cause === cause)?.message || cause} <button class="small" onClick=${() => set({ cause: undefined })}>Show all rows</button></p>`}
    ${rows.error && html`<${Failure} error=${rows.error} />`}
    <p class="help" role="status">${rows.loading ? "Looking" : `${count(rows.count)} ${some ? "matching rows" : "rows"}${some || order ? ` of ${count(rows.total)}` : ""}`}${rows.searching !== undefined && !order ? `, ${count(rows.searching)} of ${count(rows.total)} searched` : ""}${order ? ` that are answered, also behind lines that are still open${rows.searching !== undefined ? "; more come as you scroll" : ""}${rows.when ? `, at ${clock(rows.when)}` : ""}` : !final ? `; more will come while the job runs${behind > 0 ? ` (${count(behind)} are answered already, behind a line that is still open)` : ""}` : ""}${!rows.whole ? "; the index is being made" : ""}
      ${order && html` <button class="small" onClick=${rows.again}>Look again</button>`}</p>
    ${!rows.loading && !rows.count && !rows.error && html`<${Empty} title=${some ? "No row matches" : final ? "The job has no rows" : "No rows yet"}>${some ? html`<button onClick=${() => (setTyped(""), set({ status: undefined, label: undefined, cause: undefined, text: undefined }))}>Show all rows</button>` : !final && html`<p>Rows stand here in the order of the input, as soon as every line before them is answered.</p>`}</${Empty}>`}
    ${(rows.count > 0 || row !== undefined) && html`<div class="browser ${row !== undefined ? "open" : ""}">
      ${rows.count > 0 && html`<${RowList} key=${JSON.stringify(filter)} label="Rows" rows=${rows} chosen=${row} choose=${(index) => set({ row: index })} height=${64} line=${(r) => html`<${RowLine} row=${r} />`} />`}
      ${row !== undefined ? html`<${RowDetail} job=${job} index=${row} order=${order} close=${() => set({ row: undefined })} />` : html`<div class="detail none"><p class="help">Choose a row to read its request and response.</p></div>`}
    </div>`}`;
}
