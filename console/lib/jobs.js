// jobs.js -- jobs of both dialects in one form, kept up to date by the stream of events, and what can be done with them.
import { useEffect, useRef, useState } from "preact/hooks";
import { get, pages, place, post, remove } from "./api.js";
import { state } from "./format.js";
import { listen } from "./live.js";

// A Vertex resource or a Gemini operation as {name, id, title, state, model, created, started, ended, facts, error, raw}.
export function jobOf(raw) {
  const batch = raw.name.startsWith("batches/");
  const body = batch ? raw.metadata || {} : raw;
  const id = raw.name.split("/").pop();
  return {
    name: raw.name, id, batch, raw,
    title: body.displayName || id,
    state: body.state,
    model: String(body.model || "").split("/").pop(),
    created: body.createTime, started: body.startTime, ended: body.endTime,
    labels: body.labels || {},
    error: (raw.error || body.error || {}).message,
    facts: body.tranche || { progress: {} },
  };
}

// What changes with an event.
export const withEvent = (job, event) => ({ ...job, state: event.state, facts: event.tranche });

export const path = (name) => `/${name.startsWith("batches/") ? "v1beta" : "v1"}/${name}`;
export const nameOf = (id) => (/^\d+$/.test(id) ? place(`batchPredictionJobs/${id}`).slice("/v1/".length) : `batches/${id}`);
export const load = async (name, options) => jobOf(await get(path(name), options));

const is = (...names) => (job) => names.includes(state(job.state).name);
const finals = ["SUCCEEDED", "PARTIALLY_SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED"];
// The actions by name: which jobs they fit, and the call.
export const actions = {
  pause: { word: "Pause", done: "paused", fits: is("PENDING", "QUEUED", "RUNNING"), run: (job) => post(`${path(job.name)}:pause`) },
  resume: { word: "Resume", done: "resumed", fits: is("PAUSED"), run: (job) => post(`${path(job.name)}:resume`) },
  retry: {
    word: "Retry failed", done: "retried as new jobs", run: (job) => post(`${path(job.name)}:retryFailed`),
    fits: (job) => is(...finals)(job) && (job.facts.progress.failed || 0) + (job.facts.progress.notRun || 0) > 0,
  },
  cancel: { word: "Cancel", done: "asked to cancel", sure: true, fits: is("PENDING", "QUEUED", "RUNNING", "PAUSED"), run: (job) => post(`${path(job.name)}:cancel`) },
  delete: { word: "Delete", done: "deleted", sure: true, fits: is(...finals), run: (job) => remove(path(job.name)) },
};

// All jobs of the project: {jobs, error, loading, reload}. Pages arrive one after the other.
export function useJobs() {
  const known = useRef(new Map());
  const [view, set] = useState({ jobs: [], loading: true });
  const [turn, again] = useState(0);
  useEffect(() => {
    const control = new AbortController();
    const jobs = known.current;
    const asked = new Set();
    let timer = 0;
    let loading = true;
    let failed;
    const show = () => {
      timer = 0;
      set({ jobs: [...jobs.values()], loading, error: failed });
    };
    const soon = () => (timer ||= setTimeout(show, 100));
    const one = async (name) => {
      if (asked.has(name)) return;
      asked.add(name);
      try {
        const job = await load(name, { signal: control.signal });
        jobs.set(name, job);
      } catch (error) {
        if (error.status === 404) jobs.delete(name);
      }
      asked.delete(name);
      soon();
    };
    const all = async () => {
      const seen = new Set();
      failed = undefined;
      try {
        await Promise.all([[place("batchPredictionJobs?pageSize=200"), "batchPredictionJobs"], ["/v1beta/batches?pageSize=200", "operations"]]
          .map(async ([url, member]) => {
            for await (const page of pages(url, member, { signal: control.signal })) {
              for (const raw of page) {
                seen.add(raw.name);
                jobs.set(raw.name, jobOf(raw));
              }
              soon();
            }
          }));
        for (const name of jobs.keys()) if (!seen.has(name)) jobs.delete(name);
      } catch (error) {
        if (error.name === "AbortError") return;
        failed = error;
      }
      loading = false;
      soon();
    };
    const stop = listen((event) => {
      if (event.kind === "again") return void all();
      const job = jobs.get(event.job);
      if (job) jobs.set(event.job, withEvent(job, event));
      if (!job || event.kind === "state") one(event.job);
      soon();
    });
    all();
    return () => {
      stop();
      control.abort();
      clearTimeout(timer);
    };
  }, [turn]);
  return { ...view, reload: () => again(turn + 1) };
}

// One job, live: {job, error, loading, samples}. samples: the rates since the page was opened.
export function useJob(name) {
  const [view, set] = useState({ loading: true });
  const samples = useRef([]);
  useEffect(() => {
    const control = new AbortController();
    samples.current = [];
    set({ loading: true });
    const ask = async () => {
      try {
        const job = await load(name, { signal: control.signal });
        set({ job, loading: false });
      } catch (error) {
        if (error.name !== "AbortError") set((before) => ({ job: error.status === 404 ? undefined : before.job, error, loading: false }));
      }
    };
    const stop = listen((event) => {
      if (event.kind === "again") return void ask();
      if (event.job !== name) return;
      if (event.kind === "state") ask();
      const { rates, inFlight, progress } = event.tranche;
      if (rates) samples.current = [...samples.current.slice(-1799), { time: Date.parse(event.time) / 1000, rates, inFlight, done: progress.total - progress.pending }];
      set((before) => (before.job ? { job: withEvent(before.job, event), loading: false } : before));
    });
    ask();
    // Queue positions change without an event of this job.
    const timer = setInterval(() => document.visibilityState === "visible" && ask(), 5000);
    return () => {
      stop();
      control.abort();
      clearInterval(timer);
    };
  }, [name]);
  return { ...view, samples: samples.current };
}
