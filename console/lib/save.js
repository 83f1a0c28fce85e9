// save.js -- downloads. The browser fetches the file itself, by a link, and streams it to its disk; a link cannot carry the
// console's header, so it carries a ticket for its path that is valid for a minute (src/api/auth.h).
import { post } from "./api.js";

// path: of a call that answers with a file, with its query. name: NULL for the service's own.
export async function save(path, name = "") {
  const { ticket } = await post("/tranche/v1/session:ticket", { path: path.split("?")[0] });
  const a = document.createElement("a");
  a.href = ticket ? `${path}${path.includes("?") ? "&" : "?"}ticket=${encodeURIComponent(ticket)}` : path;
  a.download = name;
  a.click();
}
