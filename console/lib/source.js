// source.js -- the input of a new job: what a file, object or table is, its columns, and how it becomes a table or an
// object of the service.
import { get, request, session } from "./api.js";
import { ensureDataset, load, tablePath } from "./bq.js";
import { ensureBucket, upload } from "./upload.js";

const HEAD_BYTES = 256 * 1024;
export const DATASET = "console";

// "my Reviews (2).csv" -> "my_reviews_2": a name for a table.
export const nameOf = (file) => file.split("/").pop().replace(/\.(csv|tsv|jsonl|json|ndjson|parquet)(\.gz)?$/i, "")
  .replace(/[^A-Za-z0-9]+/g, "_").replace(/^_+|_+$/g, "").toLowerCase().slice(0, 60) || "rows";
const stamp = () => new Date().toISOString().replace(/\D/g, "").slice(2, 14);

export function defaultBucket() {
  const project = session.value.project.toLowerCase().replace(/[^a-z0-9-]+/g, "-").replace(/^-+|-+$/g, "");
  return `${project}-console`.slice(0, 63);
}

// The first record of a CSV: its cells, whatever is quoted.
export function csvHead(text, delimiter) {
  const cells = [];
  let at = 0;
  for (;;) {
    let cell = "";
    if (text[at] === '"') {
      for (at++; at < text.length; at++) {
        if (text[at] !== '"') cell += text[at];
        else if (text[at + 1] === '"') cell += text[at++];
        else break;
      }
      at++;
    }
    while (at < text.length && text[at] !== delimiter && text[at] !== "\n" && text[at] !== "\r") cell += text[at++];
    cells.push(cell.trim());
    if (text[at] !== delimiter) return cells;
    at++;
  }
}
const delimiterOf = (text) => {
  const line = text.split(/\r?\n/, 1)[0];
  return [",", ";", "\t", "|"].reduce((best, d) => (line.split(d).length > line.split(best).length ? d : best), ",");
};

// What the first bytes are: {kind: "requests" | "rows", format, delimiter, columns}; an Error says what is wrong.
export function recognise(name, bytes) {
  if (bytes.length >= 4 && String.fromCharCode(...bytes.slice(0, 4)) === "PAR1") return { kind: "rows", format: "PARQUET" };
  if (/\.parquet$/i.test(name)) throw new Error(`${name} is not a Parquet file: it does not begin with PAR1.`);
  if (/\.(gz|zst|zip|xlsx?)$/i.test(name)) throw new Error(`${name} is packed. Unpack it, or save the sheet as CSV (UTF-8), and choose that.`);
  if (!bytes.length) throw new Error(`${name} is empty.`);
  const text = new TextDecoder().decode(bytes).replace(/^\uFEFF/, "");
  if (text.includes("\0")) throw new Error(`${name} is not text. Choose a JSONL, CSV or Parquet file.`);
  const trimmed = text.trimStart();
  if (trimmed[0] === "{" || /\.(jsonl|ndjson)$/i.test(name)) {
    const line = trimmed.split("\n", 1)[0];
    let first = null;
    try {
      first = JSON.parse(line);
    } catch {
      // A bad first line: the check of the job will say so, with its place.
    }
    if (!first || first.request !== undefined || first.contents !== undefined) return { kind: "requests", format: "NEWLINE_DELIMITED_JSON" };
    return { kind: "rows", format: "NEWLINE_DELIMITED_JSON" };
  }
  if (trimmed[0] === "[") throw new Error(`${name} is one JSON array. Write one object on each line (JSON Lines).`);
  const delimiter = /\.tsv$/i.test(name) ? "\t" : delimiterOf(text);
  const columns = csvHead(text, delimiter);
  if (columns.some((c) => !c)) throw new Error(`The first line of ${name} must name each column. Column ${columns.findIndex((c) => !c) + 1} has no name.`);
  const twice = columns.find((c, i) => columns.findIndex((o) => o.toLowerCase() === c.toLowerCase()) !== i);
  if (twice) throw new Error(`The first line of ${name} names the column "${twice}" twice.`);
  return { kind: "rows", format: "CSV", delimiter, columns };
}

export const ofFile = async (file) => recognise(file.name, new Uint8Array(await file.slice(0, HEAD_BYTES).arrayBuffer()));

export async function ofObject(uri) {
  const { bucket, name } = split(uri);
  const path = `/storage/v1/b/${encodeURIComponent(bucket)}/o/${encodeURIComponent(name)}?alt=media`;
  const response = await request(path, { headers: { range: `bytes=0-${HEAD_BYTES - 1}` } });
  return recognise(name, new Uint8Array(await response.arrayBuffer()));
}
export function split(uri) {
  const found = /^gs:\/\/([^/]+)\/(.+)$/.exec(uri);
  if (!found) throw new Error("Write the object as gs://bucket/name.");
  return { bucket: found[1], name: found[2] };
}

// A file becomes an object of the console's bucket: its URI.
export async function putFile(file, progress, signal) {
  const bucket = await ensureBucket(defaultBucket(), session.value.project);
  const name = `inputs/${stamp()}-${file.name.replaceAll("/", "_")}`;
  await upload(bucket, name, file, progress, signal);
  return `gs://${bucket}/${name}`;
}

// Rows of an object become a table: {dataset, table}. A table of the same name is replaced by none: the name gets a time.
export async function putTable(uri, found) {
  await ensureDataset(DATASET);
  const table = `${nameOf(split(uri).name.replace(/^.*\/\d{12}-/, ""))}_${stamp()}`;
  await load(uri, { ...found, dataset: DATASET, table });
  return { dataset: DATASET, table };
}

export const columnsOf = async ({ dataset, table }) => {
  const t = await get(tablePath(dataset, table));
  return { columns: t.schema?.fields || [], rows: t.numRows === undefined ? 0 : Number(t.numRows) };
};
