// @google-cloud/bigquery against a server: node bigquery.mjs URL. Prints nothing when all is right.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { BigQuery } from "@google-cloud/bigquery";
import { OAuth2Client } from "google-auth-library";

// A token that the service does not look at, for uploads: without any credentials the client cannot send them.
const authClient = new OAuth2Client();
authClient.setCredentials({ access_token: "anything" });

const url = process.argv[2];
process.env.METADATA_SERVER_DETECTION = "none"; // no look for a cloud machine
// As an emulator's host and as an endpoint: the paths differ.
for (const host of [true, false]) {
  if (host) process.env.BIGQUERY_EMULATOR_HOST = url;
  else delete process.env.BIGQUERY_EMULATOR_HOST;
  const bigquery = new BigQuery({ projectId: "web", apiEndpoint: url, authClient });
  const id = host ? "d_host" : "d_endpoint";
  const [dataset] = await bigquery.createDataset(id);
  assert.equal((await bigquery.getDatasets())[0].some((d) => d.id === id), true);
  const [table] = await dataset.createTable("t", {
    schema: [
      { name: "id", type: "INTEGER", mode: "REQUIRED" },
      { name: "seen", type: "TIMESTAMP" },
      { name: "tags", type: "STRING", mode: "REPEATED" },
      { name: "who", type: "RECORD", fields: [{ name: "age", type: "INTEGER" }] },
    ],
  });
  await table.insert([
    { id: 1, seen: bigquery.timestamp("2024-01-31T12:00:00.000001Z"), tags: ["a"], who: { age: 7 } },
    { id: 2 },
  ]);
  const [rows] = await table.getRows();
  rows.sort((a, b) => a.id - b.id);
  assert.deepEqual(rows[0].tags, ["a"]);
  assert.match(rows[0].seen.value, /^2024-01-31T12:00:00.000001(000)?Z$/);
  assert.equal(rows[0].who.age, 7);
  assert.deepEqual(rows[1].tags, []);
  await assert.rejects(table.insert([{ id: "x" }]), (e) => e.name === "PartialFailureError");

  const [found] = await bigquery.query({
    query: "SELECT id, seen FROM `" + id + ".t` WHERE id >= @least ORDER BY id", params: { least: 1 },
  });
  assert.deepEqual(found.map((r) => r.id), [1, 2]);
  assert.match(found[0].seen.value, /^2024-01-31T12:00:00.000001(000)?Z$/);
  const [job] = await bigquery.createQueryJob({ query: "SELECT n FROM UNNEST(GENERATE_ARRAY(1, 50)) AS n" });
  assert.equal((await job.getQueryResults())[0].length, 50);
  const [page, next] = await job.getQueryResults({ maxResults: 20, autoPaginate: false });
  assert.equal(page.length, 20);
  assert.equal((await job.getQueryResults(next))[0][0].n, 21);
  await assert.rejects(bigquery.query("SELECT FROM"), (e) => e.code === 400);
  await assert.rejects(bigquery.query("SELECT * FROM " + id + ".none"), (e) => e.code === 404);

  writeFileSync("rows.csv", "id,name\n1,one\n2,two\n");
  const [load] = await dataset.table("loaded").load("rows.csv", {
    sourceFormat: "CSV", skipLeadingRows: 1,
    schema: { fields: [{ name: "id", type: "INTEGER" }, { name: "name", type: "STRING" }] },
  });
  assert.equal(load.status.state, "DONE");
  assert.equal((await dataset.table("loaded").getRows())[0].length, 2);
  const [metadata] = await dataset.table("loaded").getMetadata();
  assert.equal(metadata.numRows, "2");
  await dataset.table("loaded").copy(dataset.table("copied"));
  assert.equal((await dataset.table("copied").getRows())[0].length, 2);
  await dataset.table("copied").delete();
  await dataset.delete({ force: true });
  assert.equal((await dataset.exists())[0], false);
}
