// talk.js -- a request and its response as a conversation: texts, thoughts, calls of functions, pictures. All that a model
// or a client wrote is text to us; a picture is shown only from its own bytes, as one of the kinds that hold no script.
import { bytes } from "./format.js";
import { html } from "./ui.js";

const pictures = /^image\/(png|jpeg|gif|webp|avif|bmp)$/;
const get = (o, ...names) => names.map((n) => o?.[n]).find((v) => v !== undefined);
const json = (v) => JSON.stringify(v, null, 2);
const list = (v) => (Array.isArray(v) ? v : v === undefined || v === null ? [] : [v]);

function Media({ mime = "", data, uri }) {
  if (uri) return html`<p class="media"><span class="mono">${uri}</span> <small>${mime}</small></p>`;
  const size = html`<small>${mime}, ${bytes((String(data).length * 3) / 4)}</small>`;
  if (!pictures.test(mime)) return html`<p class="media">${size}</p>`;
  return html`<figure class="media"><img src=${`data:${mime};base64,${String(data).replaceAll("-", "+").replaceAll("_", "/")}`} alt="Picture of the request or answer" /><figcaption>${size}</figcaption></figure>`;
}

function Part({ part }) {
  if (!part || typeof part !== "object") return html`<pre>${String(part)}</pre>`;
  const call = get(part, "functionCall", "function_call");
  const result = get(part, "functionResponse", "function_response");
  const inline = get(part, "inlineData", "inline_data");
  const file = get(part, "fileData", "file_data");
  if (part.thought) return html`<details class="thought"><summary>Thought</summary><p class="text">${part.text}</p></details>`;
  if (part.text !== undefined) return html`<p class="text">${String(part.text)}</p>`;
  if (call) return html`<div class="call"><b>calls</b> <code>${String(call.name)}</code><pre tabindex="0">${json(call.args ?? {})}</pre></div>`;
  if (result) return html`<div class="call"><b>result of</b> <code>${String(result.name)}</code><pre tabindex="0">${json(result.response ?? {})}</pre></div>`;
  if (inline) return html`<${Media} mime=${get(inline, "mimeType", "mime_type")} data=${inline.data} />`;
  if (file) return html`<${Media} mime=${get(file, "mimeType", "mime_type")} uri=${get(file, "fileUri", "file_uri")} />`;
  return html`<pre tabindex="0">${json(part)}</pre>`;
}

const Turn = ({ who, parts, kind }) => html`<div class="turn ${kind}"><div class="who">${who}</div>${parts.length ? parts.map((p) => html`<${Part} part=${p} />`) : html`<p class="help">Nothing was said.</p>`}</div>`;

const names = { user: "User", model: "Model", function: "Function" };
export function Request({ request }) {
  if (!request || typeof request !== "object") return html`<pre tabindex="0">${typeof request === "string" ? request : json(request)}</pre>`;
  const system = get(request, "systemInstruction", "system_instruction");
  const rest = Object.fromEntries(Object.entries(request).filter(([k]) => !["contents", "systemInstruction", "system_instruction"].includes(k)));
  const contents = list(request.contents ?? request.content);
  return html`${system && html`<${Turn} who="System instruction" kind="system" parts=${typeof system === "string" ? [{ text: system }] : list(system.parts)} />`}
    ${contents.map((c) => html`<${Turn} who=${names[c?.role] || (c?.role ? String(c.role) : "User")} kind=${c?.role === "model" ? "model" : "user"} parts=${typeof c === "string" ? [{ text: c }] : list(c?.parts)} />`)}
    ${Object.keys(rest).length > 0 && html`<details class="settings"><summary>Settings and tools</summary><pre tabindex="0">${json(rest)}</pre></details>`}`;
}

export function Response({ response, error }) {
  if (error) return html`<div class="turn failed"><div class="who">Error</div><p class="text">${error}</p></div>`;
  const candidates = list(response?.candidates);
  const block = response?.promptFeedback?.blockReason;
  const values = response?.embedding?.values;
  const usage = response?.usageMetadata || {};
  return html`${candidates.map((c, i) => html`<${Turn} who=${candidates.length > 1 ? `Model, candidate ${i + 1}` : "Model"} kind="model" parts=${list(c.content?.parts)} />
      ${c.finishReason && c.finishReason !== "STOP" && html`<p class="notice warn">It ended with ${String(c.finishReason)}. ${c.finishMessage ? String(c.finishMessage) : ""}</p>`}`)}
    ${block && html`<p class="notice warn">The prompt was blocked: ${String(block)}.</p>`}
    ${values && html`<p class="text">An embedding of ${values.length} numbers: <span class="mono">${values.slice(0, 6).map((v) => Number(v).toFixed(4)).join(", ")}, …</span></p>`}
    ${!candidates.length && !block && !values && html`<p class="help">The response is empty.</p>`}
    ${usage.totalTokenCount !== undefined && html`<p class="help">${String(usage.promptTokenCount ?? 0)} tokens in, ${String(usage.candidatesTokenCount ?? 0)} out${usage.thoughtsTokenCount ? `, ${usage.thoughtsTokenCount} thoughts` : ""}${usage.cachedContentTokenCount ? `, ${usage.cachedContentTokenCount} reused` : ""}${response.modelVersion ? ` · ${response.modelVersion}` : ""}</p>`}`;
}
