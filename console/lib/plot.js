// plot.js -- lines over time (uPlot), in the theme's colours, with a text for those who do not see them.
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { html } from "./ui.js";

const colour = (name) => {
  // light-dark() is resolved on an element that uses it.
  const probe = document.createElement("i");
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const text = getComputedStyle(probe).color;
  probe.remove();
  return text;
};
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 43200, 86400, 172800, 604800];
const clockOf = (seconds, step) => new Date(seconds * 1000).toLocaleString(undefined, step >= 86400 ? { month: "short", day: "numeric" } : { hour: "2-digit", minute: "2-digit", ...(step < 60 && { second: "2-digit" }), hourCycle: "h23" });
const dark = matchMedia("(prefers-color-scheme: dark)");

// times: seconds since 1970. lines: [{name, colour: "accent", values, fill}]. text: says in words what is seen. format: of a value.
export function Plot({ title, times, lines, text, height = 160, format = String }) {
  const box = useRef();
  const plot = useRef();
  const data = [times, ...lines.map((l) => l.values)];
  useEffect(() => {
    const make = () => {
      plot.current?.destroy();
      const soft = colour("soft");
      const grid = { stroke: colour("line"), width: 1 };
      const font = "12px system-ui, sans-serif";
      plot.current = new uPlot({
        width: box.current.clientWidth, height, padding: [8, 8, 0, 0],
        legend: { show: false }, cursor: { y: false, points: { size: 6 } },
        scales: { y: { range: (_, low, high) => [0, high > 0 ? high * 1.1 : 1] } },
        axes: [
          { stroke: soft, grid: { show: false }, ticks: { show: false }, font, size: 28, space: 88, incrs: STEPS, values: (_, v, __, ___, step) => v.map((t) => clockOf(t, step)) },
          { stroke: soft, grid, ticks: { show: false }, font, size: 56, space: 36, values: (_, v) => v.map(format) },
        ],
        series: [{}, ...lines.map((l) => ({ label: l.name, stroke: colour(l.colour), width: 2, points: { show: false }, spanGaps: true,
          fill: l.fill ? colour(l.colour).replace(/^rgb\((.*)\)$/, "rgba($1, 0.12)") : undefined }))],
      }, data, box.current);
    };
    make();
    const watch = new ResizeObserver(() => box.current && plot.current.setSize({ width: box.current.clientWidth, height }));
    watch.observe(box.current);
    dark.addEventListener("change", make);
    return () => {
      watch.disconnect();
      dark.removeEventListener("change", make);
      plot.current.destroy();
    };
  }, [lines.length]);
  useEffect(() => plot.current?.setData(data), [times, ...lines.map((l) => l.values)]);
  return html`<figure class="plot"><figcaption><b>${title}</b>${lines.length > 1 && lines.map((l) => html`<span class="key ${l.colour}">${l.name}</span>`)}<span class="now">${text}</span></figcaption>
    <div ref=${box} role="img" aria-label=${`${title}: ${text}`} /></figure>`;
}

// Numbers of kinds as bars: [{name, count, chosen, href}].
export function Bars({ items, total, unit, choose }) {
  const most = Math.max(1, ...items.map((x) => x.count));
  return html`<ul class="bars">${items.map((x) => html`<li><button aria-pressed=${x.chosen} onClick=${() => choose(x)}>
    <span class="bar-name">${x.name}</span><span class="bar-line" aria-hidden="true"><span style=${{ width: `${(100 * x.count) / most}%` }} /></span>
    <span class="bar-count">${x.count.toLocaleString("en-US")}<small> ${total ? `${((100 * x.count) / total).toFixed(1)} %` : ""}</small><span class="hidden"> ${unit}</span></span></button></li>`)}</ul>`;
}
