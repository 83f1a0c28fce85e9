// upload.js -- resumable uploads of files to buckets (Cloud Storage's protocol), with progress, pause and resume. An
// upload whose page was closed goes on when the same file is chosen again: its address is in localStorage.
import { signal } from "@preact/signals";
import { ApiError, get, post } from "./api.js";

const CHUNK_MIN = 1 << 20; // a multiple of 256 KiB, as the protocol wants
const CHUNK_MAX = 16 << 20;
const FAST_MS = 400;
const TRIES = 8;

const storageKey = (bucket, name, file) => `tranche.upload/${bucket}/${name}/${file.size}/${file.lastModified}`;
const address = (bucket, name) =>
  `/upload/storage/v1/b/${encodeURIComponent(bucket)}/o?uploadType=resumable&name=${encodeURIComponent(name)}`;

async function begin(bucket, name, file, abort) {
  const response = await fetch(address(bucket, name), {
    method: "POST", signal: abort, body: JSON.stringify({ contentType: file.type || typeOf(name) }),
    headers: { "x-tranche-console": "1", "content-type": "application/json", "x-upload-content-length": String(file.size) },
  });
  if (!response.ok) throw await failed(response);
  const at = new URL(response.headers.get("location"), location.href);
  return at.pathname + at.search;
}

async function failed(response) {
  const text = await response.text().catch(() => "");
  let message = text || `The service answered ${response.status}.`;
  try {
    message = JSON.parse(text).error.message;
  } catch {
    // Plain text: it is the message.
  }
  return new ApiError(response.status, message);
}

const put = (at, range, body, abort) => fetch(at, {
  method: "PUT", body, signal: abort, headers: { "x-tranche-console": "1", "content-range": range },
});

// The bytes that are durable, or the object when the upload is done.
async function answer(response) {
  if (response.status === 308) {
    const range = response.headers.get("range");
    return { bytes: range ? Number(range.split("-")[1]) + 1 : 0 };
  }
  if (!response.ok) throw await failed(response);
  return { object: await response.json() };
}

const standing = async (at, file, abort) => answer(await put(at, `bytes */${file.size}`, undefined, abort));

const pause = (ms, abort) => new Promise((done, stop) => {
  const timer = setTimeout(done, ms);
  abort.addEventListener("abort", () => (clearTimeout(timer), stop(new DOMException("stopped", "AbortError"))));
});

async function send(at, file, progress, abort) {
  let state = await standing(at, file, abort);
  let chunk = CHUNK_MIN;
  let tries = 0;
  while (!state.object) {
    progress(state.bytes);
    const end = Math.min(state.bytes + chunk, file.size);
    const range = file.size ? `bytes ${state.bytes}-${end - 1}/${file.size}` : "bytes */0";
    const began = performance.now();
    try {
      state = await answer(await put(at, range, file.slice(state.bytes, end), abort));
      if (performance.now() - began < FAST_MS && chunk < CHUNK_MAX) chunk *= 2;
      tries = 0;
    } catch (error) {
      const passes = error.name !== "AbortError" && !(error.status >= 400 && error.status < 500);
      if (!passes || ++tries > TRIES) throw error;
      await pause(Math.min(500 * 2 ** tries, 15_000), abort);
      state = await standing(at, file, abort).catch((e) => {
        if (e.name === "AbortError" || e.status) throw e;
        return state; // still unreachable: the next chunk is another try
      });
    }
  }
  progress(file.size);
  return state.object;
}

// Uploads a file: the object's resource. progress(bytes) is called on the way. Aborting keeps what is durable.
export async function upload(bucket, name, file, progress, abort) {
  const key = storageKey(bucket, name, file);
  let at = localStorage.getItem(key);
  for (;;) {
    const fresh = !at;
    if (fresh) {
      at = await begin(bucket, name, file, abort);
      localStorage.setItem(key, at);
    }
    try {
      const object = await send(at, file, progress, abort);
      localStorage.removeItem(key);
      return object;
    } catch (error) {
      if (error.name === "AbortError") throw error;
      if (error.status >= 400 && error.status < 500) localStorage.removeItem(key);
      if (fresh || !(error.status === 404 || error.status === 410)) throw error;
      at = null; // The service has forgotten that upload: begin again.
    }
  }
}

// ---- The list of this page's uploads ----
export const uploads = signal([]);
let nextId = 1;
const change = (id, more) => (uploads.value = uploads.value.map((u) => (u.id === id ? { ...u, ...more } : u)));

async function run(one) {
  const control = new AbortController();
  change(one.id, { state: "running", error: "", control });
  try {
    await upload(one.bucket, one.name, one.file, (bytes) => change(one.id, { bytes }), control.signal);
    change(one.id, { state: "done" });
    one.done();
  } catch (error) {
    change(one.id, error.name === "AbortError" ? { state: "paused" } : { state: "failed", error: error.message });
  }
}

export function start(bucket, name, file, done) {
  const one = { id: nextId++, bucket, name, file, bytes: 0, size: file.size, state: "running", done };
  uploads.value = [...uploads.value, one];
  run(one);
}
export const stop = (one) => one.control.abort();
export const resume = (one) => run(one);
export const forget = (one) => {
  one.control?.abort();
  uploads.value = uploads.value.filter((u) => u.id !== one.id);
};

// ---- Buckets ----
export const typeOf = (name) => ({
  jsonl: "application/jsonl", json: "application/json", csv: "text/csv", tsv: "text/tab-separated-values", txt: "text/plain",
  md: "text/markdown", png: "image/png", jpg: "image/jpeg", jpeg: "image/jpeg", webp: "image/webp", gif: "image/gif",
  parquet: "application/vnd.apache.parquet",
}[name.split(".").pop().toLowerCase()] || "application/octet-stream");

// Makes a bucket unless it is there already.
export async function ensureBucket(name, project) {
  try {
    await get(`/storage/v1/b/${encodeURIComponent(name)}`);
  } catch (error) {
    if (error.status !== 404) throw error;
    await post(`/storage/v1/b?project=${encodeURIComponent(project)}`, { name });
  }
  return name;
}
