// bq.js -- the service's tables by BigQuery's REST API: queries, loads, names.
import { get, post, session } from "./api.js";

export const project = () => `/bigquery/v2/projects/${encodeURIComponent(session.value.project)}`;
export const tablePath = (dataset, table) =>
  `${project()}/datasets/${encodeURIComponent(dataset)}/tables/${encodeURIComponent(table)}`;

// `project.dataset.table`, as SQL writes it.
const quoteName = (text) => "`" + text.replace(/[\\`]/g, "\\$&") + "`";
export const tableName = (dataset, table) => quoteName(`${session.value.project}.${dataset}.${table}`);
export const columnName = (name) => quoteName(name);
export const text = (value) => `'${String(value).replace(/[\\']/g, "\\$&").replace(/\n/g, "\\n").replace(/\r/g, "\\r")}'`;

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

// Waits for a job; throws its error.
async function settle(job, abort) {
  while (job.status.state !== "DONE") {
    await pause(300);
    job = await get(`${project()}/jobs/${job.jobReference.jobId}`, { signal: abort });
  }
  if (job.status.errorResult) {
    const more = (job.status.errors || []).map((e) => e.message).filter((m) => m !== job.status.errorResult.message);
    throw new Error([job.status.errorResult.message, ...more.slice(0, 5)].join("\n"));
  }
  return job;
}

// A query's first rows: {jobId, fields, rows, total, bytes, ms}. started(jobId) is called when it can be cancelled.
export async function query(sql, { rows = 200, signal: abort, started } = {}) {
  const began = performance.now();
  let reply = await post(`${project()}/queries`, { query: sql, useLegacySql: false, maxResults: rows, timeoutMs: 2000 },
    { signal: abort });
  const jobId = reply.jobReference?.jobId;
  if (started) started(jobId);
  while (!reply.jobComplete) reply = await get(`${project()}/queries/${jobId}?maxResults=${rows}&timeoutMs=5000`, { signal: abort });
  return {
    jobId, fields: reply.schema?.fields || [], rows: (reply.rows || []).map(cells), total: Number(reply.totalRows || 0),
    changed: reply.numDmlAffectedRows, bytes: Number(reply.totalBytesProcessed || 0), ms: performance.now() - began,
  };
}
export const queryRows = async (jobId, start, count) =>
  ((await get(`${project()}/queries/${jobId}?startIndex=${start}&maxResults=${count}`)).rows || []).map(cells);
export const tableRows = async (dataset, table, start, count) =>
  ((await get(`${tablePath(dataset, table)}/data?startIndex=${start}&maxResults=${count}`)).rows || []).map(cells);
export const cancelQuery = (jobId) => post(`${project()}/jobs/${jobId}/cancel`);

const cells = (row) => row.f.map((cell) => cell.v);
// A cell's value as text: lists and structs as JSON.
export function show(value) {
  if (value === null || value === undefined) return null;
  return typeof value === "object" ? JSON.stringify(plain(value)) : String(value);
}
function plain(value) {
  if (Array.isArray(value)) return value.map((item) => plain(item.v));
  return value && value.f ? value.f.map((cell) => plain(cell.v)) : value;
}

export async function ensureDataset(dataset) {
  try {
    await post(`${project()}/datasets`, { datasetReference: { datasetId: dataset } });
  } catch (error) {
    if (error.status !== 409) throw error;
  }
}

// Loads an object into a table. columns: all are texts with these names (CSV: as the file has them); else the types are found.
export async function load(uri, { format, delimiter, columns, dataset, table, replace }) {
  const body = {
    sourceUris: [uri], sourceFormat: format, writeDisposition: replace ? "WRITE_TRUNCATE" : "WRITE_EMPTY",
    destinationTable: { projectId: session.value.project, datasetId: dataset, tableId: table },
  };
  if (format === "CSV") Object.assign(body, { skipLeadingRows: 1, allowQuotedNewlines: true, fieldDelimiter: delimiter || "," });
  if (columns) body.schema = { fields: columns.map((name) => ({ name, type: "STRING" })) };
  else body.autodetect = true;
  return settle(await post(`${project()}/jobs`, { configuration: { load: body } }));
}
