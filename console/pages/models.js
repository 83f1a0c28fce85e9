// models.js -- what each name is answered by, how busy it is, what it costs; and a box to try one.
import { useEffect, useRef, useState } from "preact/hooks";
import { get, may, place, request } from "../lib/api.js";
import { count, rate } from "../lib/format.js";
import { sum, useMetrics } from "../lib/metrics.js";
import { go, link, route } from "../lib/route.js";
import { Failure, Loading, html, useLoad } from "../lib/ui.js";

const kinds = { local: "this machine", upstream: "upstream server", fake: "fake, for tests", "remote-batch": "batch service" };
const perMillion = (n) => `$${n.toFixed(n < 1 ? 3 : 2).replace(/(\.\d\d)0$/, "$1")}`;

const wild = (pattern) => /[*?[]/.test(pattern);
function matches(pattern, name) {
  const source = pattern.replace(/[.+^${}()|\\]/g, "\\$&").replaceAll("*", ".*").replaceAll("?", ".");
  return new RegExp(`^${source}$`).test(name);
}

// The samples of a metric whose model this entry answers; the first entry that matches a name has it.
function loadOf(now, models, i) {
  const names = [...new Set((now?.get("tranche_model_in_flight") || []).map((s) => s.labels.model))];
  const mine = names.filter((n) => models.findIndex((m) => matches(m.name, n)) === i);
  const of = (metric) => mine.reduce((total, model) => total + sum(now, metric, { model }), 0);
  return { inFlight: of("tranche_model_in_flight"), waiting: of("tranche_model_waiting"), loaded: of("tranche_model_loaded"),
           requests: of("tranche_model_requests_total"), failures: of("tranche_model_failures_total") };
}

function Health({ model, load, upstreams }) {
  const mine = upstreams.filter((u) => (model.upstreams || []).includes(u.name));
  const bad = mine.filter((u) => u.health === "open" || u.health === "given up");
  if (mine.length && bad.length === mine.length) return html`<span class="badge bad">no server answers</span>`;
  if (bad.length) return html`<span class="badge warn">${bad.length} of ${mine.length} servers fail</span>`;
  if (load.inFlight) return html`<span class="badge live">working</span>`;
  return load.loaded || mine.length ? html`<span class="badge good">ready</span>` : html`<span class="badge">not loaded</span>`;
}

export function Models() {
  const { now } = useMetrics();
  const info = useLoad((signal) => get("/tranche/v1/info", { signal }));
  const ups = useLoad((signal) => get("/tranche/v1/upstreams", { signal }), [], 5000);
  const tuned = useLoad((signal) => get(place("models?pageSize=100"), { signal }).catch(() => ({})));
  const models = info.data?.models || [];
  const trying = route.value.query.model || "";
  if (info.error && !info.data) return html`<h1>Models</h1><${Failure} error=${info.error} retry=${info.reload} />`;
  if (!info.data) return html`<h1>Models</h1><${Loading} />`;
  const own = (tuned.data?.models || []).map((m) => ({ id: m.name.split("/").pop(), ...m }));
  const names = [...own.map((m) => m.id), ...models.map((m) => m.name)];
  return html`<h1>Models</h1>
    <div class="scroll"><table><thead><tr><th>Name</th><th>Answered by</th><th>State</th><th class="number">In flight</th><th class="number">Waiting</th>
      <th class="number">Requests</th><th class="number">Price in / out</th>${may("user") && html`<th><span class="unseen">Try</span></th>`}</tr></thead>
      <tbody>${models.map((m, i) => {
        const load = loadOf(now, models, i);
        return html`<tr key=${i}><td class="name"><span class="mono">${m.name}</span><small class="block">${m.about}</small></td>
          <td>${kinds[m.kind] || m.kind}${m.upstreams && html`<small class="block">${m.upstreams.join(", ")}</small>`}${m.adapters && html`<small class="block">${m.adapters} ${m.adapters === 1 ? "adapter" : "adapters"}</small>`}</td>
          <td><${Health} model=${m} load=${load} upstreams=${ups.data?.upstreams || []} /></td>
          <td class="number">${count(load.inFlight)}</td><td class="number">${count(load.waiting)}</td>
          <td class="number">${count(load.requests)}${load.failures > 0 && html`<small class="block bad">${count(load.failures)} failed</small>`}</td>
          <td class="number">${m.price ? `${perMillion(m.price.input)} / ${perMillion(m.price.output)}` : wild(m.name) ? "by name" : "free"}</td>
          ${may("user") && html`<td class="actions"><a class="button small" href=${link(["models"], { model: wild(m.name) ? m.name.replace(/[*?].*$/, "") : m.name })} aria-label=${`Try ${m.name}`}>Try</a></td>`}</tr>`;
      })}</tbody></table></div>
    <p class="help">The first name that fits is taken; * stands for any text. Prices are USD per million tokens, online${models.some((m) => m.price?.batchIsHalf) ? "; a batch pays half" : ""}.</p>
    ${own.length > 0 && html`<section aria-labelledby="tuned"><h2 id="tuned">Tuned models of this project</h2><ul class="panel plain-list">${own.map((m) => html`<li key=${m.id}>
      <span class="mono">${m.id}</span> ${m.displayName !== m.id && m.displayName} <small>${m.baseModelSource?.modelGardenSource?.publicModelName || ""}</small></li>`)}</ul></section>`}
    ${may("user") && html`<${Try} model=${trying} names=${names.filter((n) => !wild(n))} />`}`;
}

// ---- A box to try one ----
const call = (model, verb) => place(`publishers/google/models/${encodeURIComponent(model)}:${verb}`);

async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    rest += value || "";
    const parts = rest.split(/\r?\n\r?\n/);
    rest = done ? "" : parts.pop();
    for (const part of parts) {
      const data = part.split(/\r?\n/).filter((l) => l.startsWith("data:")).map((l) => l.slice(5)).join("\n").trim();
      if (data) yield JSON.parse(data);
    }
    if (done) return;
  }
}

const textOf = (reply) => (reply.candidates?.[0]?.content?.parts || []).filter((p) => !p.thought)
  .map((p) => p.text ?? JSON.stringify(p, null, 2)).join("");

function Try({ model, names }) {
  const [name, setName] = useState(model || names[0] || "");
  const [prompt, setPrompt] = useState("");
  const [system, setSystem] = useState("");
  const [temperature, setTemperature] = useState("0");
  const [most, setMost] = useState("256");
  const [streams, setStreams] = useState(true);
  const [state, setState] = useState({});
  const control = useRef(null);
  const box = useRef();
  useEffect(() => {
    if (!model) return;
    setName(model);
    box.current.scrollIntoView({ block: "nearest" });
    box.current.querySelector("textarea").focus();
  }, [model]);
  useEffect(() => () => control.current?.abort(), []);
  const ask = async (event) => {
    event?.preventDefault();
    control.current = new AbortController();
    const body = {
      contents: [{ role: "user", parts: [{ text: prompt }] }],
      ...(system && { systemInstruction: { parts: [{ text: system }] } }),
      generationConfig: { ...(temperature !== "" && { temperature: Number(temperature) }), ...(most !== "" && { maxOutputTokens: Number(most) }) },
    };
    const began = performance.now();
    const options = { method: "POST", body, signal: control.current.signal };
    let text = "";
    let last = {};
    setState({ busy: true, text });
    try {
      if (streams) {
        const reply = await request(`${call(name, "streamGenerateContent")}?alt=sse`, options);
        for await (const one of events(reply.body)) {
          if (one.error) throw new Error(one.error.message);
          text += textOf(one);
          last = { ...last, ...one };
          setState({ busy: true, text });
        }
      } else {
        last = await (await request(call(name, "generateContent"), options)).json();
        text = textOf(last);
      }
      setState({ text, usage: last.usageMetadata, reason: last.candidates?.[0]?.finishReason, ms: performance.now() - began });
    } catch (error) {
      setState({ text, error: error.name === "AbortError" ? new Error("Stopped.") : error });
    }
  };
  const answers = useLoad((signal) => (name ? get(`/tranche/v1/models/${encodeURIComponent(name)}`, { signal }) : null), [name]);
  const who = answers.error ? answers.error.message : answers.data && `It goes to ${answers.data.name} (${kinds[answers.data.kind] || answers.data.kind})${
    answers.data.price ? `, at ${perMillion(answers.data.price.input)} in and ${perMillion(answers.data.price.output)} out` : ""}.`;
  const u = state.usage;
  return html`<section class="panel try" aria-labelledby="try" ref=${box}><h2 id="try">Try one</h2><form onSubmit=${ask}>
    <div class="fields"><label>Model<input required list="model-names" aria-describedby="try-who" value=${name} onInput=${(e) => setName(e.target.value)} /></label>
      <datalist id="model-names">${names.map((n) => html`<option value=${n} />`)}</datalist>
      <label>Temperature<input type="number" min="0" max="2" step="0.1" value=${temperature} onInput=${(e) => setTemperature(e.target.value)} /></label>
      <label>Tokens at most<input type="number" min="1" max="65536" value=${most} onInput=${(e) => setMost(e.target.value)} /></label></div>
    <p class="help" id="try-who">${who}</p>
    <label>System instruction<input value=${system} placeholder="none" onInput=${(e) => setSystem(e.target.value)} /></label>
    <label>Prompt<textarea required rows="4" value=${prompt} onInput=${(e) => setPrompt(e.target.value)}
      onKeyDown=${(e) => e.key === "Enter" && (e.ctrlKey || e.metaKey) && !state.busy && prompt && ask(e)} /></label>
    <p class="bar"><button class="primary" disabled=${state.busy}>Ask</button>
      ${state.busy && html`<button type="button" onClick=${() => control.current.abort()}>Stop</button>`}
      <label class="check"><input type="checkbox" checked=${streams} onChange=${(e) => setStreams(e.target.checked)} />Stream</label></p></form>
    ${state.error && html`<${Failure} error=${state.error} />`}
    ${(state.text || state.ms) && html`<pre class="text answer" tabindex="0" aria-label="Answer" aria-live="polite">${state.text || "(no text)"}</pre>`}
    ${state.ms && html`<p class="help">${(state.ms / 1000).toFixed(2)} s · ${u ? `${count(u.promptTokenCount)} tokens in, ${count(u.candidatesTokenCount)} out (${rate((u.candidatesTokenCount || 0) / (state.ms / 1000))}/s)` : ""}${state.reason && state.reason !== "STOP" ? ` · ended by ${state.reason}` : ""}</p>`}
  </section>`;
}
