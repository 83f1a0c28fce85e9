// spark.js -- a small plot of one series over the last minutes: an area of SVG with its axis in words.
import { html } from "./ui.js";

const W = 300;
const H = 72;

const nice = (n) => {
  if (n <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(n));
  return [1, 2, 5, 10].map((k) => k * power).find((k) => k >= n);
};

// points: [t, value]; say: how a value is written.
export function Spark({ title, points, say }) {
  const last = points.length ? points[points.length - 1][1] : 0;
  const top = nice(Math.max(...points.map((p) => p[1]), 0));
  const end = points.length ? points[points.length - 1][0] : Date.now();
  const minutes = [1, 2, 5].find((m) => points.length && end - points[0][0] <= m * 60_000) || 10;
  const begin = end - minutes * 60_000;
  const shown = points.filter((p) => p[0] >= begin);
  const x = (t) => ((t - begin) / (end - begin)) * W;
  const y = (v) => H - 2 - (v / top) * (H - 6);
  const line = shown.map(([t, v], i) => `${i ? "L" : "M"}${x(t).toFixed(1)},${y(v).toFixed(1)}`).join("");
  const area = shown.length > 1 ? `${line}L${x(shown[shown.length - 1][0]).toFixed(1)},${H}L${x(shown[0][0]).toFixed(1)},${H}Z` : "";
  return html`<figure class="spark panel">
    <figcaption><span>${title}</span><strong>${say(last)}</strong></figcaption>
    <svg viewBox="0 0 ${W} ${H}" preserveAspectRatio="none" role="img" aria-label=${`${title}: ${say(last)} now, at most ${say(Math.max(0, ...shown.map((p) => p[1])))} in the last ${minutes} minutes`}>
      <path class="rule" d="M0,${y(top)}H${W}M0,${y(top / 2)}H${W}M0,${H - 1}H${W}" /><path class="area" d=${area} /><path class="stroke" d=${line} /></svg>
    <p class="axis"><span>${minutes} min ago</span><span>up to ${say(top)}</span><span>now</span></p>
  </figure>`;
}
