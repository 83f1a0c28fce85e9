// keys.js -- for admins: who may call, keys that are shown once, and their end.
import { useState } from "preact/hooks";
import { get, post, remove, session, signIn } from "../lib/api.js";
import { ago, clock } from "../lib/format.js";
import { Copy, Dialog, Empty, Failure, Loading, attempt, html, sure, useLoad } from "../lib/ui.js";

const roles = { viewer: "reads", user: "also submits jobs and writes objects", admin: "may do anything in the project" };
const tones = { valid: "good", expired: "warn", revoked: "quiet" };

function Create({ onClose, onMade }) {
  const open = session.value.open;
  const [form, setForm] = useState({ name: "", role: open ? "admin" : "user", project: session.value.project, expiresDays: "" });
  const [made, setMade] = useState(null);
  const [error, setError] = useState(null);
  const set = (key) => (e) => setForm({ ...form, [key]: e.target.value });
  const create = async (event) => {
    event.preventDefault();
    setError(null);
    try {
      const { expiresDays, ...rest } = form;
      const key = await post("/tranche/v1/keys", { ...rest, ...(expiresDays && { expiresDays: Number(expiresDays) }) });
      setMade(key);
      if (!open) onMade();
    } catch (e) {
      setError(e);
    }
  };
  // The first key ends the open mode: go on with it.
  const close = async () => {
    if (made && open) await attempt(() => signIn(made.key));
    onClose();
  };
  if (made) return html`<${Dialog} title="Keep this key" onClose=${close}>
    <p>It is shown this once. Whoever has it may act as "${made.name || made.id}" in the project ${made.project}.</p>
    <p class="bar"><code class="secret" tabindex="0">${made.key}</code><${Copy} text=${made.key} /></p>
    ${open && html`<p class="help">From now on every call needs a key. When you close this, you are signed in with this one.</p>`}
    <p class="help">As environment of a client: <code>GEMINI_API_KEY=${made.key.slice(0, 11)}…</code></p></${Dialog}>`;
  return html`<${Dialog} title="New key" onClose=${onClose}><form class="stack" onSubmit=${create}>
    ${open && html`<p class="notice warn">No key exists, so everybody on this machine may do everything. The first key ends that.</p>`}
    <label>Name<input maxlength="128" placeholder="ci" value=${form.name} onInput=${set("name")} /></label>
    <label>Role<select value=${form.role} onChange=${set("role")}>${Object.entries(roles).map(([r, about]) => html`<option value=${r}>${r}: ${about}</option>`)}</select></label>
    ${open && html`<label>Project<input required pattern="[A-Za-z0-9._:\\-]+" value=${form.project} onInput=${set("project")} /></label>`}
    <label>Days until it expires<input type="number" min="1" max="36500" placeholder="never" value=${form.expiresDays} onInput=${set("expiresDays")} /></label>
    ${error && html`<${Failure} error=${error} />`}
    <footer><button type="button" onClick=${onClose}>Cancel</button><button class="primary">Create key</button></footer></form></${Dialog}>`;
}

export function Keys() {
  const list = useLoad((signal) => get("/tranche/v1/keys", { signal }));
  const [creating, setCreating] = useState(false);
  const [all, setAll] = useState(false);
  const keys = list.data?.keys || [];
  const shown = keys.filter((k) => all || k.state === "valid").reverse();
  const revoke = async (k) => {
    const own = k.id === session.value.key;
    if (await sure(`Revoke ${k.name || k.email || k.id}? ${own ? "It is your own key: you are signed out." : "Its clients are refused at once."}`, "Revoke"))
      (await attempt(() => remove(`/tranche/v1/keys/${k.id}`), "Revoked")) && list.reload();
  };
  const body = () => {
    if (list.error && !list.data) return html`<${Failure} error=${list.error} retry=${list.reload} />`;
    if (!list.data) return html`<${Loading} />`;
    if (!shown.length) return html`<${Empty} title=${keys.length ? "No valid keys" : "No keys yet"}><p>${session.value.open
      ? "Until the first key is made, everybody on this machine may do everything." : "Make one for each client, so that each can be revoked alone."}</p></${Empty}>`;
    return html`<div class="scroll"><table><thead><tr><th>Key</th><th>Name</th><th>Role</th>${session.value.open && html`<th>Project</th>`}<th>State</th><th>Created</th><th>Expires</th><th><span class="unseen">Actions</span></th></tr></thead>
      <tbody>${shown.map((k) => html`<tr key=${k.id}><td class="mono">${k.id}…</td><td class="name">${k.email || k.name}${k.email && html`<small class="block">service account</small>`}${k.id === session.value.key && html`<small class="block">signed in here</small>`}</td>
        <td>${k.role}</td>${session.value.open && html`<td>${k.project}</td>`}<td><span class="badge ${tones[k.state]}">${k.state}</span></td><td title=${clock(k.created)}>${ago(k.created)}</td><td>${k.expires ? clock(k.expires) : "never"}</td>
        <td class="actions">${k.state === "valid" && html`<button class="small" aria-label=${`Revoke ${k.name || k.email || k.id}`} onClick=${() => revoke(k)}>Revoke</button>`}</td></tr>`)}</tbody></table></div>`;
  };
  return html`<h1>Keys</h1><p class="bar"><button class="primary" onClick=${() => setCreating(true)}>New key</button>
      <label class="check"><input type="checkbox" checked=${all} onChange=${(e) => setAll(e.target.checked)} />Show expired and revoked</label></p>
    ${body()}
    ${creating && html`<${Create} onClose=${() => (setCreating(false), session.value && list.reload())} onMade=${list.reload} />`}`;
}
