// save.js -- a download that carries the console's header, which a plain link cannot. A large one goes straight into a
// file where the browser can do that, and through memory elsewhere.
import { request } from "./api.js";

const LARGE_BYTES = 64e6;

export async function save(path, name, size = 0) {
  if (size > LARGE_BYTES && window.showSaveFilePicker) {
    const file = await window.showSaveFilePicker({ suggestedName: name });
    const response = await request(path);
    await response.body.pipeTo(await file.createWritable());
    return;
  }
  saveBlob(await (await request(path)).blob(), name);
}

export function saveBlob(blob, name) {
  const url = URL.createObjectURL(blob);
  const a = document.createElement("a");
  a.href = url;
  a.download = name;
  a.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
