// What the journeys share: a browser at Onward's pages, people who log in, and what is looked at on every page.

import { createHmac } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import axe from 'axe-core';
import { chromium } from 'playwright-core';

export const BASE = process.env.ONWARD_BASE;
/** Name to password and key of the device. */
const PEOPLE = JSON.parse(process.env.ONWARD_PEOPLE);
const SHOTS = process.env.ONWARD_SCREENSHOTS;
/** What a page may weigh on first view, in bytes transferred. */
const WEIGHT_MAX = 150_000;
/** What is waited for comes in this time (ms). */
const PATIENCE = 10_000;
/** WCAG 2.2 AA and what it stands on. */
const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];

/** How people meet a page: each of these sees the same. */
export const VARIANTS = [
  { name: 'desktop', width: 1280, height: 900, script: true },
  { name: 'desktop without script', width: 1280, height: 900, script: false },
  { name: 'phone', width: 390, height: 844, script: true },
  { name: 'phone without script', width: 390, height: 844, script: false },
];

let browser;
const sessions = new Map();

/** Runs a journey; whatever becomes of it the browser ends. */
export async function journey(body) {
  mkdirSync(SHOTS, { recursive: true });
  // as root there is no sandbox to be had; the pages are ours
  browser = await chromium.launch({ executablePath: process.env.ONWARD_CHROMIUM, args: ['--no-sandbox', '--disable-gpu'] });
  try {
    await body();
  } catch (error) {
    tell('the journey', error);
  } finally {
    await browser.close();
  }
}

function tell(name, error) {
  if (!error) return console.log(`ok ${name}`);
  console.log(`not ok ${name}: ${String(error?.message ?? error).split(/\s+/).join(' ').slice(0, 900)}`);
}

/** Tells in a line whether it went well; the journey goes on either way. */
export async function check(name, body) {
  try {
    await body();
    tell(name);
  } catch (error) {
    tell(name, error);
  }
}

export function holds(condition, why) {
  if (!condition) throw new Error(why);
}

/** A page of a browser of its own; `storageState` is what another one knew, `beside` where it may go beside Onward. */
export async function open(variant, storageState, more = {}, beside = []) {
  const context = await browser.newContext({
    baseURL: BASE,
    viewport: { width: variant.width, height: variant.height },
    javaScriptEnabled: variant.script,
    locale: 'en-GB',
    reducedMotion: 'reduce',
    storageState,
    ...more,
  });
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  const seen = { troubles: [], beside: 0, bytes: 0, variant };
  page.on('console', (line) => {
    // what is refused on purpose is told by its status
    if (line.type() === 'error' && !/status of 4\d\d/.test(line.text())) seen.troubles.push(line.text());
  });
  page.on('pageerror', (error) => seen.troubles.push(String(error)));
  page.on('requestfailed', (request) => {
    if (!/ERR_ABORTED/.test(request.failure()?.errorText)) seen.troubles.push(`${request.url()} ${request.failure()?.errorText}`);
  });
  page.on('request', (request) => {
    if (![BASE, ...beside].some((one) => request.url().startsWith(one))) seen.troubles.push(`fetched from elsewhere: ${request.url()}`);
  });
  page.on('requestfinished', async (request) => {
    const sizes = await request.sizes().catch(() => ({ responseBodySize: 0, responseHeadersSize: 0 }));
    // style and script are fetched once and weigh on every page that is the first
    seen[request.url().includes('/assets/') ? 'beside' : 'bytes'] += sizes.responseBodySize + sizes.responseHeadersSize;
  });
  page.seen = seen;
  return page;
}

/** The code that a device shows now (RFC 6238). */
export function shownBy(key) {
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
  const bits = [...key].map((letter) => letters.indexOf(letter).toString(2).padStart(5, '0')).join('');
  const bytes = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
  const step = Buffer.alloc(8);
  step.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000)));
  const sign = createHmac('sha1', bytes).update(step).digest();
  const at = sign[19] & 15;
  return String((sign.readUInt32BE(at) & 0x7fffffff) % 1_000_000).padStart(6, '0');
}

/** Logs somebody in by the form, from whatever page it stands on. Each code is taken once: once for each person. */
export async function logIn(page, name) {
  const { password, key } = PEOPLE[name];
  await page.getByLabel('Name', { exact: true }).fill(name);
  await page.getByLabel('Password').fill(password);
  await page.getByLabel('Code from your device').fill(shownBy(key));
  await page.getByRole('button', { name: 'Log in' }).click();
  await page.getByRole('button', { name: 'Log out' }).waitFor();
}

/** A page of somebody who is logged in already, at this path. */
export async function at(variant, name, path, more) {
  if (!sessions.has(name)) {
    const page = await open(VARIANTS[0]);
    await page.goto('/login');
    await logIn(page, name);
    sessions.set(name, await page.context().storageState());
    await page.context().close();
  }
  const page = await open(variant, sessions.get(name), more);
  await page.goto(path);
  return page;
}

/**
 * What is looked at on every page in every state, as one check `VARIANT: NAME`: nobody is kept out (axe), nothing is wider than the
 * screen, nothing was refused or fetched from elsewhere, and it weighs little. A picture of it is kept, of all of it or of what a screen shows.
 */
export async function looks(page, name, { fullPage = true, picture = true } = {}) {
  const { variant, troubles } = page.seen;
  const weight = page.seen.beside + page.seen.bytes;
  page.seen.bytes = 0;
  const shot = `${name} ${variant.name}`.toLowerCase().replace(/[^a-z0-9]+/g, '-');
  await check(`${variant.name}: ${name}`, async () => {
    if (picture) await page.screenshot({ path: join(SHOTS, `${shot}.png`), fullPage });
    const looked = variant.script ? page : await twin(page);
    const found = await everybody(looked);
    holds(found.length === 0, found.join(' | '));
    const over = await wide(looked);
    holds(over <= 0, `${over} pixels wider than the screen`);
    if (looked !== page) await looked.context().close();
    holds((await page.locator('h1').count()) === 1, 'a page has one heading of the first level');
    holds(troubles.length === 0, troubles.join(' | '));
    holds(weight < WEIGHT_MAX, `${weight} bytes`);
  });
}

/** The same page where script may look at it, and no script of its own runs: nothing can be asked of a page without. */
async function twin(page) {
  const [html, url] = [await page.content(), page.url()];
  const context = await browser.newContext({ viewport: page.viewportSize(), locale: 'en-GB', reducedMotion: 'reduce' });
  const other = await context.newPage();
  await other.route(/\/assets\/.*\.js$/, (route) => route.abort());
  await other.route(url, (route) => route.fulfill({ contentType: 'text/html; charset=utf-8', body: html }));
  await other.goto(url);
  return other;
}

/** By how many pixels a page is wider than the screen. */
export const wide = (page) => page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);

/** The same once the head of the page has put what has no room there under its menu, which it does some moments after a change of size. */
export async function settled(page) {
  await page.waitForFunction(() => document.documentElement.scrollWidth <= window.innerWidth, undefined, { timeout: 2_000 }).catch(() => {});
  return wide(page);
}

/** What sticks out furthest of a page that is too wide: the start of its markup. */
export const widest = (page) => page.evaluate(() => {
  const right = (one) => one.getBoundingClientRect().right;
  const shown = [...document.querySelectorAll('main *')].filter((one) => !one.closest('.onward-scroll') || one.matches('.onward-scroll'));
  return shown.sort((one, other) => right(other) - right(one)).slice(0, 2).map((one) => one.outerHTML.slice(0, 160)).join(' … ');
});

/** Whom a page keeps out, by the rules of axe (or by `only` these of them); nobody, where it is empty. */
export async function everybody(page, only) {
  // by the browser's own hand, not as a script of the page: the policy of the page lets no other script in
  await page.evaluate(axe.source);
  const runOnly = only ? { type: 'rule', values: only } : { type: 'tag', values: RULES };
  // what passes is not described, which is half of the work
  const told = await page.evaluate((asked) => window.axe.run(document, { runOnly: asked, resultTypes: ['violations'] }), runOnly);
  return told.violations.map((v) => `${v.id}: ${v.nodes.map((n) => `${n.target.join(' ')} (${n.failureSummary})`).join('; ')}`);
}

/** What is reached by the tabulator alone, from the head of a page on, each seen to have the focus; it must hold these. */
export async function byKeyboard(page, wanted) {
  const reached = new Set();
  let before;
  for (let n = 0; n < 200; n++) {
    await page.keyboard.press('Tab');
    const here = await page.evaluate(() => {
      const one = document.activeElement;
      if (!one || one === document.body) return null;
      const drawn = (style) => style.outlineStyle !== 'none' || style.boxShadow !== 'none' || style.backgroundColor === 'rgb(255, 235, 59)';
      // a box or a radio is drawn by its label
      const label = one.matches('[type="checkbox"], [type="radio"]') ? one.nextElementSibling : null;
      const seen = drawn(getComputedStyle(one)) || (label !== null && drawn(getComputedStyle(label, '::before')));
      const words = (one.labels?.[0]?.textContent || one.textContent || one.getAttribute('name') || '').replace(/\s+/g, ' ').trim().slice(0, 80);
      return { key: `${[...document.querySelectorAll('*')].indexOf(one)} ${one.tagName} ${words}`, seen };
    });
    // day, month, year and calendar of a date are one field, and the browser itself draws which of them has the focus
    if (here && here.key === before) continue;
    if (!here || reached.has(here.key)) break;
    before = here.key;
    holds(here.seen, `one does not see that ${here.key} has the focus`);
    reached.add(here.key);
  }
  const all = [...reached].join(' | ');
  for (const one of wanted) holds(all.includes(one), `${one} was not reached: ${all}`);
}

/** That everything on a page that can be used is reached by the tabulator alone, and seen to have the focus then. */
export async function reach(page) {
  const most = await page.evaluate(() => {
    const usable = 'a[href], button, input:not([type="hidden"]), select, textarea, summary, [tabindex="0"]';
    const wanted = [...document.querySelectorAll(usable)].filter((one) => !one.disabled && one.checkVisibility({ visibilityProperty: true }));
    const drawn = (style) => style.outlineStyle !== 'none' || style.boxShadow !== 'none' || style.backgroundColor === 'rgb(255, 235, 59)';
    const tabbed = new Map();
    document.addEventListener('focusin', ({ target }) => {
      // a box or a radio is drawn by its label
      const label = target.matches('[type="checkbox"], [type="radio"]') ? target.nextElementSibling : null;
      tabbed.set(target, drawn(getComputedStyle(target)) || (label !== null && drawn(getComputedStyle(label, '::before'))));
    });
    window.tabbedOnward = { wanted, tabbed };
    document.activeElement?.blur();
    getSelection().removeAllRanges();
    window.scrollTo(0, 0);
    // day, month, year and calendar of a date are stops of one field; what scrolls may be one by itself
    return wanted.length + 8 * document.querySelectorAll('[type="date"], [type="time"], [type="datetime-local"]').length + 4;
  });
  // all of them in a row: to wait for each would take longer than all else that is looked at
  const keys = await page.context().newCDPSession(page);
  const tab = { key: 'Tab', code: 'Tab', windowsVirtualKeyCode: 9, nativeVirtualKeyCode: 9 };
  const pressed = Array.from({ length: most }, () => ['rawKeyDown', 'keyUp'].map((type) => keys.send('Input.dispatchKeyEvent', { ...tab, type })));
  await Promise.all(pressed.flat());
  await keys.detach();
  const [missed, unseen] = await page.evaluate(() => {
    const { wanted, tabbed } = window.tabbedOnward;
    const named = (one) => `${one.tagName} ${(one.labels?.[0]?.textContent || one.textContent || one.name || '').replace(/\s+/g, ' ').trim().slice(0, 60)}`;
    // of radios of one question one is a stop, and the arrows lead to the others
    const reached = (one) => tabbed.has(one) || (one.type === 'radio' && [...tabbed.keys()].some((other) => other.type === 'radio' && other.name === one.name));
    return [wanted.filter((one) => !reached(one)).map(named), [...tabbed].filter(([, seen]) => !seen).map(([one]) => named(one))];
  });
  holds(missed.length === 0, `not reached by the tabulator: ${missed.join(' | ')}`);
  holds(unseen.length === 0, `one does not see that it has the focus: ${unseen.join(' | ')}`);
}

/** That one sees in forced colours, too, what has the focus: shadows and grounds are not drawn there. */
export async function forced(page) {
  await page.keyboard.press('Tab');
  const unseen = await page.evaluate(() => {
    const unseen = [];
    // a menu of a narrow screen is not there on a wide one
    for (const one of window.tabbedOnward.wanted.filter((one) => one.checkVisibility({ visibilityProperty: true }))) {
      one.focus({ focusVisible: true });
      const box = one.matches('[type="checkbox"], [type="radio"]') ? one.nextElementSibling : null;
      const outlined = (style) => style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0;
      if (!outlined(getComputedStyle(one)) && !(box && outlined(getComputedStyle(box, '::before')))) unseen.push(`${one.tagName} ${one.textContent.trim().slice(0, 40)}`);
    }
    document.activeElement?.blur();
    return unseen;
  });
  holds(unseen.length === 0, `in forced colours one does not see that it has the focus: ${unseen.join(' | ')}`);
}
