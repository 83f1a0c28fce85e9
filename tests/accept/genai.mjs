// @google/genai, unmodified, both dialects. usage: node genai.mjs SERVER_URL
// Prints one line a check; ends with 1 when one does not hold.
import assert from 'node:assert/strict';
import { writeFileSync, readFileSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GoogleGenAI } from '@google/genai';

const base = process.argv[2];
const model = 'tranche-fake';
const folder = mkdtempSync(join(tmpdir(), 'tranche-'));
const pause = () => new Promise((done) => setTimeout(done, 50));
const line = (i) => JSON.stringify({
  key: `k${i}`, request: { contents: [{ role: 'user', parts: [{ text: `request ${i}` }] }] },
});
const input = [0, 1, 2].map(line).join('\n') + '\n';

const vertex = new GoogleGenAI({
  vertexai: true, project: 'p1', location: 'us-central1', apiKey: 'any',
  httpOptions: { baseUrl: base },
});
const gemini = new GoogleGenAI({ apiKey: 'any', httpOptions: { baseUrl: base } });

async function finish(client, job) {
  const ended = ['JOB_STATE_SUCCEEDED', 'JOB_STATE_FAILED', 'JOB_STATE_CANCELLED'];
  for (let i = 0; i < 600 && !ended.includes(job.state); i++) {
    await pause();
    job = await client.batches.get({ name: job.name });
  }
  return job;
}

const checks = {
  async 'a vertex job runs from its object to its output'() {
    await fetch(`${base}/storage/v1/b?project=p1`, { method: 'POST', body: '{"name":"js1"}' });
    await fetch(`${base}/upload/storage/v1/b/js1/o?uploadType=media&name=in.jsonl`,
      { method: 'POST', body: input });
    let job = await vertex.batches.create({
      model, src: 'gs://js1/in.jsonl', config: { dest: 'gs://js1/out' },
    });
    job = await finish(vertex, job);
    assert.equal(job.state, 'JOB_STATE_SUCCEEDED');
    assert.equal(job.completionStats.successfulCount, '3');
    const listed = await vertex.batches.list({ config: { pageSize: 5 } });
    let found = false;
    for await (const one of listed) found ||= one.name === job.name;
    assert.ok(found);
    await vertex.batches.delete({ name: job.name });
  },
  async 'inline requests come back in order'() {
    let job = await gemini.batches.create({
      model, src: [0, 1, 2].map((i) => ({
        contents: [{ role: 'user', parts: [{ text: `inline ${i}` }] }], metadata: { key: `m${i}` },
      })),
    });
    job = await finish(gemini, job);
    assert.deepEqual(job.dest.inlinedResponses.map((r) => r.response.candidates[0].content.parts[0].text),
      ['echo: inline 0', 'echo: inline 1', 'echo: inline 2']);
  },
  async 'a file batch writes a file with keys'() {
    const path = join(folder, 'in.jsonl');
    writeFileSync(path, input);
    const file = await gemini.files.upload({ file: path, config: { mimeType: 'jsonl' } });
    const job = await finish(gemini, await gemini.batches.create({ model, src: file.name }));
    assert.equal(job.state, 'JOB_STATE_SUCCEEDED');
    const out = join(folder, 'out.jsonl');
    await gemini.files.download({ file: job.dest.fileName, downloadPath: out });
    for (let i = 0; i < 100 && !readFileSync(out, { flag: 'a+' }).length; i++) await pause();
    const rows = readFileSync(out, 'utf8').trim().split('\n').map(JSON.parse);
    assert.deepEqual(rows.map((r) => r.key), ['k0', 'k1', 'k2']);
    await gemini.files.delete({ name: file.name });
  },
  async 'a batch is cancelled'() {
    const slow = new GoogleGenAI({
      apiKey: 'any', httpOptions: { baseUrl: base, headers: { 'x-tranche-test': 'hang' } },
    });
    let job = await slow.batches.create({ model, src: [{ contents: [{ parts: [{ text: 'x' }] }] }] });
    await gemini.batches.cancel({ name: job.name });
    job = await finish(gemini, job);
    assert.equal(job.state, 'JOB_STATE_CANCELLED');
    await gemini.batches.delete({ name: job.name });
  },
  async 'online calls work in both dialects'() {
    for (const client of [vertex, gemini]) {
      const answer = await client.models.generateContent({ model, contents: 'hi' });
      assert.equal(answer.text, 'echo: hi');
      let text = '';
      for await (const part of await client.models.generateContentStream({ model, contents: 'hi' }))
        text += part.text;
      assert.equal(text, 'echo: hi');
      assert.ok((await client.models.countTokens({ model, contents: 'hi' })).totalTokens > 0);
    }
  },
};

let failed = 0;
for (const [name, check] of Object.entries(checks)) {
  try {
    await check();
    console.log(`ok ${name}`);
  } catch (error) {
    failed++;
    console.log(`FAILED ${name}: ${error.stack}`);
  }
}
process.exit(failed ? 1 : 0);
