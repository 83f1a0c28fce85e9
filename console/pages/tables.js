// tables.js -- datasets and their tables: schema, rows, SQL with its results in place.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { get, may, remove } from "../lib/api.js";
import { cancelQuery, project, query, queryRows, tableName, tablePath, tableRows } from "../lib/bq.js";
import { bytes, clock, count } from "../lib/format.js";
import { Grid } from "../lib/grid.js";
import { go, link, route } from "../lib/route.js";
import { Empty, Failure, Loading, Tabs, attempt, html, sure, useLoad } from "../lib/ui.js";

async function every(path, member, signal) {
  const found = [];
  let token = "";
  do {
    const page = await get(`${path}?maxResults=1000${token && `&pageToken=${encodeURIComponent(token)}`}`, { signal });
    found.push(...(page[member] || []));
    token = page.nextPageToken || "";
  } while (token);
  return found;
}

async function tree(signal) {
  const datasets = await every(`${project()}/datasets`, "datasets", signal);
  return Promise.all(datasets.map(async (d) => {
    const id = d.datasetReference.datasetId;
    const tables = await every(`${project()}/datasets/${encodeURIComponent(id)}/tables`, "tables", signal);
    return { id, tables: tables.map((t) => ({ id: t.tableReference.tableId, view: t.type !== "TABLE" })) };
  }));
}

export function Tables() {
  const [, dataset, table] = route.value.path;
  const list = useLoad(tree);
  const [open, setOpen] = useState(new Set());
  const sets = list.data || [];
  const isOpen = (id) => open.has(id) !== (id === dataset || sets.length <= 3);
  const toggle = (id) => {
    const next = new Set(open);
    if (!next.delete(id)) next.add(id);
    setOpen(next);
  };
  if (list.error?.status === 501) return html`<h1>Tables</h1><${Empty} title="The tables are BigQuery's"><p>${list.error.message}</p>
    <p>A job reads and writes them all the same: give <code>bq://PROJECT.DATASET.TABLE</code> as its input or output.</p></${Empty}>`;
  if (list.error && !list.data) return html`<h1>Tables</h1><${Failure} error=${list.error} retry=${list.reload} />`;
  if (!list.data) return html`<h1>Tables</h1><${Loading} />`;
  return html`<h1>Tables</h1><div class="side">
    <nav class="panel tree" aria-label="Tables">
      ${may("user") && html`<a class="button" href=${link(["tables"])}>SQL</a>`}
      ${!sets.length && html`<p class="help">No datasets yet. A job from a CSV file makes one, and so does SQL: <code>CREATE SCHEMA reviews</code>.</p>`}
      <ul>${sets.map((d) => html`<li key=${d.id}>
        <button class="plain" aria-expanded=${isOpen(d.id)} onClick=${() => toggle(d.id)}>${d.id}</button> <small>${count(d.tables.length)}</small>
        ${isOpen(d.id) && html`<ul>${d.tables.map((t) => html`<li key=${t.id}><a href=${link(["tables", d.id, t.id])}
          aria-current=${d.id === dataset && t.id === table ? "page" : undefined}>${t.id}</a>${t.view && html` <small>view</small>`}</li>`)}
          ${!d.tables.length && html`<li class="help">no tables</li>`}</ul>`}</li>`)}</ul>
    </nav>
    <section aria-label=${table ? "Table" : "SQL"}>${table ? html`<${Table} key=${`${dataset}.${table}`} dataset=${dataset} table=${table} changed=${list.reload} />`
      : may("user") ? html`<${Sql} changed=${list.reload} />` : html`<${Empty} title="Choose a table" />`}</section>
  </div>`;
}

// ---- One table ----
function Table({ dataset, table, changed }) {
  const tab = route.value.query.tab || "rows";
  const load = useLoad((signal) => get(tablePath(dataset, table), { signal }), [dataset, table]);
  const t = load.data;
  const isView = t && t.type !== "TABLE";
  const sql = `SELECT * FROM ${tableName(dataset, table)} LIMIT 100`;
  const fetch = useMemo(() => (start, n) => tableRows(dataset, table, start, n), [dataset, table]);
  const drop = async () => {
    if (await sure(`Delete the table ${table} with all its rows?`, "Delete")) await attempt(async () => {
      await remove(tablePath(dataset, table));
      changed();
      go(["tables"]);
    }, "Deleted");
  };
  const at = (id) => link(["tables", dataset, table], { tab: id });
  if (load.error) return html`<${Failure} error=${load.error} retry=${load.reload} />`;
  if (!t) return html`<${Loading} />`;
  return html`<header class="bar"><h2 class="name">${dataset}.${table}</h2>
      ${may("user") && html`<a class="button" href=${link(["tables"], { sql })}>Query</a><a class="button" href=${link(["new"], { table: `${dataset}.${table}` })}>New job</a><button onClick=${drop}>Delete</button>`}</header>
    <p class="help">${isView ? "View" : `${count(t.numRows)} rows · ${bytes(t.numBytes)}`} · changed ${clock(Number(t.lastModifiedTime))} · <code>bq://${t.tableReference.projectId}.${dataset}.${table}</code></p>
    <${Tabs} current=${tab} items=${[["rows", "Rows", at("rows")], ["schema", "Schema", at("schema")]]} />
    ${tab === "schema" ? html`<div class="scroll"><table><thead><tr><th>Column</th><th>Type</th><th>Mode</th><th>Description</th></tr></thead>
      <tbody>${(t.schema?.fields || []).map((f) => html`<tr><td class="mono">${f.name}</td><td>${f.type}</td><td>${(f.mode || "NULLABLE").toLowerCase()}</td><td>${f.description}</td></tr>`)}</tbody></table></div>`
      : isView && !may("user") ? html`<${Empty} title="A view is computed"><p>That takes a key with the role user.</p></${Empty}>`
      : isView ? html`<${ViewRows} sql=${`SELECT * FROM ${tableName(dataset, table)}`} />`
      : Number(t.numRows) ? html`<${Grid} fields=${t.schema.fields} total=${Number(t.numRows)} fetch=${fetch} label=${`Rows of ${table}`} />`
      : html`<${Empty} title="The table has no rows" />`}`;
}

function ViewRows({ sql }) {
  const load = useLoad((signal) => query(sql, { signal }), [sql]);
  if (load.error) return html`<${Failure} error=${load.error} retry=${load.reload} />`;
  return load.data ? html`<${Result} result=${load.data} />` : html`<${Loading} />`;
}

// ---- SQL ----
function Result({ result }) {
  const fetch = useMemo(() => (start, n) => queryRows(result.jobId, start, n), [result.jobId]);
  const cost = `${(result.ms / 1000).toFixed(result.ms < 10_000 ? 2 : 0)} s, ${bytes(result.bytes)} read`;
  if (!result.fields.length) return html`<p class="notice" role="status">Done${result.changed ? `: ${count(result.changed)} rows changed` : ""} (${cost}).</p>`;
  return html`<p class="help" role="status">${count(result.total)} ${result.total === 1 ? "row" : "rows"} (${cost})</p>
    ${result.total ? html`<${Grid} fields=${result.fields} total=${result.total} fetch=${fetch} first=${result.rows} label="Result" />` : html`<${Empty} title="No rows" />`}`;
}

// "... at [2:7]": the line of the query that the error names.
function SqlError({ error, sql }) {
  const at = /\[(\d+):(\d+)\]/.exec(error.message);
  const line = at && sql.split("\n")[at[1] - 1];
  return html`<div class="notice bad" role="alert"><p>${error.message}</p>
    ${line !== undefined && line !== null && html`<pre>${line}\n${" ".repeat(Math.max(0, at[2] - 1))}^</pre>`}</div>`;
}

let kept = ""; // the text of the box while the browser stays on other pages

function Sql({ changed }) {
  const given = route.value.query.sql;
  const [sql, setSql] = useState(given || kept || "SELECT 1 AS one");
  const [state, setState] = useState({});
  const running = useRef(null);
  useEffect(() => {
    if (given) setSql(given);
  }, [given]);
  kept = sql;
  const run = async () => {
    const control = new AbortController();
    running.current = { control };
    setState({ busy: true });
    try {
      const result = await query(sql, { signal: control.signal, started: (id) => running.current && (running.current.jobId = id) });
      setState({ result });
      if (!/^\s*(SELECT|WITH)\b/i.test(sql)) changed();
    } catch (error) {
      setState(error.name === "AbortError" ? {} : { error, sql });
    }
    running.current = null;
  };
  const end = () => {
    const { control, jobId } = running.current;
    if (jobId) cancelQuery(jobId).catch(() => {});
    control.abort();
  };
  const onKey = (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      if (!state.busy) run();
    }
  };
  return html`<label>GoogleSQL<textarea class="mono sql" rows="6" spellcheck="false" value=${sql} aria-describedby="sql-help"
      onInput=${(e) => setSql(e.target.value)} onKeyDown=${onKey} /></label>
    <p class="bar"><button class="primary" disabled=${state.busy || !sql.trim()} onClick=${run}>Run</button>
      ${state.busy && html`<button onClick=${end}>Stop</button><span role="status"><span class="spinner" aria-hidden="true" /> Running</span>`}
      <span id="sql-help" class="help">Ctrl+Enter runs it.</span></p>
    ${state.error && html`<${SqlError} error=${state.error} sql=${state.sql} />`}
    ${state.result && html`<${Result} key=${state.result.jobId} result=${state.result} />`}`;
}
