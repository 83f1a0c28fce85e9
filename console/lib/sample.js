// sample.js -- something to try at once: a bucket with a file of requests, a table of reviews, and a small job.
import { get, may, place, post, request, session } from "./api.js";
import { ensureDataset, query, tableName } from "./bq.js";
import { defaultBucket } from "./source.js";
import { go } from "./route.js";
import { attempt, html } from "./ui.js";
import { ensureBucket } from "./upload.js";

const reviews = [
  [1, 5, "Spotless room, and the staff remembered our names."], [2, 1, "The shower was cold and nobody came."], [3, 3, "It was fine."],
  [4, 4, "Great breakfast, but the street is loud at night."], [5, 2, "They charged us twice and argued about it."], [6, 5, "The view from the terrace is worth the price alone."],
  [7, 1, "Dust under the bed, and the window did not close."], [8, 4, "Quick check-in and a helpful concierge."], [9, 3, "Small room, good location."], [10, 5, "We will come back every year."],
];

// The table samples.reviews; made anew each time.
export async function loadSample() {
  await ensureDataset("samples");
  const rows = reviews.map(([id, stars, text]) => `SELECT ${id} AS id, ${stars} AS stars, ${JSON.stringify(text)} AS text`).join(" UNION ALL ");
  await query(`CREATE OR REPLACE TABLE ${tableName("samples", "reviews")} AS SELECT * FROM (${rows}) ORDER BY id`);
}

// All of it: the table, a file of requests in the console's bucket, and a job on that file by the default model.
async function startSample() {
  const { models } = await get("/tranche/v1/info");
  const model = (models.find((m) => m.about?.includes("(default)")) || models[0]).name.replace(/[*?].*$/, "2.5-flash");
  await loadSample();
  const bucket = await ensureBucket(defaultBucket(), session.value.project);
  const lines = reviews.map(([id, , text]) => JSON.stringify({ key: `review-${id}`, request: {
    contents: [{ role: "user", parts: [{ text: `Is this review positive or negative? ${text}` }] }],
    generationConfig: { temperature: 0, maxOutputTokens: 8, responseMimeType: "text/x.enum", responseSchema: { type: "STRING", enum: ["positive", "negative"] } } } }));
  await request(`/upload/storage/v1/b/${bucket}/o?uploadType=media&name=samples/reviews.jsonl`, {
    method: "POST", body: `${lines.join("\n")}\n`, headers: { "content-type": "application/jsonl" } });
  return post(place("batchPredictionJobs"), {
    displayName: "Sample: hotel reviews", model: `publishers/google/models/${model}`,
    inputConfig: { instancesFormat: "jsonl", gcsSource: { uris: [`gs://${bucket}/samples/reviews.jsonl`] } },
    outputConfig: { predictionsFormat: "jsonl", gcsDestination: { outputUriPrefix: `gs://${bucket}/samples/answers` } },
  });
}

// For pages that have nothing to show yet.
export const Sample = () => may("user") && html`<p><button class="primary" onClick=${async () => {
  const job = await attempt(startSample, "The sample is on its way");
  if (job) go(["jobs", job.name.split("/").pop()]);
}}>Load a sample</button></p><p class="help">A bucket, a table and a small job of ten hotel reviews</p>`;
