// metrics.js -- the service's /metrics, asked for while a page shows them, and kept for the plots.
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { request } from "./api.js";

const EVERY_MS = 2000;
const KEPT = 300; // samples: ten minutes

// "name{a=\"b\"} 1" -> Map name -> [{labels, value}]. Buckets of histograms are left out: nothing here plots them.
export function parse(text) {
  const found = new Map();
  for (const line of text.split("\n")) {
    if (!line || line[0] === "#" || line.includes("_bucket{")) continue;
    const m = /^([a-zA-Z_:]+)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (!m) continue;
    const labels = {};
    for (const [, key, value] of (m[2] || "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g))
      labels[key] = value.replace(/\\(.)/g, (_, c) => (c === "n" ? "\n" : c));
    if (!found.has(m[1])) found.set(m[1], []);
    found.get(m[1]).push({ labels, value: Number(m[3]) });
  }
  return found;
}

// {now: Map, samples: [{t, ...sums}], error}
export const metrics = signal({ now: null, samples: [], error: null });

export const sum = (map, name, where = {}) => (map?.get(name) || []).filter((s) => Object.entries(where).every(([k, v]) => s.labels[k] === v))
  .reduce((total, s) => total + s.value, 0);

const sampleOf = (map) => ({
  t: Date.now(),
  calls: sum(map, "tranche_http_requests_total"), lines: sum(map, "tranche_lines_total"),
  tokens: sum(map, "tranche_model_generated_tokens_total"), inFlight: sum(map, "tranche_model_in_flight"),
  waiting: sum(map, "tranche_model_waiting"), cpu: sum(map, "process_cpu_seconds_total"),
});

let users = 0;
let timer;
async function poll() {
  try {
    const map = parse(await (await request("/metrics")).text());
    metrics.value = { now: map, samples: [...metrics.value.samples, sampleOf(map)].slice(-KEPT), error: null };
  } catch (error) {
    metrics.value = { ...metrics.value, error };
  }
  if (users) timer = setTimeout(poll, EVERY_MS);
}

export function useMetrics() {
  useEffect(() => {
    if (++users === 1) poll();
    return () => {
      if (--users === 0) clearTimeout(timer);
    };
  }, []);
  return metrics.value;
}

// Growth of a counter in each second, as [t, rate]; a counter that fell began anew.
export const rates = (samples, key) => samples.slice(1).map((s, i) => {
  const before = samples[i];
  return [s.t, Math.max(0, s[key] - before[key]) / Math.max(0.001, (s.t - before.t) / 1000)];
});
export const values = (samples, key) => samples.map((s) => [s.t, s[key]]);
