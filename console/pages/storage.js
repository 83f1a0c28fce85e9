// storage.js -- buckets, and their objects by folders: upload, look, download, delete.
import { useEffect, useRef, useState } from "preact/hooks";
import { get, may, post, remove, request, session } from "../lib/api.js";
import { ago, bytes, clock, count } from "../lib/format.js";
import { go, link, route } from "../lib/route.js";
import { save } from "../lib/save.js";
import { forget, resume, start, stop, uploads } from "../lib/upload.js";
import { Empty, Failure, Loading, attempt, html, sure, useLoad } from "../lib/ui.js";

const PAGE = 500;
const LOOK_BYTES = 64 * 1024;
const IMAGE_BYTES_MAX = 20e6;
const enc = encodeURIComponent;
const objectPath = (bucket, name) => `/storage/v1/b/${enc(bucket)}/o/${enc(name)}`;

export function Storage() {
  const [, bucket] = route.value.path;
  return bucket ? html`<${Objects} key=${bucket} bucket=${bucket} />` : html`<${Buckets} />`;
}

// ---- Buckets ----
function Buckets() {
  const list = useLoad((signal) => get(`/storage/v1/b?project=${enc(session.value.project)}&maxResults=1000`, { signal }));
  const [name, setName] = useState("");
  const create = async (event) => {
    event.preventDefault();
    await attempt(async () => {
      await post(`/storage/v1/b?project=${enc(session.value.project)}`, { name: name.trim() });
      go(["storage", name.trim()]);
    });
  };
  const drop = async (b) => {
    if (await sure(`Delete the bucket ${b.name}? It must be empty.`, "Delete") &&
        (await attempt(() => remove(`/storage/v1/b/${enc(b.name)}`), "Deleted"))) list.reload();
  };
  const items = list.data?.items || [];
  return html`<h1>Storage</h1>
    ${list.error && html`<${Failure} error=${list.error} retry=${list.reload} />`}
    ${may("user") && html`<form class="bar" onSubmit=${create}>
      <label>New bucket<input required minlength="3" maxlength="63" placeholder="reviews" value=${name} onInput=${(e) => setName(e.target.value)} /></label>
      <button class="primary">Create bucket</button></form>`}
    ${list.loading && !list.data ? html`<${Loading} />` : !items.length && !list.error ? html`<${Empty} title="No buckets yet">
      <p>A bucket holds the files that jobs read and write.</p></${Empty}>` : html`<div class="scroll"><table>
      <thead><tr><th>Bucket</th><th>Created</th>${may("user") && html`<th><span class="unseen">Actions</span></th>`}</tr></thead>
      <tbody>${items.map((b) => html`<tr key=${b.name}><td><a href=${link(["storage", b.name])}>${b.name}</a></td>
        <td>${clock(b.timeCreated)}</td>
        ${may("user") && html`<td class="actions"><button class="small" aria-label=${`Delete bucket ${b.name}`} onClick=${() => drop(b)}>Delete</button></td>`}</tr>`)}</tbody>
    </table></div>`}`;
}

// ---- Objects ----
function Crumbs({ bucket, prefix }) {
  const steps = prefix.split("/").slice(0, -1);
  return html`<nav class="crumbs" aria-label="Folder"><a href=${link(["storage"])}>Storage</a><span>/</span>
    <a href=${link(["storage", bucket])}>${bucket}</a>
    ${steps.map((s, i) => html`<span>/</span><a href=${link(["storage", bucket], { prefix: `${steps.slice(0, i + 1).join("/")}/` })}>${s || "(empty)"}</a>`)}</nav>`;
}

function Objects({ bucket }) {
  const { prefix = "", object } = route.value.query;
  const [filter, setFilter] = useState("");
  const [more, setMore] = useState([]);
  const [chosen, choose] = useState(new Set());
  const [over, setOver] = useState(false);
  const input = useRef();
  const path = (token = "") => `/storage/v1/b/${enc(bucket)}/o?delimiter=/&maxResults=${PAGE}&prefix=${enc(prefix + filter)}${token && `&pageToken=${enc(token)}`}`;
  const list = useLoad((signal) => (setMore([]), get(path(), { signal })), [prefix, filter]);
  const all = list.data ? [list.data, ...more] : [];
  const folders = [...new Set(all.flatMap((p) => p.prefixes || []))];
  const items = all.flatMap((p) => p.items || []);
  const next = all.length ? all[all.length - 1].nextPageToken : "";
  useEffect(() => choose(new Set()), [prefix]);

  const send = (files) => [...files].forEach((file) => start(bucket, prefix + file.name, file, list.reload));
  const drop = async () => {
    if (!(await sure(`Delete ${chosen.size} ${chosen.size === 1 ? "object" : "objects"}?`, "Delete"))) return;
    await attempt(async () => {
      for (const name of chosen) await remove(objectPath(bucket, name));
    }, "Deleted");
    choose(new Set());
    list.reload();
  };
  const toggle = (name) => {
    const set = new Set(chosen);
    if (!set.delete(name)) set.add(name);
    choose(set);
  };
  const mine = uploads.value.filter((u) => u.bucket === bucket);
  const take = (event) => {
    event.preventDefault();
    setOver(false);
    if (may("user")) send(event.dataTransfer.files);
  };
  return html`<div class=${over ? "droppable over" : "droppable"} onDragOver=${(e) => (e.preventDefault(), setOver(may("user")))}
      onDragLeave=${() => setOver(false)} onDrop=${take}>
    <h1 class="unseen">Bucket ${bucket}</h1>
    <${Crumbs} bucket=${bucket} prefix=${prefix} />
    <div class="bar">
      <label>Names that begin with<input type="search" value=${filter} onInput=${(e) => setFilter(e.target.value)} /></label>
      ${may("user") && html`<input ref=${input} type="file" multiple hidden aria-label="Files to upload" onChange=${(e) => (send(e.target.files), (e.target.value = ""))} />
        <button class="primary" onClick=${() => input.current.click()}>Upload files</button>
        <button disabled=${!chosen.size} onClick=${drop}>Delete${chosen.size ? ` ${chosen.size}` : ""}</button>`}
    </div>
    ${mine.length > 0 && html`<ul class="uploads panel" aria-label="Uploads">${mine.map((u) => html`<${Upload} key=${u.id} one=${u} />`)}</ul>`}
    ${list.error && html`<${Failure} error=${list.error} retry=${list.reload} />`}
    <div class=${object ? "split" : ""}>
      <div>${list.loading && !list.data ? html`<${Loading} />` : !folders.length && !items.length && !list.error ? html`<${Empty} title=${filter ? "Nothing begins with that" : "This folder is empty"}>
          <p>${may("user") && "Drop files here, or upload them with the button."}</p></${Empty}>` : html`<div class="scroll"><table>
        <thead><tr>${may("user") && html`<th class="tight"><span class="unseen">Chosen</span></th>`}<th>Name</th><th class="number">Size</th><th>Changed</th></tr></thead>
        <tbody>
          ${folders.map((f) => html`<tr key=${f}>${may("user") && html`<td />`}<td><a class="folder" href=${link(["storage", bucket], { prefix: f })}>${f.slice(prefix.length)}</a></td><td class="number" /><td /></tr>`)}
          ${items.map((o) => html`<tr key=${o.name} class=${o.name === object ? "chosen" : ""}>
            ${may("user") && html`<td><input type="checkbox" aria-label=${`Choose ${o.name}`} checked=${chosen.has(o.name)} onChange=${() => toggle(o.name)} /></td>`}
            <td class="name"><a href=${link(["storage", bucket], { prefix, object: o.name })}>${o.name.slice(prefix.length) || o.name}</a></td>
            <td class="number">${bytes(o.size)}</td><td title=${clock(o.updated)}>${ago(o.updated)}</td></tr>`)}
        </tbody></table></div>`}
        ${next && html`<p class="more"><button onClick=${() => attempt(async () => setMore([...more, await get(path(next))]))}>More</button></p>`}
      </div>
      ${object && html`<${Look} key=${object} bucket=${bucket} name=${object} prefix=${prefix} changed=${list.reload} />`}
    </div>
  </div>`;
}

function Upload({ one }) {
  const words = { running: `${bytes(one.bytes)} of ${bytes(one.size)}`, paused: "paused", done: "done", failed: one.error };
  return html`<li><span class="name">${one.name}</span>
    <progress max=${one.size || 1} value=${one.state === "done" ? one.size || 1 : one.bytes} aria-label=${`Upload of ${one.name}`} />
    <span class=${one.state === "failed" ? "bad" : "help"}>${words[one.state]}</span>
    ${one.state === "running" && html`<button class="small" onClick=${() => stop(one)}>Pause</button>`}
    ${(one.state === "paused" || one.state === "failed") && html`<button class="small" onClick=${() => resume(one)}>Resume</button>`}
    <button class="small plain" aria-label=${`Forget the upload of ${one.name}`} onClick=${() => forget(one)}>×</button></li>`;
}

// ---- One object ----
const isImage = (o) => /^image\/(png|jpeg|gif|webp|avif|bmp)$/.test(o.contentType) || /\.(png|jpe?g|gif|webp)$/i.test(o.name);
const isText = (o) => /^text\/|json|xml|yaml|csv|urlencoded/.test(o.contentType || "") || /\.(jsonl?|csv|tsv|txt|md|ya?ml|log|partial)$/i.test(o.name);
const isLines = (o) => /\.jsonl(\.partial)?$/.test(o.name) || o.contentType === "application/jsonl";

async function content(bucket, name, signal) {
  const o = await get(objectPath(bucket, name), { signal });
  const media = `${objectPath(bucket, name)}?alt=media`;
  if (isImage(o) && Number(o.size) <= IMAGE_BYTES_MAX) return { o, image: await (await request(media, { signal })).blob() };
  if (!isText(o) || !Number(o.size)) return { o };
  const range = o.contentEncoding ? {} : { range: `bytes=0-${LOOK_BYTES - 1}` };
  const text = await (await request(media, { signal, headers: range })).text();
  return { o, text: text.slice(0, LOOK_BYTES), cut: Number(o.size) > LOOK_BYTES };
}

function pretty(line) {
  try {
    return JSON.stringify(JSON.parse(line), null, 2);
  } catch {
    return line;
  }
}

function Image({ blob, name }) {
  const [url, setUrl] = useState("");
  useEffect(() => {
    const made = URL.createObjectURL(blob);
    setUrl(made);
    return () => URL.revokeObjectURL(made);
  }, [blob]);
  return url && html`<img class="shown" src=${url} alt=${`Content of ${name}`} />`;
}

function Look({ bucket, name, prefix, changed }) {
  const load = useLoad((signal) => content(bucket, name, signal), [bucket, name]);
  const close = () => go(["storage", bucket], { prefix });
  const drop = async () => {
    if (await sure(`Delete ${name}?`, "Delete")) await attempt(async () => {
      await remove(objectPath(bucket, name));
      close();
      changed();
    }, "Deleted");
  };
  const { o, text, cut, image } = load.data || {};
  let lines = text && isLines(o) ? text.split("\n").filter(Boolean) : null;
  if (lines && cut) lines = lines.slice(0, -1);
  return html`<aside class="panel look" aria-label="Object">
    <header><h2 class="name">${name.slice(prefix.length) || name}</h2><button class="plain" aria-label="Close" onClick=${close}>×</button></header>
    ${load.error && html`<${Failure} error=${load.error} retry=${load.reload} />`}
    ${load.loading && !load.data && html`<${Loading} />`}
    ${o && html`<p class="help">${bytes(o.size)} · ${o.contentType || "unknown type"} · ${clock(o.updated)}<br /><code>gs://${bucket}/${name}</code></p>
      <p class="bar"><button onClick=${() => attempt(() => save(`${objectPath(bucket, name)}?alt=media`, name.split("/").pop()))}>Download</button>
        ${may("user") && html`<a class="button" href=${link(["new"], { object: `gs://${bucket}/${name}` })}>New job</a>
        <button onClick=${drop}>Delete</button>`}</p>
      ${image && html`<${Image} blob=${image} name=${name} />`}
      ${lines ? html`<div class="lines" tabindex="0" role="region" aria-label="Lines">${lines.slice(0, 50).map((l, i) => html`<details key=${i} open=${i === 0}><summary class="mono">${i + 1}. ${l.slice(0, 90)}</summary><pre>${pretty(l)}</pre></details>`)}</div>`
        : text !== undefined && html`<pre class="text" tabindex="0" aria-label="Content">${text}</pre>`}
      ${(cut || (lines && lines.length > 50)) && html`<p class="help">The first ${lines ? `${count(Math.min(50, lines.length))} lines` : bytes(LOOK_BYTES)}. Download it for the rest.</p>`}
      ${text === undefined && !image && html`<p class="help">${Number(o.size) ? "There is no preview of this type." : "The object is empty."}</p>`}`}
  </aside>`;
}
