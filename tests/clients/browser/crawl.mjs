// Every page as people of every role find it by following links, and every state that a page shows: looked at by the rules for accessibility,
// at 200 % and 400 %, in forced colours, and by keyboard alone. A page that has a route and that nobody comes to is a fault.

import { randomUUID } from 'node:crypto';
import { BASE, VARIANTS, at, check, everybody, forced, holds, journey, looks, open, reach, settled, widest } from './browser.mjs';

/** Every path that a GET of the pages has a route for, and those of them that are no pages, with why. */
const ROUTES = JSON.parse(process.env.ONWARD_ROUTES);
const NO_PAGES = JSON.parse(process.env.ONWARD_NO_PAGES);
/** Tasks by what became of them. */
const TASKS = JSON.parse(process.env.ONWARD_TASKS);
const REFERRAL = process.env.ONWARD_REFERRAL;
/** What stands in referrals, and on no page of the console. */
const SECRETS = JSON.parse(process.env.ONWARD_SECRETS);
/** Of links of one form so many are followed. */
const ALIKE_MAX = 16;

const desktop = VARIANTS[0];
const button = (page, name) => page.getByRole('button', { name, exact: true });

const known = ROUTES.map((route) => {
  const parts = route.split('/');
  const form = parts.map((part) => (part.startsWith('{') ? '[^/]+' : part.replaceAll('.', '\\.'))).join('/');
  return { route, is: new RegExp(`^${form}$`), fixed: parts.filter((part) => !part.startsWith('{')).length };
}).sort((one, other) => other.fixed - one.fixed);
const routeOf = (path) => known.find((one) => one.is.test(path))?.route;

const visited = new Set();
/** States as they come from the server, before any script. */
const fetched = new Set();
const states = new Map();
/** Where each of the people found forms to fill in. */
const forms = {};

const words = (html) => html.replace(/<[^>]*>/g, ' ').replace(/&#?\w+;/g, ' ').replace(/\s+/g, ' ').trim();
const all = (html, one) => [...html.matchAll(one)].map((found) => found[1]);

/** What makes a page another than one of the same route: not whom it is about or when, but what it has to say and what may be done. */
function stateOf(route, status, html) {
  const main = html.slice(html.indexOf('<main'), html.indexOf('</main>'));
  const unnamed = (text) => words(text).replace(/[\d:]+/g, '').replace(/\b[a-z]+(-[a-z]+)+\b/g, '');
  const heads = all(main, /<h[12][^>]*>([\s\S]*?)<\/h[12]>/g).map(unnamed);
  const deeds = all(main, /<form[^>]*action="([^"?]*)/g).map((path) => path.replace(/[0-9a-f]{8}-[0-9a-f-]{27}/g, ''));
  const notes = all(main, /role="(alert|status)"/g);
  // what lies in a list of many kinds differs from one hour to the next
  const told = /^\/console(\/to-do)?$/.test(route) ? heads.slice(0, 3) : heads;
  return JSON.stringify([route, status, told, [...new Set(deeds)], notes]);
}

/** Looks at a page that is open, where it is in a state that nobody has looked at; `called` is its name, if not by its route. */
async function sees(page, who, status, called) {
  const path = new URL(page.url()).pathname;
  const route = routeOf(path) ?? (path.startsWith('/console') ? '/console' : '/nothing');
  visited.add(route);
  const html = await page.content();
  const state = stateOf(route, status, html);
  if (states.has(state)) return;
  const number = [...states.values()].filter((one) => one.route === route).length;
  const name = called ?? `${route.slice(1).replace(/[^a-z]+/g, ' ').trim() || 'start'}${number ? ` ${number + 1}` : ''}`;
  states.set(state, { route, who });
  await looks(page, `page ${name}`, { fullPage: false, picture: called !== undefined || number === 0 });
  await check(`${name} (${who}): keeps to itself what is in referrals`, async () => {
    // what somebody has pasted herself stays in its field
    const text = html.replace(/<textarea[^>]*>[^<]*<\/textarea>/g, '');
    const told = route.startsWith('/console') ? SECRETS.filter((secret) => text.includes(secret)) : [];
    holds(told.length === 0, told.join(' | '));
  });
  await check(`${name} (${who}): by keyboard alone, enlarged and in forced colours`, async () => {
    await reach(page);
    // a screen of 1280 pixels at 200 % shows 640 of them, at 400 % 320 (WCAG 1.4.4, 1.4.10)
    for (const [zoom, width] of [[200, 640], [400, 320]]) {
      await page.setViewportSize({ width, height: desktop.height });
      const over = await settled(page);
      holds(over <= 0, over > 0 ? `${over} pixels wider than the screen at ${zoom} %: ${await widest(page)}` : '');
    }
    await page.setViewportSize({ width: desktop.width, height: desktop.height });
    await page.emulateMedia({ forcedColors: 'active', reducedMotion: 'reduce' });
    await forced(page);
    // forced colours change nothing but colours
    const found = await everybody(page, ['color-contrast']);
    await page.emulateMedia({ forcedColors: 'none', reducedMotion: 'reduce' });
    holds(found.length === 0, `in forced colours: ${found.join(' | ')}`);
  });
  if (route !== '/login' && (await page.locator('main form[method="post"]').locator('textarea, select, input:not([type="hidden"])').count()) > 0) {
    (forms[who] ??= []).push(page.url());
  }
}

/** Follows links from where somebody begins. */
async function follows(who, begin = ['/']) {
  const page = who === 'nobody' ? await open(desktop) : await at(desktop, who, '/');
  const { request } = page.context();
  const [due, met, alike] = [[...begin], new Set(begin), new Map()];
  while (due.length > 0) {
    const url = due.shift();
    const answer = await request.get(url);
    const [path, type] = [new URL(answer.url()).pathname, answer.headers()['content-type'] ?? ''];
    const route = routeOf(new URL(url, BASE).pathname);
    if (!type.startsWith('text/html')) {
      await check(`${who}: ${url} is a file`, async () => holds(answer.ok(), String(answer.status())));
      visited.add(route);
      continue;
    }
    // a redirect counts where it leads to, and as what it is: a page that is nobody's own
    if (route && routeOf(path) !== route) visited.add(route);
    const html = await answer.text();
    const state = stateOf(routeOf(path) ?? '/nothing', answer.status(), html);
    if (!fetched.has(state)) {
      fetched.add(state);
      const shown = await page.goto(url);
      await sees(page, who, shown.status());
    }
    visited.add(routeOf(path));
    for (const link of all(html, /href="([^"]+)"/g).map((one) => one.replaceAll('&amp;', '&').replaceAll('&#38;', '&'))) {
      const to = new URL(link, answer.url());
      to.hash = '';
      if (to.origin !== new URL(BASE).origin || to.pathname.startsWith('/assets/') || met.has(to.href)) continue;
      met.add(to.href);
      const form = `${routeOf(to.pathname)} ${[...to.searchParams.keys()].sort()}`;
      alike.set(form, (alike.get(form) ?? 0) + 1);
      if (alike.get(form) <= ALIKE_MAX) due.push(to.href);
    }
  }
  await page.context().close();
}

/** What has to be done before there is a page of it. */
async function prepares() {
  const luke = await at(desktop, 'luke', `/inbox/${TASKS.worked}`);
  await button(luke, 'Record activities and scores').click();
  await luke.getByLabel('Activities the person took part in').fill(`Walking group, ${'every-other-week'.replaceAll('-', '').repeat(6)}`);
  await button(luke, 'Save').click();
  await luke.getByRole('status').getByText('It is noted.').waitFor();
  await luke.goto(`/inbox/${TASKS.worked}/onward`);
  await luke.getByLabel('What is needed').fill('singing');
  await button(luke, 'Find services').click();
  await luke.locator('label', { hasText: 'Singing together' }).click();
  await luke.getByLabel('Why do you refer them on?').fill('Loves singing');
  await luke.locator('label[for="agreed"]').click();
  await button(luke, 'Continue').click();
  await luke.getByRole('heading', { name: 'Check before you send' }).waitFor();
  await sees(luke, 'luke', 200);
  await button(luke, 'Send this referral').click();
  await luke.getByRole('heading', { name: 'Referred on to' }).waitFor();
  await sees(luke, 'luke', 200);
  await luke.context().close();
  const olive = await at(desktop, 'olive', '/console/providers/link-workers');
  await olive.getByLabel('As if it came from').selectOption('brownlow-gp');
  await button(olive, 'Send a test referral').click();
  await olive.waitForURL('**/console/trials/**');
  const trial = olive.url();
  await olive.goto(`/console/trace/${TASKS.worked}/referral`);
  await olive.getByLabel('Why you must see it').fill('she must be reached today, and nobody there answers');
  await button(olive, 'See what is in it').click();
  await olive.getByText('You see this referral until').waitFor();
  await sees(olive, 'olive', 200);
  await olive.context().close();
  const rita = await at(desktop, 'rita', '/console/routes/edit');
  const field = rita.getByLabel('Route set');
  await field.fill(`${await field.inputValue()}\n[[route]]\nname = "more walks"\npriority = 6\nwhen = { code = ["walk-more"] }\nto = "life-rooms"\n`);
  await button(rita, 'Compare it').click();
  await rita.getByText('is new').waitFor();
  await sees(rita, 'rita', 200);
  await button(rita, 'Try it on them').click();
  await rita.waitForURL('**/rehearsals/**');
  const rehearsal = rita.url();
  await rita.getByText(/go where they went/).first().waitFor();
  await sees(rita, 'rita', 200);
  await button(rita, 'Make it active').click();
  await sees(rita, 'rita', 200);
  await rita.goto('/console/routes/explain');
  await rita.getByLabel('Referral').fill(REFERRAL);
  await button(rita, 'Explain').click();
  await rita.getByText('Matches and decides').first().waitFor();
  await sees(rita, 'rita', 200);
  await rita.context().close();
  return { trial, rehearsal };
}

/** Sends forms with nothing in them: what has to be put right is told, and how it is done. */
async function sendsNothing(who, urls) {
  const page = who === 'nobody' ? await open(desktop) : await at(desktop, who, '/account');
  const deeds = page.locator('main form[method="post"]').filter({ has: page.locator('textarea, select, input:not([type="hidden"])') });
  for (const url of urls) {
    for (let number = 0, many = 1; number < many; number += 1) {
      await page.goto(url);
      many = await deeds.count();
      const send = deeds.nth(number).locator('button:not([type="button"])').first();
      if ((await send.count()) === 0 || !(await send.isVisible())) continue;
      // what is ticked beforehand is something: roles that are saved again end sessions
      await deeds.nth(number).evaluate((form) => form.querySelectorAll('input[type="checkbox"]').forEach((box) => { box.checked = false; }));
      const came = page.waitForResponse((one) => one.request().isNavigationRequest() && one.status() !== 303);
      const [answer] = await Promise.all([came, send.click()]).catch((error) => {
        throw new Error(`${url}: ${error}`);
      });
      await page.waitForLoadState();
      await sees(page, who, answer.status());
    }
  }
  await page.context().close();
}

/** What no link leads to. */
async function strays() {
  const mary = await at(desktop, 'mary', '/people/add');
  await mary.getByLabel('Name', { exact: true }).fill('Nina New');
  await mary.getByLabel('Name to log in with').fill('nina.new');
  await mary.locator('main .nhsuk-checkboxes__label').first().click();
  await button(mary, 'Add this person').click();
  await mary.getByRole('heading', { name: 'A code to hand over' }).waitFor();
  await sees(mary, 'mary', 200, 'code');
  await mary.context().close();
  const [first, second] = [await at(desktop, 'luke', `/inbox/${TASKS.raced}`), await at(desktop, 'luke', `/inbox/${TASKS.raced}`)];
  await button(first, 'Accept').click();
  await first.getByRole('status').getByText('You have accepted').waitFor();
  await button(second, 'Accept').click();
  await second.getByRole('heading', { name: 'That did not work' }).waitFor();
  await sees(second, 'luke', 409, 'too late');
  for (const page of [first, second]) await page.context().close();
  for (const [who, path, status] of [
    ['luke', `/inbox/${randomUUID()}`, 404],
    ['luke', `/inbox/${TASKS.completed}/schedule`, 409],
    ['olive', '/console/nothing', 404],
    ['nobody', '/nothing', 404],
  ]) {
    const page = who === 'nobody' ? await open(desktop) : await at(desktop, who, '/account');
    const answer = await page.goto(path);
    await check(`${who}: ${path.replace(/[0-9a-f]{8}-[0-9a-f-]{27}/g, 'one')} is ${status}`, async () => holds(answer.status() === status, String(answer.status())));
    await sees(page, who, answer.status());
    await page.context().close();
  }
  const often = await open(desktop);
  await check('who tries to log in too often is told to wait', async () => {
    let status;
    for (let tries = 0; tries < 30 && status !== 429; tries += 1) {
      await often.goto('/login');
      await often.getByLabel('Name', { exact: true }).fill('rhea');
      await often.getByLabel('Password').fill('not hers');
      await often.getByLabel('Code from your device').fill('000000');
      const [answer] = await Promise.all([often.waitForResponse((one) => one.request().method() === 'POST'), button(often, 'Log in').click()]);
      status = answer.status();
    }
    holds(status === 429, String(status));
    await often.waitForLoadState();
    await sees(often, 'nobody', status, 'too often');
  });
  await often.context().close();
}

/** Two at a time: each takes the next of what there is to do. */
async function twoAtATime(deeds) {
  const takes = async () => {
    for (let deed = deeds.shift(); deed; deed = deeds.shift()) await check(deed.name, deed.does);
  };
  await Promise.all([takes(), takes()]);
}

await journey(async () => {
  const people = ['luke', 'olive', 'rita', 'audrey', 'mary', 'rhea', 'nobody'];
  // one code of a device is taken once: everybody is in before two are at work
  for (const who of ['olive', 'luke', 'rita', 'audrey', 'mary', 'rhea']) await (await at(desktop, who, '/account')).context().close();
  let made = { trial: '/', rehearsal: '/' };
  await check('what has to be there is made', async () => {
    made = await prepares();
  });
  const day = (days) => new Date(Date.now() + days * 86_400_000).toISOString().slice(0, 10);
  const report = `/console/reports?from=${day(-7)}&to=${day(1)}`;
  const begins = { olive: ['/', made.trial, report], rita: ['/', made.rehearsal], luke: ['/', ...Object.values(TASKS).map((task) => `/inbox/${task}`), `/inbox/${TASKS.worked}/put-right`], audrey: ['/', '/changes.csv'], nobody: ['/', '/enrol'] };
  await twoAtATime(people.map((who) => ({ name: `${who} follows links`, does: () => follows(who, begins[who]) })));
  await twoAtATime([
    ...people.map((who) => ({ name: `${who} sends forms with nothing in them`, does: () => sendsNothing(who, forms[who]?.splice(0) ?? []) })),
    { name: 'what no link leads to', does: strays },
  ]);
  await check('every page was visited by somebody', async () => {
    const missed = ROUTES.filter((route) => !visited.has(route) && !NO_PAGES[route]);
    holds(missed.length === 0, `nobody came to ${missed.join(', ')}: link it, or begin there`);
    const gone = Object.keys(NO_PAGES).filter((route) => !ROUTES.includes(route));
    holds(gone.length === 0, `no route any more: ${gone.join(', ')}`);
  });
  console.log(`${states.size} states of ${new Set([...states.values()].map((one) => one.route)).size} pages were looked at`);
});
