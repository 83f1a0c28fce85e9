// @google-cloud/storage against the object store: usage: node storage.mjs URL
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import fs from 'node:fs';
import {pipeline} from 'node:stream/promises';
import {Readable} from 'node:stream';
import {Storage} from '@google-cloud/storage';

const MB = 1024 * 1024;
const storage = new Storage({
  apiEndpoint: process.argv[2],
  projectId: 'p1',
  useAuthWithCustomEndpoint: false,
});

async function buckets() {
  const [bucket] = await storage.createBucket('b-js');
  assert.equal((await bucket.exists())[0], true);
  await bucket.setLabels({team: 'a'});
  assert.deepEqual((await bucket.getLabels())[0], {team: 'a'});
  assert.ok((await storage.getBuckets())[0].some((b) => b.name === 'b-js'));
  return bucket;
}

async function small(bucket) {
  for (const name of ['plain.txt', 'a/b c/ü?#%2F', 'a:b']) {
    const file = bucket.file(name);
    await file.save('hello', {resumable: false, metadata: {contentType: 'text/x-test', metadata: {k: 'v'}}});
    assert.equal((await file.download({validation: 'crc32c'}))[0].toString(), 'hello');
    const [metadata] = await file.getMetadata();
    assert.equal(metadata.size, '5');
    assert.equal(metadata.contentType, 'text/x-test');
    assert.deepEqual(metadata.metadata, {k: 'v'});
    await file.delete();
    assert.equal((await file.exists())[0], false);
  }
  const zipped = bucket.file('zipped.txt');
  await zipped.save('text '.repeat(1000), {gzip: true, resumable: false});
  assert.equal((await zipped.download())[0].toString(), 'text '.repeat(1000));
  assert.equal((await zipped.getMetadata())[0].contentEncoding, 'gzip');
}

async function large(bucket) {
  const data = crypto.randomBytes(20 * MB);
  await bucket.file('default').save(data); // resumable, in one request
  assert.ok((await bucket.file('default').download())[0].equals(data));
  await bucket.file('chunks').save(data, {resumable: true, chunkSize: 4 * MB});
  assert.ok((await bucket.file('chunks').download({validation: 'md5'}))[0].equals(data));
  await pipeline(Readable.from([data]), bucket.file('stream').createWriteStream());
  const part = await bucket.file('stream').download({start: 5, end: 14});
  assert.ok(part[0].equals(data.subarray(5, 15)));
  fs.writeFileSync('large.bin', data);
  await bucket.upload('large.bin', {destination: 'dir/large.bin', validation: 'crc32c'});
  await bucket.file('dir/large.bin').download({destination: 'back.bin'});
  assert.ok(fs.readFileSync('back.bin').equals(data));
}

async function resumed(bucket) {
  const data = crypto.randomBytes(2 * MB);
  const file = bucket.file('resumed');
  const [uri] = await file.createResumableUpload({metadata: {contentType: 'text/x-r'}});
  const first = await fetch(uri, {
    method: 'PUT',
    body: data.subarray(0, MB),
    headers: {'Content-Range': `bytes 0-${MB - 1}/*`},
    redirect: 'manual',
  });
  assert.equal(first.status, 308);
  await pipeline(Readable.from([data.subarray(MB)]),
    file.createWriteStream({uri, offset: MB, resumable: true, validation: false}));
  assert.ok((await file.download())[0].equals(data));
}

async function lists(bucket) {
  for (const name of ['l/1', 'l/2', 'l/m/3']) await bucket.file(name).save('x', {resumable: false});
  const [files, , answer] = await bucket.getFiles({prefix: 'l/', delimiter: '/', autoPaginate: false});
  assert.deepEqual(files.map((f) => f.name), ['l/1', 'l/2']);
  assert.deepEqual(answer.prefixes, ['l/m/']);
  const [globbed] = await bucket.getFiles({matchGlob: 'l/**/3'});
  assert.deepEqual(globbed.map((f) => f.name), ['l/m/3']);
  const paged = [];
  for (let query = {prefix: 'l/', maxResults: 1, autoPaginate: false}; query;) {
    const [page, next] = await bucket.getFiles(query);
    paged.push(...page.map((f) => f.name));
    query = next;
  }
  assert.deepEqual(paged, ['l/1', 'l/2', 'l/m/3']);
}

async function copies(bucket) {
  await bucket.file('l/1').copy(bucket.file('copied'));
  assert.equal((await bucket.file('copied').download())[0].toString(), 'x');
  await bucket.file('copied').move('moved');
  await bucket.file('moved').rename('renamed');
  await bucket.combine(['l/1', 'l/2', 'renamed'], 'combined');
  assert.equal((await bucket.file('combined').download())[0].toString(), 'xxx');
  await bucket.file('combined').setMetadata({metadata: {a: 'b'}});
  assert.deepEqual((await bucket.file('combined').getMetadata())[0].metadata, {a: 'b'});
}

async function conditions(bucket) {
  const file = bucket.file('once', {preconditionOpts: {ifGenerationMatch: 0}});
  await file.save('1', {resumable: false});
  await assert.rejects(file.save('2', {resumable: false}), (e) => e.code === 412);
  await assert.rejects(file.save('2', {resumable: true}), (e) => e.code === 412);
  await assert.rejects(bucket.file('absent').download(), (e) => e.code === 404);
}

const bucket = await buckets();
for (const step of [small, large, resumed, lists, copies, conditions]) {
  await step(bucket);
  console.log(`${step.name}: good`);
}
await bucket.deleteFiles({force: true});
await bucket.delete();
console.log('all good');
