// grid.js -- rows of a table by virtual paging: only those on the screen are in the page, and are fetched when they come
// into view. A million rows scroll as ten do.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { count } from "./format.js";
import { show } from "./bq.js";
import { html } from "./ui.js";

const ROW = 32;
const PAGE = 200;
const PAGES_KEPT = 40;
const HEIGHT_MAX = 12e6; // browsers cut elements that are higher than some 17 million pixels

const isNumber = (field) => ["INTEGER", "INT64", "FLOAT", "FLOAT64", "NUMERIC", "BIGNUMERIC"].includes(field.type) && field.mode !== "REPEATED";

// fetch(start, count) gives rows, each an array of values. first: rows that are known already.
export function Grid({ fields, total, fetch, first = [], label, height = "min(60vh, 640px)" }) {
  const box = useRef();
  const [, redraw] = useState(0);
  const [top, setTop] = useState(0);
  const [view, setView] = useState(480);
  const [chosen, choose] = useState(-1);
  const [error, setError] = useState("");
  const cache = useMemo(() => new Map(first.length ? [[0, first]] : []), [fetch]);
  const high = Math.min(total * ROW, HEIGHT_MAX);
  const shown = Math.ceil(view / ROW) + 1;
  const most = Math.max(0, total - shown + 1);
  const from = high < total * ROW ? Math.round((top / Math.max(1, high - view)) * most) : Math.floor(top / ROW);
  const begin = Math.max(0, Math.min(from - 4, total));
  const end = Math.min(total, from + shown + 4);

  useEffect(() => {
    const watch = new ResizeObserver(([entry]) => setView(entry.contentRect.height));
    watch.observe(box.current);
    return () => watch.disconnect();
  }, []);
  useEffect(() => {
    const timer = setTimeout(() => {
      for (let page = Math.floor(begin / PAGE); page * PAGE < end; page++) {
        const known = cache.get(page);
        if (known && (known.loading || known.length >= Math.min(PAGE, total - page * PAGE))) continue;
        cache.set(page, { loading: true });
        fetch(page * PAGE, PAGE).then((rows) => {
          cache.set(page, rows);
          if (cache.size > PAGES_KEPT) cache.delete([...cache.keys()].find((k) => Math.abs(k - page) > 4));
          setError("");
          redraw((n) => n + 1);
        }, (e) => (cache.delete(page), setError(e.message)));
      }
    }, 60);
    return () => clearTimeout(timer);
  }, [begin, end, fetch]);

  const rowAt = (i) => {
    const page = cache.get(Math.floor(i / PAGE));
    return page && !page.loading ? page[i % PAGE] : undefined;
  };
  const above = high < total * ROW ? Math.min(top, high - view) - Math.min(4, from) * ROW : begin * ROW;
  const rows = [];
  for (let i = begin; i < end; i++) rows.push(i);
  const onKey = (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      const next = Math.max(0, Math.min(total - 1, chosen + step));
      choose(next);
      if (next < from || next > from + shown - 4) box.current.scrollTop += step * ROW;
    } else if (event.key === "Escape") choose(-1);
  };
  const picked = chosen >= 0 ? rowAt(chosen) : undefined;
  return html`<div>
    ${error && html`<p class="notice bad" role="alert">${error}</p>`}
    <div class="grid" ref=${box} tabindex="0" role="region" aria-label=${label} style=${{ maxHeight: height }} onKeyDown=${onKey}
      onScroll=${(e) => setTop(e.currentTarget.scrollTop)}>
      <table aria-rowcount=${total}>
        <thead><tr><th class="number">#</th>${fields.map((f) => html`<th class=${isNumber(f) ? "number" : ""}>${f.name}<small>${f.mode === "REPEATED" ? `${f.type}[]` : f.type}</small></th>`)}</tr></thead>
        <tbody>
          ${above > 0 && html`<tr class="space" aria-hidden="true" style=${{ height: `${above}px` }} />`}
          ${rows.map((i) => {
            const row = rowAt(i);
            return html`<tr key=${i} aria-rowindex=${i + 1} class=${i === chosen ? "chosen" : ""} onClick=${() => choose(i === chosen ? -1 : i)}>
              <td class="number">${count(i + 1)}</td>
              ${fields.map((f, k) => {
                const value = row ? show(row[k]) : "…";
                return html`<td class=${isNumber(f) ? "number" : ""}>${value === null ? html`<span class="null">null</span>` : value.length > 300 ? `${value.slice(0, 300)}…` : value}</td>`;
              })}</tr>`;
          })}
          <tr class="space" aria-hidden="true" style=${{ height: `${Math.max(0, high - Math.max(0, above) - rows.length * ROW)}px` }} />
        </tbody>
      </table>
    </div>
    ${picked && html`<section class="panel row-detail" aria-label=${`Row ${chosen + 1}`}><h2>Row ${count(chosen + 1)}</h2>
      <dl>${fields.map((f, k) => html`<dt>${f.name}</dt><dd class="mono">${show(picked[k]) ?? html`<span class="null">null</span>`}</dd>`)}</dl></section>`}
  </div>`;
}
