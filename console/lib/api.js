// api.js -- calls of the service's REST API by a signed-in browser. Every call carries the console's header; the
// cookie says who we are (src/api/console/console.h).
import { signal } from "@preact/signals";

// Who is signed in: {open, project, role, location, version}; null: nobody; undefined: not known yet.
export const session = signal(undefined);

export class ApiError extends Error {
  constructor(status, message, details) {
    super(message);
    this.status = status;
    this.details = details;
  }
}

async function failure(response) {
  let message = `The service answered ${response.status}.`;
  let details;
  try {
    const error = (await response.json()).error;
    message = error.message || message;
    details = error.details;
  } catch {
    // Not JSON: the status says all.
  }
  return new ApiError(response.status, message, details);
}

// The response of a call; an ApiError when it fails. body: an object becomes JSON.
export async function request(path, { method = "GET", body, headers = {}, signal: abort } = {}) {
  const init = { method, headers: { "x-tranche-console": "1", ...headers }, signal: abort };
  if (body !== undefined) {
    const raw = body instanceof Blob || typeof body === "string";
    init.body = raw ? body : JSON.stringify(body);
    if (!raw) init.headers["content-type"] = "application/json";
  }
  let response;
  try {
    response = await fetch(path, init);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "The service cannot be reached. It may be restarting; the page goes on by itself.");
  }
  if (response.ok) return response;
  const error = await failure(response);
  if (response.status === 401 && session.value) session.value = null;
  throw error;
}

export const get = async (path, options) => (await request(path, options)).json();
export const post = async (path, body = {}, options) => (await request(path, { ...options, method: "POST", body })).json();
export const patch = async (path, body, options) => (await request(path, { ...options, method: "PATCH", body })).json();
export const remove = async (path, options) => request(path, { ...options, method: "DELETE" });

// "projects/P/locations/L" of this session, and a path in it.
export const parent = () => `projects/${session.value.project}/locations/${session.value.location}`;
export const place = (rest) => `/v1/${parent()}/${rest}`;

export async function whoAmI() {
  try {
    session.value = await get("/tranche/v1/session");
  } catch (error) {
    if (error.status) session.value = null;
    else throw error;
  }
}

export async function signIn(key) {
  session.value = await post("/tranche/v1/session", { key });
}

export async function signOut() {
  await remove("/tranche/v1/session");
  session.value = null;
}

// While a page is open its session does not end for idleness.
setInterval(() => session.value && !session.value.open && document.visibilityState === "visible" &&
  post("/tranche/v1/session:refresh").catch(() => {}), 10 * 60 * 1000);

const ranks = { viewer: 0, user: 1, admin: 2 };
export const may = (role) => !!session.value && ranks[session.value.role] >= ranks[role];

// All items of a paged list, a page at a time: for await (const page of pages("...", "batchPredictionJobs")).
export async function* pages(path, member, { signal: abort } = {}) {
  let token = "";
  do {
    const at = token ? `${path}${path.includes("?") ? "&" : "?"}pageToken=${encodeURIComponent(token)}` : path;
    const page = await get(at, { signal: abort });
    yield page[member] || [];
    token = page.nextPageToken;
  } while (token);
}
