// fhir-kit-client, by every call that it has for what Onward claims.

import { CapabilityTool, Client } from 'fhir-kit-client';

import {
  BASE, GP_NUMBERS, NHS_NUMBER, NUMBER_OF_PATIENT, WHOLE_TASK, check, holds, ids, included, issues, onceEach, refusal,
  same, toLinkWorkers, token, transaction,
} from './checks.mjs';

const ODS_LINK_WORKERS = 'https://fhir.nhs.uk/Id/ods-organization-code|U99999';
const as = (name, customHeaders = {}) => new Client({ baseUrl: BASE, bearerToken: token(name), customHeaders });
const [gp, rio, provider] = [as('gp'), as('rio'), as('link-workers')];

const all = (client, resourceType) => client.search({ resourceType, searchParams: { _count: 500 } });
const tasks = (await all(gp, 'Task')).entry.map((e) => e.resource);
const accepted = tasks.find((task) => task.status === 'accepted');
const waiting = tasks.filter((task) => task.status === 'requested');
const request = accepted.focus.reference.split('/').pop();
const withStatus = (...wanted) => tasks.filter((task) => wanted.includes(task.status)).map((task) => task.id);
const answerTo = (result) => Client.httpFor(result).response;

/** Every page, by its own paging. */
async function pages(first) {
  const seen = [];
  for (let page = first; page; page = await gp.nextPage({ bundle: page })) seen.push(page);
  return seen;
}

await check('metadata', async () => {
  const statement = await new Client({ baseUrl: BASE }).capabilityStatement();
  same([statement.resourceType, statement.fhirVersion, statement.kind], ['CapabilityStatement', '4.0.1', 'instance']);
});

await check('capability-tool', async () => {
  const tool = new CapabilityTool(await gp.capabilityStatement());
  holds(tool.supportFor({ resourceType: 'Task', capabilityType: 'interaction', where: { code: 'search-type' } }));
  holds(tool.supportFor({ resourceType: 'ServiceRequest', capabilityType: 'conditionalCreate' }));
  holds(!tool.supportFor({ resourceType: 'Task', capabilityType: 'interaction', where: { code: 'delete' } }));
});

await check('capability-search-parameters', async () => {
  const tool = new CapabilityTool(await gp.capabilityStatement());
  const names = (resourceType) => tool.searchParamsFor({ resourceType });
  const task = ['_id', '_lastUpdated', 'identifier', 'status', 'intent', 'code', 'patient', 'requester', 'owner', 'focus', 'based-on',
    'part-of', 'authored-on', 'modified', 'business-status', 'priority'];
  const referral = ['_id', '_lastUpdated', 'identifier', 'status', 'intent', 'code', 'category', 'patient', 'subject', 'requester',
    'performer', 'based-on', 'authored', 'priority'];
  same(task.filter((name) => !names('Task').includes(name)), []);
  same(referral.filter((name) => !names('ServiceRequest').includes(name)), []);
});

await check('read', async () => {
  const task = await gp.read({ resourceType: 'Task', id: accepted.id });
  same([task.status, task.meta.versionId], [accepted.status, accepted.meta.versionId]);
  same(answerTo(task).headers.get('etag'), `W/"${task.meta.versionId}"`);
  holds(answerTo(task).headers.get('last-modified'));
  same(answerTo(task).headers.get('content-type'), 'application/fhir+json; charset=utf-8');
});

await check('resolve', async () => {
  const found = await gp.resolve({ reference: accepted.focus.reference });
  same([found.resourceType, found.id], ['ServiceRequest', request]);
  const absolute = await gp.resolve({ reference: `${BASE}/Task/${accepted.id}` });
  same(absolute.id, accepted.id);
});

await check('resolve-contained', async () => {
  const bundle = await all(rio, 'ServiceRequest');
  const holder = bundle.entry.map((e) => e.resource).find((r) => r.subject.reference?.startsWith('#'));
  holds(holder, 'no referral that contains its patient');
  same((await rio.resolve({ reference: holder.subject.reference, context: holder })).resourceType, 'Patient');
});

await check('vread', async () => {
  const first = await gp.vread({ resourceType: 'Task', id: accepted.id, version: '1' });
  same([first.meta.versionId, first.status], ['1', 'requested']);
  const missing = await refusal(() => gp.vread({ resourceType: 'Task', id: accepted.id, version: '99' }));
  same([missing.response.status, issues(missing.response.data)], [404, ['not-found']]);
});

await check('history-instance', async () => {
  const history = await gp.history({ resourceType: 'Task', id: accepted.id });
  same([history.type, history.total], ['history', history.entry.length]);
  const versions = history.entry.map((e) => Number(e.resource.meta.versionId));
  same(versions, [...versions].sort((a, b) => b - a));
});

await check('history-type', async () => {
  const history = await gp.history({ resourceType: 'Task' });
  same(history.type, 'history');
  holds(history.entry.every((e) => e.resource.resourceType === 'Task' && e.request && e.response));
  const others = await rio.history({ resourceType: 'Task' });
  const own = new Set(tasks.map((task) => task.id));
  same(others.entry.filter((e) => own.has(e.resource.id)), []);
});

await check('history-type-paging', async () => {
  const first = await gp.request('Task/_history?_count=2');
  const key = (e) => `${e.resource.id}/${e.resource.meta.versionId}`;
  const whole = await gp.request('Task/_history?_count=500');
  onceEach((await pages(first)).flatMap((p) => p.entry.map(key)), whole.entry.map(key));
});

await check('search-several', async () => {
  const searchParams = { status: 'accepted,in-progress', owner: 'Organization/link-workers', _lastUpdated: ['ge2020-01-01', 'lt2100'] };
  const bundle = await gp.search({ resourceType: 'Task', searchParams });
  same(bundle.type, 'searchset');
  onceEach(ids(bundle), withStatus('accepted', 'in-progress'));
});

await check('search-not', async () => {
  const bundle = await gp.search({ resourceType: 'Task', searchParams: { 'status:not': 'completed', _count: 500 } });
  onceEach(ids(bundle), tasks.filter((task) => task.status !== 'completed').map((task) => task.id));
});

await check('search-of-task', async () => {
  const searchParams = { intent: 'order', priority: 'routine', status: 'accepted', 'owner:identifier': ODS_LINK_WORKERS, _id: accepted.id };
  same(ids(await gp.search({ resourceType: 'Task', searchParams })), [accepted.id]);
  same(ids(await gp.search({ resourceType: 'Task', searchParams: { ...searchParams, priority: 'stat' } })), []);
});

await check('search-dates', async () => {
  const day = accepted.authoredOn.slice(0, 10);
  const by = async (searchParams) => ids(await gp.search({ resourceType: 'Task', searchParams: { ...searchParams, _count: 500 } }));
  holds((await by({ 'authored-on': day })).includes(accepted.id));
  holds((await by({ modified: `ge${accepted.lastModified}` })).includes(accepted.id));
  same(await by({ 'authored-on': 'lt2000' }), []);
});

await check('search-requester', async () => {
  const ods = 'https://fhir.nhs.uk/Id/ods-organization-code|N82999';
  const bundle = await gp.search({ resourceType: 'ServiceRequest', searchParams: { 'requester:identifier': ods, _count: 500 } });
  const whole = await all(gp, 'ServiceRequest');
  onceEach(ids(bundle), ids(whole));
});

await check('search-post', async () => {
  const searchParams = { status: ['accepted,completed'], _include: 'Task:focus' };
  const bundle = await gp.search({ resourceType: 'Task', searchParams, options: { postSearch: true } });
  onceEach(ids(bundle), withStatus('accepted', 'completed'));
  same(included(bundle).length, ids(bundle).length);
});

await check('search-post-long', async () => {
  const many = [...Array(95)].map((_, n) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`).concat(accepted.id);
  const bundle = await gp.search({ resourceType: 'Task', searchParams: { _id: many.join(',') }, options: { postSearch: true } });
  same(ids(bundle), [accepted.id]);
});

await check('search-chained', async () => {
  const searchParams = { 'patient.identifier': `${NHS_NUMBER}|${NUMBER_OF_PATIENT}` };
  same(ids(await rio.search({ resourceType: 'Task', searchParams })), [WHOLE_TASK]);
  same(ids(await rio.search({ resourceType: 'ServiceRequest', searchParams })).length, 1);
});

await check('sort', async () => {
  for (const [order, sign] of [['_lastUpdated', 1], ['-_lastUpdated', -1]]) {
    const bundle = await gp.search({ resourceType: 'Task', searchParams: { _sort: order, _count: 500 } });
    const moments = bundle.entry.map((e) => Date.parse(e.resource.meta.lastUpdated));
    same(moments, [...moments].sort((a, b) => sign * (a - b)));
  }
});

await check('sort-and-page', async () => {
  const first = await gp.search({ resourceType: 'Task', searchParams: { _sort: '-authored-on', _count: 2 } });
  onceEach((await pages(first)).flatMap(ids), tasks.map((task) => task.id));
});

await check('summary', async () => {
  const bundle = await gp.search({ resourceType: 'Task', searchParams: { _summary: 'true' } });
  holds(bundle.entry.every((e) => e.resource.meta.tag?.some((tag) => tag.code === 'SUBSETTED')));
  const count = await gp.search({ resourceType: 'Task', searchParams: { _summary: 'count' } });
  same([count.total, count.entry], [tasks.length, undefined]);
});

await check('total-none', async () => {
  same((await gp.search({ resourceType: 'Task', searchParams: { _total: 'none' } })).total, undefined);
});

await check('paging', async () => {
  for (const resourceType of ['Task', 'ServiceRequest']) {
    const whole = ids(await all(gp, resourceType));
    for (const size of [1, 3, whole.length]) {
      const seen = await pages(await gp.search({ resourceType, searchParams: { _count: size } }));
      onceEach(seen.flatMap(ids), whole, `${resourceType} by ${size}`);
      holds(seen.every((page) => page.link.some((link) => link.relation === 'self')));
    }
  }
});

await check('paging-while-it-changes', async () => {
  // cursors: what comes in between moves nothing
  const first = await gp.search({ resourceType: 'Task', searchParams: { _count: 3 } });
  await gp.create({ resourceType: 'ServiceRequest', body: toLinkWorkers('kit-between') });
  const seen = (await pages(first)).flatMap(ids);
  same(new Set(seen).size, seen.length);
  same(tasks.filter((task) => !seen.includes(task.id)), []);
});

await check('include', async () => {
  const searchParams = { _id: WHOLE_TASK, _include: ['Task:focus', 'Task:patient'] };
  const bundle = await rio.search({ resourceType: 'Task', searchParams });
  onceEach(included(bundle).map((r) => r.resourceType), ['ServiceRequest', 'Patient']);
});

await check('include-of-request', async () => {
  const focus = (await rio.read({ resourceType: 'Task', id: WHOLE_TASK })).focus.reference.split('/').pop();
  const searchParams = { _id: focus, _include: ['ServiceRequest:requester', 'ServiceRequest:patient'] };
  const bundle = await rio.search({ resourceType: 'ServiceRequest', searchParams });
  onceEach(included(bundle).map((r) => r.resourceType), ['PractitionerRole', 'Patient']);
});

await check('revinclude', async () => {
  const searchParams = { _id: request, _revinclude: ['Task:focus', 'Provenance:target'] };
  const bundle = await gp.search({ resourceType: 'ServiceRequest', searchParams });
  holds(included(bundle).some((r) => r.resourceType === 'Task' && r.id === accepted.id));
});

await check('create', async () => {
  const made = await gp.create({ resourceType: 'ServiceRequest', body: toLinkWorkers('kit-create') });
  const { response } = Client.httpFor(made);
  same([response.status, made.meta.versionId], [201, '1']);
  same(response.headers.get('location'), `${BASE}/ServiceRequest/${made.id}/_history/1`);
});

await check('create-if-none-exist', async () => {
  const options = { headers: { 'If-None-Exist': `identifier=${GP_NUMBERS}|kit-condition` } };
  const send = () => gp.create({ resourceType: 'ServiceRequest', body: toLinkWorkers('kit-condition'), options });
  const [first, second] = [await send(), await send()];
  same([answerTo(first).status, answerTo(second).status, second.id], [201, 200, first.id]);
});

await check('prefer', async () => {
  const create = (number, Prefer) =>
    gp.create({ resourceType: 'ServiceRequest', body: toLinkWorkers(number), options: { headers: { Prefer } } });
  same((await create('kit-minimal', 'return=minimal')).resourceType, undefined);
  same((await create('kit-outcome', 'return=OperationOutcome')).resourceType, 'OperationOutcome');
  same((await create('kit-whole', 'return=representation')).resourceType, 'ServiceRequest');
});

await check('transaction', async () => {
  const answer = await gp.transaction({ body: transaction(toLinkWorkers('kit-one'), toLinkWorkers('kit-two')) });
  same([answer.type, answer.entry.map((e) => e.response.status.slice(0, 3))], ['transaction-response', ['201', '201']]);
  for (const { response } of answer.entry) same((await gp.request(response.location)).resourceType, 'ServiceRequest');
});

await check('transaction-if-none-exist', async () => {
  const body = transaction(toLinkWorkers('kit-in-bundle'));
  body.entry[0].request.ifNoneExist = `identifier=${GP_NUMBERS}|kit-in-bundle`;
  const [first, second] = [await gp.transaction({ body }), await gp.transaction({ body })];
  same([first, second].map((answer) => answer.entry[0].response.status.slice(0, 3)), ['201', '200']);
});

await check('batch', async () => {
  const get = (url) => ({ request: { method: 'GET', url } });
  const entry = [get(`Task/${accepted.id}`), get('Task?status=accepted'), get('Task/not-there')];
  const answer = await gp.batch({ body: { resourceType: 'Bundle', type: 'batch', entry } });
  same([answer.type, answer.entry.map((e) => e.response.status.slice(0, 3))], ['batch-response', ['200', '200', '404']]);
});

await check('update-if-match', async () => {
  const task = await provider.read({ resourceType: 'Task', id: waiting[0].id });
  const options = { headers: { 'If-Match': `W/"${task.meta.versionId}"` } };
  const body = { ...task, status: 'accepted' };
  const updated = await provider.update({ resourceType: 'Task', id: task.id, body, options });
  same(updated.status, 'accepted');
  const stale = await refusal(() =>
    provider.update({ resourceType: 'Task', id: task.id, body: { ...body, status: 'in-progress' }, options }));
  same([stale.response.status, issues(stale.response.data)], [412, ['conflict']]);
});

await check('update-without-version', async () => {
  const task = await provider.read({ resourceType: 'Task', id: waiting[1].id });
  const refused = await refusal(() => provider.update({ resourceType: 'Task', id: task.id, body: { ...task, status: 'accepted' } }));
  same([refused.response.status, issues(refused.response.data)], [428, ['required']]);
});

await check('conditional-update', async () => {
  const body = toLinkWorkers('client-5');
  body.note = [{ text: 'Second floor.' }];
  const searchParams = { identifier: `${GP_NUMBERS}|client-5` };
  const found = (await gp.search({ resourceType: 'ServiceRequest', searchParams })).entry[0].resource;
  const options = { headers: { 'If-Match': `W/"${found.meta.versionId}"` } };
  const updated = await gp.update({ resourceType: 'ServiceRequest', searchParams, body, options });
  same([updated.id, updated.note[0].text], [found.id, 'Second floor.']);
});

await check('patch', async () => {
  const task = await provider.read({ resourceType: 'Task', id: waiting[1].id });
  const options = { headers: { 'If-Match': `W/"${task.meta.versionId}"` } };
  const jsonPatch = [
    { op: 'test', path: '/status', value: 'requested' },
    { op: 'replace', path: '/status', value: 'accepted' },
    { op: 'add', path: '/note', value: [{ text: 'We ring tomorrow.' }] },
  ];
  const patched = await provider.patch({ resourceType: 'Task', id: task.id, jsonPatch, options });
  same([patched.status, patched.note.at(-1).text], ['accepted', 'We ring tomorrow.']);
});

await check('patch-that-does-not-fit', async () => {
  const task = await provider.read({ resourceType: 'Task', id: accepted.id });
  const options = { headers: { 'If-Match': `W/"${task.meta.versionId}"` } };
  const wrong = [{ op: 'test', path: '/status', value: 'requested' }, { op: 'replace', path: '/status', value: 'completed' }];
  const refused = await refusal(() => provider.patch({ resourceType: 'Task', id: task.id, jsonPatch: wrong, options }));
  holds([400, 409, 412, 422].includes(refused.response.status) && issues(refused.response.data));
  same((await provider.read({ resourceType: 'Task', id: accepted.id })).status, task.status);
});

await check('operation-package', async () => {
  const bundle = await provider.operation({ name: 'package', resourceType: 'Task', id: accepted.id, method: 'GET' });
  same([bundle.type, bundle.entry[0].resource.id], ['collection', accepted.id]);
});

await check('operation-validate', async () => {
  const outcome = await gp.operation({ name: 'validate', resourceType: 'ServiceRequest', input: toLinkWorkers('any') });
  holds(issues(outcome) && outcome.issue.every((issue) => !['error', 'fatal'].includes(issue.severity)));
});

await check('error-not-found', async () => {
  const missing = await refusal(() => gp.read({ resourceType: 'Task', id: 'not-there' }));
  same([missing.response.status, issues(missing.response.data)], [404, ['not-found']]);
});

await check('error-unauthorised', async () => {
  for (const client of [new Client({ baseUrl: BASE }), new Client({ baseUrl: BASE, bearerToken: 'nobody' })]) {
    const refused = await refusal(() => client.read({ resourceType: 'Task', id: accepted.id }));
    same(refused.response.status, 401);
    holds(issues(refused.response.data));
    // RFC 9110, 15.5.2: it says how one shows who one is
    holds(refused.config.headers.get('www-authenticate'));
  }
});

await check('error-invalid', async () => {
  const refused = await refusal(() => gp.create({ resourceType: 'ServiceRequest', body: { ...toLinkWorkers('x'), status: 'on-fire' } }));
  same(refused.response.status, 400);
  holds(issues(refused.response.data).includes('code-invalid'));
});

await check('error-delete', async () => {
  const refused = await refusal(() => gp.delete({ resourceType: 'Task', id: accepted.id }));
  same([refused.response.status, issues(refused.response.data)], [405, ['not-supported']]);
  holds(refused.config.headers.get('allow'), 'RFC 9110, 15.5.6: 405 says what is allowed');
});

await check('error-compartment', async () => {
  const compartment = { resourceType: 'Patient', id: 'none' };
  const refused = await refusal(() => gp.search({ resourceType: 'Task', compartment }));
  holds([403, 404, 405, 501].includes(refused.response.status) && issues(refused.response.data));
});

await check('error-system-search', async () => {
  const refused = await refusal(() => gp.search({ searchParams: { _id: accepted.id } }));
  holds([404, 405, 501].includes(refused.response.status) && issues(refused.response.data));
});

await check('error-strict', async () => {
  const strict = as('gp', { Prefer: 'handling=strict' });
  const refused = await refusal(() => strict.search({ resourceType: 'Task', searchParams: { colour: 'red' } }));
  same([refused.response.status, issues(refused.response.data)], [400, ['not-supported']]);
});
