// format.js -- numbers, sizes, times and states as people read them.
const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const dollars = new Intl.NumberFormat("en-US", { style: "currency", currency: "USD", minimumFractionDigits: 2, maximumFractionDigits: 4 });

export const count = (n) => whole.format(Number(n || 0));
export const usd = (n) => dollars.format(Number(n || 0));
export const percent = (part, all) => (all > 0 ? `${((100 * part) / all).toFixed(part === all || part === 0 ? 0 : 1)} %` : "0 %");

export function rate(n) {
  const value = Number(n || 0);
  return value >= 100 ? whole.format(value) : value.toFixed(1);
}

export function bytes(n) {
  let value = Number(n || 0);
  const units = ["bytes", "KB", "MB", "GB", "TB"];
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit && value < 100 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

export function duration(seconds) {
  const s = Math.round(Number(seconds || 0));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60 ? `${s % 60} s` : ""}`.trim();
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

export function ago(time, now = Date.now()) {
  if (!time) return "";
  const s = (now - Date.parse(time)) / 1000;
  if (s < 5) return "just now";
  return s < 60 ? `${Math.round(s)} s ago` : s < 3600 ? `${Math.round(s / 60)} min ago` : s < 86400 ? `${Math.round(s / 3600)} h ago` : clock(time);
}

export const clock = (time) => (time ? new Date(time).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" }) : "");

// JOB_STATE_RUNNING, BATCH_STATE_RUNNING -> {word, tone}. tone chooses the colour; the word says it too.
const states = {
  QUEUED: ["queued", "quiet"], PENDING: ["checking", "quiet"], RUNNING: ["running", "live"],
  SUCCEEDED: ["succeeded", "good"], PARTIALLY_SUCCEEDED: ["partly succeeded", "warn"], FAILED: ["failed", "bad"],
  CANCELLING: ["cancelling", "warn"], CANCELLED: ["cancelled", "quiet"], PAUSED: ["paused", "warn"],
  EXPIRED: ["expired", "bad"], UPDATING: ["updating", "live"],
};
export function state(name) {
  const short = String(name || "").replace(/^(JOB|BATCH)_STATE_/, "");
  const [word, tone] = states[short] || [short.toLowerCase().replaceAll("_", " "), "quiet"];
  return { name: short, word, tone, final: ["SUCCEEDED", "PARTIALLY_SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED"].includes(short) };
}
