// ui.js -- the parts that pages are made of. All text goes through preact as text: nothing a model or a client wrote
// can become markup.
import { h } from "preact";
import { signal } from "@preact/signals";
import htm from "htm";
import { useEffect, useRef, useState } from "preact/hooks";
import { state } from "./format.js";

export const html = htm.bind(h);

// The signal of a loading: {data, error, loading}. Runs `load(abort)` when `keys` change, and again after `every` ms.
export function useLoad(load, keys = [], every = 0) {
  const [result, set] = useState({ loading: true });
  const again = useRef(() => {});
  useEffect(() => {
    const control = new AbortController();
    let timer;
    const run = async () => {
      clearTimeout(timer);
      try {
        const data = await load(control.signal);
        if (!control.signal.aborted) set({ data, loading: false });
      } catch (error) {
        if (!control.signal.aborted) set((before) => ({ data: before.data, error, loading: false }));
      }
      if (every && !control.signal.aborted) timer = setTimeout(run, every);
    };
    again.current = run;
    set((before) => ({ ...before, loading: true }));
    run();
    return () => {
      control.abort();
      clearTimeout(timer);
    };
  }, keys);
  return { ...result, reload: () => again.current() };
}

export const Badge = ({ of }) => {
  const s = state(of);
  return html`<span class="badge ${s.tone}">${s.word}</span>`;
};

export const Meter = ({ done = 0, failed = 0, total = 0, label }) => {
  const part = (n) => `${total > 0 ? (100 * n) / total : 0}%`;
  return html`<div class="meter" role="progressbar" aria-label=${label} aria-valuemin="0" aria-valuemax=${total} aria-valuenow=${done + failed}>
    <div class="done" style=${{ width: part(done) }} /><div class="failed" style=${{ width: part(failed) }} />
  </div>`;
};

export const Failure = ({ error, retry }) => html`<div class="notice bad" role="alert">
  <p>${error.message}</p>${retry && html`<button onClick=${retry}>Try again</button>`}
</div>`;

export const Empty = ({ title, children }) => html`<div class="empty"><h2>${title}</h2>${children}</div>`;

export const Loading = () => html`<div class="loading" role="status"><span class="spinner" aria-hidden="true" /> Loading</div>`;

export const Figure = ({ name, value, note }) => html`<div class="figure"><dt>${name}</dt><dd>${value}${note && html`<small>${note}</small>`}</dd></div>`;

export const Tabs = ({ items, current }) => html`<nav class="tabs" aria-label="Parts of this page">
  ${items.map(([id, name, href]) => html`<a href=${href} aria-current=${id === current ? "page" : undefined}>${name}</a>`)}
</nav>`;

// ---- Messages that pass ----
const toasts = signal([]);
export function tell(message, tone = "quiet") {
  const one = { message, tone };
  toasts.value = [...toasts.value, one];
  setTimeout(() => (toasts.value = toasts.value.filter((t) => t !== one)), tone === "bad" ? 8000 : 4000);
}
export const Toasts = () => html`<div class="toasts" role="status" aria-live="polite">
  ${toasts.value.map((t) => html`<p class="toast ${t.tone}">${t.message}</p>`)}
</div>`;

// Runs an action of the user's and says when it fails.
export async function attempt(action, done) {
  try {
    const result = await action();
    if (done) tell(done, "good");
    return result;
  } catch (error) {
    tell(error.message, "bad");
    return undefined;
  }
}

// ---- Dialogs ----
export function Dialog({ title, onClose, children }) {
  const ref = useRef();
  useEffect(() => {
    ref.current.showModal();
  }, []);
  return html`<dialog ref=${ref} onClose=${onClose} aria-labelledby="dialog-title">
    <header><h2 id="dialog-title">${title}</h2><button class="plain" aria-label="Close" onClick=${() => ref.current.close()}>×</button></header>
    ${children}
  </dialog>`;
}

const question = signal(null);
// Asks before something that cannot be undone: await sure("Delete 3 jobs?", "Delete").
export const sure = (text, yes) => new Promise((answer) => (question.value = { text, yes, answer }));
export function Questions() {
  const q = question.value;
  if (!q) return null;
  const end = (answer) => {
    question.value = null;
    q.answer(answer);
  };
  return html`<${Dialog} title=${q.text} onClose=${() => end(false)}>
    <footer><button onClick=${() => end(false)}>Keep</button><button class="danger" onClick=${() => end(true)}>${q.yes}</button></footer>
  </${Dialog}>`;
}

export const Copy = ({ text, name = "Copy" }) => html`<button class="small" onClick=${() =>
  attempt(() => navigator.clipboard.writeText(text), "Copied")}>${name}</button>`;
