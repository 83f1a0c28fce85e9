// route.js -- the page's address after "#": "#/jobs/123?tab=rows" is {path: ["jobs", "123"], query: {tab: "rows"}}.
import { signal } from "@preact/signals";

function read() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  return {
    path: path.split("/").filter(Boolean).map(decodeURIComponent),
    query: Object.fromEntries(new URLSearchParams(query)),
  };
}

export const route = signal(read());
addEventListener("hashchange", () => (route.value = read()));

export function link(path, query = {}) {
  const text = new URLSearchParams(Object.entries(query).filter(([, v]) => v !== "" && v !== undefined && v !== null)).toString();
  return `#/${path.map(encodeURIComponent).join("/")}${text ? `?${text}` : ""}`;
}

export function go(path, query, { replace = false } = {}) {
  const to = link(path, query);
  if (replace) {
    history.replaceState(null, "", to);
    route.value = read();
  } else {
    location.hash = to;
  }
}
