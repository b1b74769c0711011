// What the scripts share: where Onward is, the referrals that lie there, and a line for each check.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export const BASE = process.env.ONWARD_BASE;
export const NHS_NUMBER = 'https://fhir.nhs.uk/Id/nhs-number';
export const GP_NUMBERS = 'https://brownlow-gp.example/referral-id';
/** Of the person of 03-full-bundle.json, who is a Patient. */
export const NUMBER_OF_PATIENT = '9990742677';
/** The Task of the referral that carries all that one can. */
export const WHOLE_TASK = process.env.ONWARD_WHOLE_TASK;

/** The bearer token of a system or provider of the scene. */
export const token = (client) => process.env[`ONWARD_TOKEN_${client.toUpperCase().replaceAll('-', '_')}`];

/** A practice's referral that is known there by this number. */
export function toLinkWorkers(number) {
  const file = join(process.env.ONWARD_FIXTURES, 'referrals', '02-nhs-number-only.json');
  const referral = JSON.parse(readFileSync(file, 'utf8'));
  referral.identifier[0].value = number;
  return referral;
}

/** These as one transaction. */
export function transaction(...resources) {
  const entry = resources.map((resource, number) => ({
    fullUrl: `urn:uuid:00000000-0000-4000-8000-00000000000${number}`,
    resource,
    request: { method: 'POST', url: resource.resourceType },
  }));
  return { resourceType: 'Bundle', type: 'transaction', entry };
}

/** Tells in a line whether it went well. The script goes on either way. */
export async function check(name, body) {
  try {
    await body();
    console.log(`ok ${name}`);
  } catch (error) {
    const answer = error?.response?.data ?? error?.body;
    const why = `${error?.message ?? error} ${answer ? JSON.stringify(answer) : ''}`.split(/\s+/).join(' ');
    console.log(`not ok ${name}: ${why.slice(0, 400)}`);
  }
}

export const same = assert.deepEqual;
export const holds = assert.ok;

/** The same ids, each once: nothing was repeated and nothing skipped. */
export function onceEach(got, wanted, what = 'found') {
  assert.equal(new Set(got).size, got.length, `${what}: some came twice`);
  assert.deepEqual([...got].sort(), [...wanted].sort(), what);
}

/** What the call must be refused with. */
export async function refusal(call) {
  let answer;
  try {
    answer = await call();
  } catch (error) {
    return error;
  }
  throw new Error(`it was not refused: ${JSON.stringify(answer).slice(0, 100)}`);
}

/** The codes of what must be an OperationOutcome that says in words what is wrong. */
export function issues(outcome) {
  assert.equal(outcome?.resourceType, 'OperationOutcome');
  for (const issue of outcome.issue) assert.ok(issue.severity && issue.code && issue.diagnostics, 'an issue says nothing');
  return outcome.issue.map((issue) => issue.code);
}

export const ids = (bundle) => (bundle.entry ?? []).filter((e) => e.search?.mode !== 'include').map((e) => e.resource.id);

export const included = (bundle) => (bundle.entry ?? []).filter((e) => e.search?.mode === 'include').map((e) => e.resource);
