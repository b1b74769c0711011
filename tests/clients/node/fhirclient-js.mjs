// fhirclient of SMART Health IT, as a server-side application uses it that has its token already.

import smart from 'fhirclient';

import {
  BASE, GP_NUMBERS, NHS_NUMBER, NUMBER_OF_PATIENT, WHOLE_TASK, check, holds, included, issues, onceEach, refusal, same,
  toLinkWorkers, token, transaction,
} from './checks.mjs';

const request = { headers: { host: '127.0.0.1' }, url: '/', socket: {} };
const as = (name) => smart(request, {}).client({ serverUrl: BASE, tokenResponse: { access_token: token(name) } });
const [gp, rio, provider] = [as('gp'), as('rio'), as('link-workers')];

const tasks = await gp.request('Task?_count=500', { flat: true });
const accepted = tasks.find((task) => task.status === 'accepted');
const waiting = tasks.filter((task) => task.status === 'requested');
const withStatus = (...wanted) => tasks.filter((task) => wanted.includes(task.status)).map((task) => task.id);
const ids = (resources) => resources.map((resource) => resource.id);
/** The OperationOutcome that stands at the end of what its errors say. */
const outcome = (error) => issues(JSON.parse(error.message.slice(error.message.indexOf('{'))));

await check('fhir-version', async () => {
  same([await gp.getFhirVersion(), await gp.getFhirRelease()], ['4.0.1', 4]);
});

await check('read', async () => {
  const { body, response } = await gp.request({ url: `Task/${accepted.id}`, includeResponse: true });
  same([body.status, response.headers.get('etag')], ['accepted', `W/"${body.meta.versionId}"`]);
});

await check('vread', async () => {
  same((await gp.request(`Task/${accepted.id}/_history/1`)).status, 'requested');
});

await check('history-instance', async () => {
  const versions = await gp.request(`Task/${accepted.id}/_history`, { flat: true });
  same(versions[0].status, 'accepted');
  holds(versions.length >= 2);
});

await check('history-type', async () => {
  const versions = await gp.request('Task/_history?_count=3', { flat: true, pageLimit: 0 });
  const key = (task) => `${task.id}/${task.meta.versionId}`;
  const whole = await gp.request('Task/_history?_count=500', { flat: true });
  onceEach(versions.map(key), whole.map(key));
});

await check('search', async () => {
  const found = await gp.request('Task?status=accepted,completed&owner=Organization/link-workers', { flat: true });
  onceEach(ids(found), withStatus('accepted', 'completed'));
});

await check('search-not', async () => {
  const found = await gp.request('Task?status:not=requested&_count=500', { flat: true });
  onceEach(ids(found), tasks.filter((task) => task.status !== 'requested').map((task) => task.id));
});

await check('search-chained', async () => {
  const query = new URLSearchParams({ 'patient.identifier': `${NHS_NUMBER}|${NUMBER_OF_PATIENT}` });
  same(ids(await rio.request(`Task?${query}`, { flat: true })), [WHOLE_TASK]);
});

await check('search-post', async () => {
  const bundle = await gp.request({
    url: 'Task/_search',
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: new URLSearchParams({ status: 'accepted,completed', _count: '500' }).toString(),
  });
  onceEach(bundle.entry.map((e) => e.resource.id), withStatus('accepted', 'completed'));
});

await check('paging', async () => {
  for (const kind of ['Task', 'ServiceRequest']) {
    const whole = await gp.request(`${kind}?_count=500`, { flat: true });
    onceEach(ids(await gp.request(`${kind}?_count=2`, { flat: true, pageLimit: 0 })), ids(whole), kind);
  }
});

await check('paging-by-iterator', async () => {
  const seen = [];
  // its iterators do not sign, so the token goes along
  const headers = { authorization: `Bearer ${token('gp')}` };
  for await (const task of gp.resources('Task?_count=3', { headers })) seen.push(task.id);
  onceEach(seen, ids(tasks));
});

await check('resolve-references', async () => {
  const { data, references } = await gp.request('Task?_count=500', { resolveReferences: ['focus'], graph: false, flat: true });
  same(new Set(Object.keys(references)), new Set(data.map((task) => task.focus.reference)));
});

await check('resolve-references-in-place', async () => {
  const task = await rio.request(`Task/${WHOLE_TASK}`, { resolveReferences: ['for', 'focus', 'focus.requester'] });
  same([task.for.resourceType, task.focus.requester.resourceType], ['Patient', 'PractitionerRole']);
});

await check('include', async () => {
  const bundle = await rio.request(`Task?_id=${WHOLE_TASK}&_include=Task:focus&_include=Task:patient`);
  onceEach(included(bundle).map((r) => r.resourceType), ['ServiceRequest', 'Patient']);
});

await check('revinclude', async () => {
  const focus = accepted.focus.reference.split('/').pop();
  const bundle = await gp.request(`ServiceRequest?_id=${focus}&_revinclude=Task:focus`);
  same(included(bundle).map((r) => r.id), [accepted.id]);
});

await check('create', async () => {
  const made = await gp.create(toLinkWorkers('smart-js-create'));
  same([made.resourceType, made.meta.versionId], ['ServiceRequest', '1']);
});

await check('create-if-none-exist', async () => {
  const headers = { 'If-None-Exist': `identifier=${GP_NUMBERS}|smart-js-condition` };
  const [first, second] = [
    await gp.create(toLinkWorkers('smart-js-condition'), { headers: { ...headers, 'content-type': 'application/fhir+json' } }),
    await gp.create(toLinkWorkers('smart-js-condition'), { headers: { ...headers, 'content-type': 'application/fhir+json' } }),
  ];
  same(second.id, first.id);
});

await check('prefer-minimal', async () => {
  // a 201 without body: it reads where the Location leads
  const headers = { Prefer: 'return=minimal', 'content-type': 'application/fhir+json' };
  const made = await gp.create(toLinkWorkers('smart-js-minimal'), { headers });
  same([made.resourceType, made.identifier[0].value], ['ServiceRequest', 'smart-js-minimal']);
});

await check('transaction', async () => {
  const body = JSON.stringify(transaction(toLinkWorkers('smart-js-one'), toLinkWorkers('smart-js-two')));
  const answer = await gp.request({ url: BASE, method: 'POST', body, headers: { 'content-type': 'application/fhir+json' } });
  same(answer.entry.map((e) => e.response.status.slice(0, 3)), ['201', '201']);
});

await check('update-if-match', async () => {
  const task = await provider.request(`Task/${waiting[0].id}`);
  const headers = { 'content-type': 'application/fhir+json', 'If-Match': `W/"${task.meta.versionId}"` };
  same((await provider.update({ ...task, status: 'accepted' }, { headers })).status, 'accepted');
  const stale = await refusal(() => provider.update({ ...task, status: 'rejected' }, { headers }));
  same([stale.status, outcome(stale)], [412, ['conflict']]);
});

await check('patch', async () => {
  // its own Prefer is return=presentation, which nobody knows and so nobody heeds (RFC 7240, 2)
  const task = await provider.request(`Task/${waiting[1].id}`);
  const headers = { 'If-Match': `W/"${task.meta.versionId}"` };
  const patched = await provider.patch(`Task/${task.id}`, [{ op: 'replace', path: '/status', value: 'accepted' }], { headers });
  same([patched.resourceType, patched.status], ['Task', 'accepted']);
});

await check('error-not-found', async () => {
  const missing = await refusal(() => gp.request('Task/not-there'));
  same([missing.status, outcome(missing)], [404, ['not-found']]);
});

await check('error-invalid', async () => {
  const refused = await refusal(() => gp.create({ ...toLinkWorkers('x'), status: 'on-fire' }));
  same(refused.status, 400);
  holds(outcome(refused).includes('code-invalid'));
});

await check('error-unauthorised', async () => {
  const nobody = smart(request, {}).client({ serverUrl: BASE });
  const refused = await refusal(() => nobody.request(`Task/${accepted.id}`));
  same(refused.status, 401);
});

await check('error-delete', async () => {
  const refused = await refusal(() => gp.delete(`Task/${accepted.id}`));
  same([refused.status, outcome(refused)], [405, ['not-supported']]);
});
