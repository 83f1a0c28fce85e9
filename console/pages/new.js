// new.js -- a new job: its input, a prompt over the input's columns, the model and limits, a check of every line with
// what it will cost, and the start. Nothing runs before the check has been seen.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { get, place, post, remove, request, session } from "../lib/api.js";
import { columnName, query, tableName } from "../lib/bq.js";
import { bytes, count, duration, usd } from "../lib/format.js";
import { go, link, route } from "../lib/route.js";
import { loadSample } from "../lib/sample.js";
import { columnsOf, defaultBucket, nameOf, ofFile, ofObject, putFile, putTable } from "../lib/source.js";
import { requestsSql } from "../lib/template.js";
import { ensureBucket } from "../lib/upload.js";
import { Failure, attempt, html, useLoad } from "../lib/ui.js";

const PREVIEW_ROWS = 3;
const FAULTS_SHOWN = 200;
const CONTEXT_BYTES = 400;
const REPORT_BYTES = 512 * 1024;
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

// ---- 1: the input ----
function Input({ onReady, busy, setBusy }) {
  const [error, setError] = useState(null);
  const [over, setOver] = useState(false);
  const [uri, setUri] = useState(route.value.query.object || "");
  const [name, setName] = useState(route.value.query.table || "");
  const input = useRef();
  const control = useRef(null);

  const run = async (work) => {
    setError(null);
    control.current = new AbortController();
    setBusy({ text: "Reading" });
    try {
      onReady(await work());
    } catch (e) {
      if (e.name !== "AbortError") setError(e);
    }
    setBusy(null);
  };
  const settle = async (objectUri, found, title) => {
    if (found.kind === "requests") return { title, uri: objectUri, kind: "requests" };
    setBusy({ text: "Loading the rows into a table" });
    const at = await putTable(objectUri, found);
    return { title, kind: "rows", ...at, ...(await columnsOf(at)) };
  };
  const takeFile = (file) => file && run(async () => {
    const found = await ofFile(file);
    const at = await putFile(file, (done) => setBusy({ text: `Uploading ${file.name}`, done, of: file.size }), control.current.signal);
    return settle(at, found, file.name);
  });
  const takeObject = () => run(async () => settle(uri.trim(), await ofObject(uri.trim()), uri.trim().split("/").pop()));
  const takeTable = () => run(async () => {
    const [table, dataset] = name.trim().replace(/^bq:\/\//, "").split(".").reverse();
    if (!table || !dataset) throw new Error("Write the table as dataset.table.");
    const found = await columnsOf({ dataset, table });
    const ready = found.columns.some((c) => c.name === "request");
    return { title: `${dataset}.${table}`, dataset, table, kind: ready ? "requestTable" : "rows", ...found };
  });
  useEffect(() => {
    if (route.value.query.object) takeObject();
    else if (route.value.query.table) takeTable();
  }, []);
  const drop = (event) => {
    event.preventDefault();
    setOver(false);
    takeFile(event.dataTransfer.files[0]);
  };
  if (busy) return html`<div class="dropzone" role="status"><p><span class="spinner" aria-hidden="true" /> ${busy.text}</p>
    ${busy.of > 0 && html`<progress max=${busy.of} value=${busy.done} aria-label=${busy.text} /><p class="help">${bytes(busy.done)} of ${bytes(busy.of)}</p>`}
    ${busy.of > 0 && html`<button onClick=${() => control.current.abort()}>Stop</button>`}</div>`;
  return html`<div class=${over ? "dropzone over" : "dropzone"} onDragOver=${(e) => (e.preventDefault(), setOver(true))} onDragLeave=${() => setOver(false)} onDrop=${drop}>
      <p><strong>Drop a JSONL, CSV or Parquet file here</strong></p>
      <p class="help">JSON Lines of requests, or a table whose rows a prompt asks about</p>
      <input ref=${input} type="file" hidden aria-label="Input file" onChange=${(e) => takeFile(e.target.files[0])} />
      <button class="primary" onClick=${() => input.current.click()}>Choose a file</button></div>
    <div class="two">
      <form class="bar" onSubmit=${(e) => (e.preventDefault(), takeObject())}><label>Or an object<input required placeholder="gs://bucket/requests.jsonl" value=${uri} onInput=${(e) => setUri(e.target.value)} /></label><button>Use object</button></form>
      <form class="bar" onSubmit=${(e) => (e.preventDefault(), takeTable())}><label>Or a table<input required placeholder="dataset.table" value=${name} onInput=${(e) => setName(e.target.value)} /></label><button>Use table</button></form></div>
    <p class="help">Nothing at hand? <button class="small" onClick=${() => run(async () => (await loadSample(), takeSample()))}>Load a sample</button> of ten hotel reviews.</p>
    ${error && html`<${Failure} error=${error} />`}`;
}
const takeSample = async () => ({ title: "samples.reviews", dataset: "samples", table: "reviews", kind: "rows", ...(await columnsOf({ dataset: "samples", table: "reviews" })) });

// ---- 2: the prompt ----
const emptySchema = { mode: "text", labels: "", fields: [{ name: "", type: "STRING" }] };

function schemaOf(s) {
  if (s.mode === "labels") {
    const labels = [...new Set(s.labels.split(/[,\n]/).map((l) => l.trim()).filter(Boolean))];
    return labels.length ? { responseMimeType: "text/x.enum", responseSchema: { type: "STRING", enum: labels } } : {};
  }
  const fields = s.fields.filter((f) => f.name.trim());
  if (s.mode !== "fields" || !fields.length) return {};
  const property = (f) => {
    const labels = (f.labels || "").split(",").map((l) => l.trim()).filter(Boolean);
    if (f.type === "ENUM") return { type: "STRING", enum: labels };
    return f.type === "LIST" ? { type: "ARRAY", items: { type: "STRING" } } : { type: f.type };
  };
  const names = fields.map((f) => f.name.trim());
  return { responseMimeType: "application/json", responseSchema: { type: "OBJECT", required: names, propertyOrdering: names,
    properties: Object.fromEntries(fields.map((f) => [f.name.trim(), property(f)])) } };
}

const types = { STRING: "text", NUMBER: "number", INTEGER: "whole number", BOOLEAN: "yes or no", ENUM: "one of", LIST: "list of texts" };

function Schema({ value, onChange }) {
  const set = (more) => onChange({ ...value, ...more });
  const setField = (i, more) => set({ fields: value.fields.map((f, k) => (k === i ? { ...f, ...more } : f)) });
  return html`<fieldset><legend>Answers are</legend>
    <div class="bar">${[["text", "Text"], ["labels", "One of some labels"], ["fields", "Fields (JSON)"]].map(([id, name]) =>
      html`<label class="check"><input type="radio" name="schema" checked=${value.mode === id} onChange=${() => set({ mode: id })} />${name}</label>`)}</div>
    ${value.mode === "labels" && html`<label>Labels<input placeholder="positive, negative, neutral" value=${value.labels} onInput=${(e) => set({ labels: e.target.value })} /></label>`}
    ${value.mode === "fields" && html`${value.fields.map((f, i) => html`<div class="field" key=${i}>
        <label>Field<input value=${f.name} placeholder="topic" onInput=${(e) => setField(i, { name: e.target.value })} /></label>
        <label>Type<select value=${f.type} onChange=${(e) => setField(i, { type: e.target.value })}>${Object.entries(types).map(([t, n]) => html`<option value=${t}>${n}</option>`)}</select></label>
        ${f.type === "ENUM" && html`<label>Values<input value=${f.labels || ""} placeholder="room, staff, food" onInput=${(e) => setField(i, { labels: e.target.value })} /></label>`}
        <button type="button" class="small" aria-label=${`Remove field ${f.name || i + 1}`} disabled=${value.fields.length === 1} onClick=${() => set({ fields: value.fields.filter((_, k) => k !== i) })}>×</button></div>`)}
      <button type="button" class="small" onClick=${() => set({ fields: [...value.fields, { name: "", type: "STRING" }] })}>Add field</button>`}
  </fieldset>`;
}

const chip = (name) => (/[{}:"]/.test(name) ? `{"${name.replaceAll('"', '""')}"}` : `{${name}}`);

function Prompt({ source, form, set, sql, sqlError, model, onSample }) {
  const box = useRef();
  const [preview, setPreview] = useState({});
  const [answers, setAnswers] = useState({});
  const control = useRef(null);
  useEffect(() => {
    control.current?.abort();
    setAnswers({});
    if (!sql) return undefined;
    const abort = new AbortController();
    const timer = setTimeout(() => query(`SELECT request FROM (${sql}) LIMIT ${PREVIEW_ROWS}`, { signal: abort.signal }).then(
      (r) => setPreview({ sql, requests: r.rows.map((row) => JSON.parse(row[0])) }),
      (error) => error.name !== "AbortError" && setPreview({ error })), 350);
    return () => (clearTimeout(timer), abort.abort());
  }, [sql]);
  useEffect(() => () => control.current?.abort(), []);
  const insert = (name) => {
    const { selectionStart: a, selectionEnd: b } = box.current;
    set({ template: form.template.slice(0, a) + chip(name) + form.template.slice(b) });
    setTimeout(() => (box.current.focus(), box.current.setSelectionRange(a + chip(name).length, a + chip(name).length)));
  };
  const ask = () => {
    control.current?.abort();
    control.current = new AbortController();
    setAnswers(Object.fromEntries(preview.requests.map((_, i) => [i, { busy: true }])));
    const began = performance.now();
    Promise.all(preview.requests.map(async (body, i) => {
      try {
        const reply = await (await request(place(`publishers/google/models/${encodeURIComponent(model)}:generateContent`), { method: "POST", body, signal: control.current.signal })).json();
        setAnswers((before) => ({ ...before, [i]: { text: (reply.candidates?.[0]?.content?.parts || []).map((p) => p.text || "").join("") } }));
        return reply.usageMetadata;
      } catch (error) {
        if (error.name !== "AbortError") setAnswers((before) => ({ ...before, [i]: { error: error.message } }));
        return null;
      }
    })).then((all) => {
      const good = all.filter(Boolean);
      const mean = (key) => good.reduce((n, u) => n + Number(u[key] || 0), 0) / good.length;
      if (good.length) onSample({ rows: good.length, ms: performance.now() - began, input: mean("promptTokenCount"), output: mean("candidatesTokenCount") + mean("thoughtsTokenCount") });
    });
  };
  return html`<label>Prompt<textarea ref=${box} rows="5" required value=${form.template} placeholder=${`Label the sentiment of: ${chip(source.columns[source.columns.length - 1]?.name || "text")}`}
      aria-describedby="prompt-help" onInput=${(e) => set({ template: e.target.value })} /></label>
    <div class="chips" role="group" aria-label="Columns">${source.columns.map((c) => html`<button type="button" class="small mono" onClick=${() => insert(c.name)}>${c.name}</button>`)}</div>
    <p id="prompt-help" class="help">A column's cell stands for its name in braces. <code>{?column} … {/}</code> is there only when the cell has text; a brace is written <code>{{</code>.</p>
    <label>System instruction<input value=${form.system} placeholder="none" onInput=${(e) => set({ system: e.target.value })} /></label>
    <${Schema} value=${form.schema} onChange=${(schema) => set({ schema })} />
    <div class="fields"><label>Temperature<input type="number" min="0" max="2" step="0.1" value=${form.temperature} onInput=${(e) => set({ temperature: e.target.value })} /></label>
      <label>Tokens of an answer, at most<input type="number" min="1" max="65536" placeholder="the model's" value=${form.most} onInput=${(e) => set({ most: e.target.value })} /></label></div>
    ${sqlError && form.template && html`<p class="notice warn" role="alert">${sqlError.message}</p>`}
    ${preview.error && html`<${Failure} error=${preview.error} />`}
    ${sql && preview.requests && html`<section aria-label="Preview"><header class="bar"><h3>The first ${preview.requests.length} rows</h3>
        <button type="button" disabled=${!model || preview.sql !== sql || Object.values(answers).some((x) => x.busy)} onClick=${ask}>Answer them now</button></header>
      <div class="previews">${preview.requests.map((r, i) => html`<article class="panel" key=${i}><pre class="text">${r.contents[0].parts[0].text}</pre>
        ${answers[i] && html`<div class="answer" aria-live="polite">${answers[i].busy ? html`<span class="spinner" aria-hidden="true" /> Asking` : answers[i].error ? html`<p class="bad">${answers[i].error}</p>` : html`<pre class="text">${answers[i].text}</pre>`}</div>`}</article>`)}</div></section>`}`;
}

// ---- 4: the check ----
// The line around a fault: [before, after] the place.
async function contextOf(fault) {
  if (!/^gs:/.test(fault.input || "")) return null;
  const [, bucket, name] = /^gs:\/\/([^/]+)\/(.+)$/.exec(fault.input);
  const begin = Math.max(0, fault.offset - CONTEXT_BYTES);
  const range = `bytes=${begin}-${fault.offset + CONTEXT_BYTES - 1}`;
  const response = await request(`/storage/v1/b/${encodeURIComponent(bucket)}/o/${encodeURIComponent(name)}?alt=media`, { headers: { range } });
  const all = new Uint8Array(await response.arrayBuffer());
  const text = (part) => new TextDecoder().decode(part);
  const before = text(all.slice(0, fault.offset - begin)).split("\n");
  const after = text(all.slice(fault.offset - begin)).split("\n");
  return [(before.length === 1 && begin ? "…" : "") + before.pop(), after[0] + (after.length === 1 && all.length === fault.offset - begin + CONTEXT_BYTES ? "…" : "")];
}

// The first lines of the report, without reading all of a report of millions.
async function faultsOf(job) {
  const reader = (await request(`/v1/${job}:faults`)).body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  while (text.length < REPORT_BYTES) {
    const { value, done } = await reader.read();
    if (done) break;
    text += value;
  }
  reader.cancel();
  const whole = text.slice(0, text.lastIndexOf("\n") + 1);
  return whole.split("\n").filter(Boolean).slice(0, FAULTS_SHOWN).map((l) => JSON.parse(l));
}

// A job that only checks: created, awaited, read and removed again.
async function check(body, progress) {
  let job = await post(place("batchPredictionJobs"), { ...body, tranche: { ...body.tranche, validateOnly: true } });
  try {
    while (!["JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED", "JOB_STATE_EXPIRED"].includes(job.state)) {
      progress(job.tranche.progress.total);
      await pause(200);
      job = await get(`/v1/${job.name}`);
    }
    const x = job.tranche;
    if (!x.progress.total) throw new Error(job.error?.message || "The input has no lines.");
    const faults = x.validation?.badLines || job.state === "JOB_STATE_SUCCEEDED" ? await faultsOf(job.name) : [];
    const contexts = await Promise.all(faults.slice(0, 50).map((f) => contextOf(f).catch(() => null)));
    return { total: x.progress.total, bad: x.progress.badLines, faults: faults.map((f, i) => ({ ...f, context: contexts[i] })),
             tokens: x.tokens.estimated || 0, cost: x.cost.estimatedUsd, online: x.cost.estimatedOnlineUsd };
  } finally {
    remove(`/v1/${job.name}`).catch(() => {});
  }
}

// Lines a second of this model's last job that was long enough to say.
async function speedOf(model) {
  const jobs = (await get(place("batchPredictionJobs?pageSize=50"))).batchPredictionJobs || [];
  const known = jobs.filter((j) => j.model?.split("/").pop() === model && j.state === "JOB_STATE_SUCCEEDED" && j.startTime)
    .map((j) => ({ lines: Number(j.completionStats?.successfulCount || 0), s: (Date.parse(j.endTime) - Date.parse(j.startTime)) / 1000 }))
    .find((j) => j.lines >= 5 && j.s > 0.05);
  return known ? known.lines / known.s : 0;
}

function Faults({ report }) {
  const warned = report.faults.filter((f) => f.warning).length;
  if (!report.faults.length) return null;
  return html`<div class="scroll faults" tabindex="0" role="region" aria-label="Bad lines"><table><thead><tr><th class="number">Line</th><th>Fault and remedy</th></tr></thead><tbody>
    ${report.faults.map((f, i) => html`<tr key=${i}><td class="number">${count(f.line)}</td><td>
      <strong>${f.path && html`<code>${f.path}</code>: `}${f.message || f.warning}</strong> ${f.remedy}
      ${f.context && html`<pre class="context">${f.context[0]}<mark>${f.context[1].slice(0, 1)}</mark>${f.context[1].slice(1)}</pre>`}</td></tr>`)}</tbody></table></div>
    ${report.bad + warned > report.faults.length && html`<p class="help">The first ${count(report.faults.length)} of ${count(report.bad)}.</p>`}`;
}

function Report({ report, sample, price, speed }) {
  const good = report.total - report.bad;
  const half = price?.batchIsHalf ? 0.5 : 1;
  const measured = sample && (price || !report.cost) ? (good * (sample.input * (price?.input || 0) + sample.output * (price?.output || 0)) * half) / 1e6 : null;
  const cost = measured ?? report.cost ?? 0;
  const seconds = speed ? good / speed : sample ? (good * sample.ms) / 1000 / sample.rows : 0;
  return html`<dl class="figures">
      <${Fact} name="Lines that run" value=${count(good)} note=${report.bad ? `${count(report.bad)} are bad and fail alone` : "every line is a valid request"} />
      <${Fact} name="Cost, about" value=${usd(cost)} note=${measured !== null ? `from ${sample.rows} answered rows` : report.online > report.cost ? `${usd(report.online)} online` : "a guess before the first answer"} />
      <${Fact} name="Tokens, about" value=${count(sample ? good * (sample.input + sample.output) : report.tokens)} note="prompts and answers" />
      <${Fact} name="Time, about" value=${seconds ? duration(Math.max(1, seconds)) : "unknown"} note=${speed ? "at the speed of this model's last job" : seconds ? "as the answered rows took" : "the job says it when it runs"} />
    </dl><${Faults} report=${report} />`;
}
const Fact = ({ name, value, note }) => html`<div class="figure"><dt>${name}</dt><dd>${value}<small>${note}</small></dd></div>`;

// ---- The page ----
const Step = ({ n, title, children, done }) => html`<section class="panel step" aria-labelledby=${`step-${n}`}>
  <h2 id=${`step-${n}`}><span class=${done ? "mark done" : "mark"} aria-hidden="true">${n}</span>${title}</h2>${children}</section>`;

const start = { template: "", system: "", schema: emptySchema, temperature: "0", most: "", model: "", name: "", output: "", budget: "", errors: "", reuse: false, strict: false };

function generationConfig(form) {
  const config = { ...schemaOf(form.schema) };
  if (form.temperature !== "") config.temperature = Number(form.temperature);
  if (form.most !== "") config.maxOutputTokens = Number(form.most);
  return config;
}

export function NewJob() {
  const [source, setSource] = useState(null);
  const [busy, setBusy] = useState(null);
  const [form, setForm] = useState(start);
  const [sample, setSample] = useState(null);
  const [report, setReport] = useState({});
  const info = useLoad((signal) => get("/tranche/v1/info", { signal }));
  const models = info.data?.models || [];
  const set = (more) => (setForm((before) => ({ ...before, ...more })), setReport({}));
  const names = models.map((m) => m.name).filter((n) => !/[*?[]/.test(n));
  const model = form.model;
  useEffect(() => {
    const first = models.find((m) => m.about?.includes("default")) || models[0];
    if (first && !form.model) setForm((f) => ({ ...f, model: /[*?[]/.test(first.name) ? names[0] || "" : first.name }));
  }, [info.data]);
  const [sql, sqlError] = useMemo(() => {
    if (source?.kind !== "rows" || !form.template) return [null, null];
    try {
      return [requestsSql(form.template, source.columns, tableName(source.dataset, source.table), { system: form.system, generationConfig: generationConfig(form) }), null];
    } catch (error) {
      return [null, error];
    }
  }, [source, form.template, form.system, form.schema, form.temperature, form.most]);
  useEffect(() => setSample(null), [sql, model]);

  const tables = source && source.kind !== "requests";
  const ready = (s) => {
    setSource(s);
    setReport({});
    setForm((f) => ({ ...f, name: s.title.replace(/^.*\//, ""), output: s.kind === "requests" ? `gs://${defaultBucket()}/outputs/${nameOf(s.title)}`
      : `bq://${session.value.project}.${s.dataset}.${s.table.slice(0, 40)}_answers_${new Date().toISOString().replace(/\D/g, "").slice(4, 14)}` }));
  };
  const bodyOf = async () => {
    let inputUri = tables && `bq://${session.value.project}.${source.dataset}.${source.table}`;
    if (source.kind === "rows") {
      const view = `${source.table}_requests`;
      await query(`CREATE OR REPLACE VIEW ${tableName(source.dataset, view)} AS ${sql}`);
      inputUri = `bq://${session.value.project}.${source.dataset}.${view}`;
    }
    const toTable = /^bq:/.test(form.output);
    if (/^gs:\/\/[^/]+/.test(form.output)) await ensureBucket(form.output.split("/")[2], session.value.project);
    return {
      displayName: form.name, model: `publishers/google/models/${model}`,
      inputConfig: tables ? { instancesFormat: "bigquery", bigquerySource: { inputUri } } : { instancesFormat: "jsonl", gcsSource: { uris: [source.uri] } },
      outputConfig: toTable ? { predictionsFormat: "bigquery", bigqueryDestination: { outputUri: form.output } } : { predictionsFormat: "jsonl", gcsDestination: { outputUriPrefix: form.output } },
      tranche: { ...(form.budget && { budget: { usd: Number(form.budget) } }), ...(form.errors && { maxErrorRate: Number(form.errors) / 100 }),
                 ...(form.reuse && { reuse: true }), ...(form.strict && { strict: true }) },
    };
  };
  const look = async (event) => {
    event.preventDefault();
    setReport({ busy: "Checking every line" });
    try {
      const body = await bodyOf();
      const { strict, ...options } = body.tranche;
      const done = await check({ ...body, tranche: options }, (n) => setReport({ busy: n ? `Checking: ${count(n)} lines so far` : "Checking every line" }));
      const speed = await speedOf(model).catch(() => 0);
      const price = (await get(`/tranche/v1/models/${encodeURIComponent(model)}`).catch(() => ({}))).price;
      setReport({ done, speed, price, body });
    } catch (error) {
      setReport({ error });
    }
  };
  const submit = async () => {
    setReport((r) => ({ ...r, starting: true }));
    const job = await attempt(() => post(place("batchPredictionJobs"), { ...report.body, tranche: { ...report.body.tranche, requestId: crypto.randomUUID() } }), "The job is on its way");
    if (job) go(["jobs", job.name.split("/").pop()]);
    else setReport((r) => ({ ...r, starting: false }));
  };
  const able = source && model && (source.kind !== "rows" || sql);
  return html`<h1>New job</h1><div class="steps">
    <${Step} n="1" title="Input" done=${!!source}>${source ? html`<p class="bar"><strong class="name">${source.title}</strong>
        <span class="help">${source.kind === "requests" ? "requests, one on each line" : source.kind === "requestTable" ? "a table with a column of requests" : `${source.rows ? `${count(source.rows)} rows, ` : ""}${source.columns.length} columns`}</span>
        <button onClick=${() => (setSource(null), setReport({}))}>Change</button></p>` : html`<${Input} onReady=${ready} busy=${busy} setBusy=${setBusy} />`}</${Step}>
    ${source && html`<form class="steps" onSubmit=${look}>
      <${Step} n="2" title="Model" done=${!!model}><div class="fields"><label>Model<input required list="new-models" value=${model} onInput=${(e) => set({ model: e.target.value.trim() })} /></label>
        <datalist id="new-models">${names.map((n) => html`<option value=${n} />`)}</datalist>
        <label>Name of the job<input required maxlength="128" value=${form.name} onInput=${(e) => set({ name: e.target.value })} /></label></div></${Step}>
      ${source.kind === "rows" && html`<${Step} n="3" title="Prompt" done=${!!sql}><${Prompt} source=${source} form=${form} set=${set} sql=${sql} sqlError=${sqlError} model=${model} onSample=${setSample} /></${Step}>`}
      <${Step} n=${source.kind === "rows" ? "4" : "3"} title="Output and limits" done=${!!form.output}>
        <label>Output<input required pattern="(gs|bq)://.+" value=${form.output} onInput=${(e) => set({ output: e.target.value })} /></label>
        <p class="help">A folder of a bucket (gs://) or a table (bq://).</p>
        <div class="fields"><label>Budget in USD<input type="number" min="0.000001" step="any" placeholder="none" value=${form.budget} onInput=${(e) => set({ budget: e.target.value })} /></label>
          <label>Pause when more fail than, in %<input type="number" min="0.1" max="100" step="any" placeholder="never" value=${form.errors} onInput=${(e) => set({ errors: e.target.value })} /></label></div>
        <div class="bar"><label class="check"><input type="checkbox" checked=${form.reuse} onChange=${(e) => set({ reuse: e.target.checked })} />Reuse answers of earlier jobs</label>
          <label class="check"><input type="checkbox" checked=${form.strict} onChange=${(e) => set({ strict: e.target.checked })} />A bad line stops the job before it begins</label></div></${Step}>
      <${Step} n=${source.kind === "rows" ? "5" : "4"} title="Check and start" done=${!!report.done}>
        ${report.error && html`<${Failure} error=${report.error} />`}
        ${report.done && html`<${Report} report=${report.done} sample=${sample} price=${report.price} speed=${report.speed} />`}
        <p class="bar">${report.busy ? html`<span role="status"><span class="spinner" aria-hidden="true" /> ${report.busy}</span>` : html`<button class=${report.done ? "" : "primary"} disabled=${!able}>Check every line</button>`}
          ${report.done && html`<button type="button" class="primary" disabled=${report.starting || (form.strict && report.done.bad > 0) || report.done.total === report.done.bad} onClick=${submit}>
            ${report.done.bad && !form.strict ? `Start with ${count(report.done.total - report.done.bad)} good lines` : "Start the job"}</button>`}</p>
        ${!report.done && html`<p class="help">The check reads the whole input and runs nothing. It says what is wrong with each line, and what the job costs.</p>`}
      </${Step}></form>`}
  </div>`;
}
