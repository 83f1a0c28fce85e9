// live.js -- what happens to jobs, as it happens. One stream of events a browser: the tab that holds a lock reads it
// and tells the others, because HTTP/1.1 gives a host six connections. A stream that breaks begins again behind the
// last event it had.
import { signal } from "@preact/signals";
import { request } from "./api.js";

// "connecting", "live", or "broken" (the service is away; the stream is tried again).
export const live = signal("connecting");

const listeners = new Set();
// fn gets {kind: "state" | "progress", job, state, time, tranche}, and {kind: "again"} when events may have been missed.
export function listen(fn) {
  start();
  listeners.add(fn);
  return () => listeners.delete(fn);
}

const channel = "BroadcastChannel" in window ? new BroadcastChannel("tranche-live") : null;
function hear(message) {
  if (message.status) live.value = message.status;
  else for (const fn of listeners) fn(message);
}
channel?.addEventListener("message", ({ data }) => {
  if (!data.ask) hear(data);
  else if (live.value === "live") channel.postMessage({ status: "live" });
});
function say(message) {
  hear(message);
  channel?.postMessage(message);
}

// The events of a text/event-stream: calls fn({event, id, data}) for each.
export async function readEvents(response, fn) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const one = { event: "message", data: "" };
      for (const line of block.split("\n")) {
        const at = line.indexOf(": ");
        if (at > 0) one[line.slice(0, at)] = line.slice(at + 2);
      }
      if (one.data) fn(one);
    }
  }
}

let last = "";
async function stream() {
  let wait = 500;
  let first = live.value === "connecting"; // else another tab has read before, and something may be missed between
  for (;;) {
    try {
      const headers = last ? { "last-event-id": last } : {};
      const response = await request("/tranche/v1/events?progress=true", { headers });
      wait = 500;
      say({ status: "live" });
      if (!first) say({ kind: "again" });
      first = false;
      await readEvents(response, ({ event, id, data }) => {
        if (id) last = id;
        say({ kind: event === "progress" ? "progress" : "state", ...JSON.parse(data) });
      });
    } catch (error) {
      if (error.status === 401) return; // signed out: the page shows the sign-in
      if (error.status === 400) last = ""; // the event is from a state folder that is gone
    }
    say({ status: "broken" });
    await new Promise((done) => setTimeout(done, wait));
    wait = Math.min(wait * 2, 8000);
  }
}

let started = false;
function start() {
  if (started) return;
  started = true;
  const run = () => stream().finally(() => (started = false));
  // Without locks (a page that is not served by HTTPS or from this machine) each tab has a stream.
  if (navigator.locks) navigator.locks.request("tranche-live", run);
  else run();
  channel?.postMessage({ ask: true }); // the tab that reads may have been live for long
}
