// What changes while somebody looks: a referral that comes, an Onward that is away and comes back, somebody else who logs in in the same
// browser, a test referral that fails on its way there or back.

import { BASE, VARIANTS, at, check, holds, journey, looks } from './browser.mjs';

const TOKEN = process.env.ONWARD_TOKEN;
/** Referrals to the link workers, which come while somebody looks. */
const REFERRALS = JSON.parse(process.env.ONWARD_REFERRALS);
/** Two looks of a page at what has changed lie so far apart at most, and some more (ms). */
const SOON = { timeout: 30_000 };

async function refers(referral) {
  const headers = { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/fhir+json' };
  const answer = await fetch(`${BASE}/fhir`, { method: 'POST', headers, body: JSON.stringify(referral) });
  holds(answer.status < 300, `${answer.status} ${await answer.text()}`);
}

const lines = (page, count) =>
  page.waitForFunction((count) => document.querySelectorAll('tbody tr').length === count, count, SOON);
const away = (page) => page.locator('.onward-away');
const NOTE = /^This page has not been renewed since \d\d:\d\d\. /;

await journey(async () => {
  const desktop = VARIANTS[0];
  const luke = await at(desktop, 'luke', '/inbox?view=new');
  await luke.evaluate(() => { window.loadedOnce = true; });
  await check('a referral that comes is there without the page being loaded again', async () => {
    const assign = luke.getByRole('button', { name: 'Assign' });
    holds((await luke.locator('tbody tr').count()) === 0, 'the list is not empty');
    holds(!(await assign.isVisible()), 'there is nothing to assign');
    await refers(REFERRALS[0]);
    await lines(luke, 1);
    holds(await assign.isVisible(), 'what has come can be selected and not assigned');
    holds(await luke.evaluate(() => window.loadedOnce === true), 'it was loaded again');
    holds(!(await away(luke).isVisible()), 'it says that it is not renewed');
  });
  await check('an Onward that is away is told, and since when', async () => {
    await luke.context().setOffline(true);
    await away(luke).filter({ hasText: NOTE }).filter({ hasText: 'Onward cannot be reached.' }).waitFor(SOON);
    holds((await away(luke).getAttribute('role')) === 'status', 'nobody who does not see it hears of it');
    holds((await luke.locator('tbody tr').count()) === 1, 'what stood there does not any more');
  });
  luke.seen.troubles.length = 0;
  await looks(luke, 'inbox away');
  await check('what came meanwhile is there when it is back, and the note goes by itself', async () => {
    await refers(REFERRALS[1]);
    await luke.context().setOffline(false);
    await lines(luke, 2);
    await away(luke).waitFor({ state: 'hidden' });
    holds(await luke.evaluate(() => window.loadedOnce === true), 'it was loaded again');
  });

  // what somebody is at stays under her hands, and what is new is there all the same
  // it asks as often as it is told to, and here nobody waits for a quarter of a minute each time
  await luke.locator('[data-live]').evaluate((part) => { part.dataset.every = 1; });
  const mary = await at(desktop, 'mary', '/inbox');
  const accepts = async (task) => {
    await mary.goto(`/inbox/${task}`);
    await mary.getByRole('button', { name: 'Accept', exact: true }).click();
    await mary.getByRole('status').getByText(/accepted/i).waitFor();
  };
  const tasks = await luke.locator('tbody input').evaluateAll((boxes) => boxes.map((box) => box.value));
  const isWhereSheWas = () => luke.evaluate(() => document.activeElement === window.hers);
  await check('a referral that comes while others are selected and a link has the focus', async () => {
    await luke.locator(`label[for="select-${tasks[0]}"]`).click();
    await luke.locator(`tbody a[href="/inbox/${tasks[1]}"]`).focus();
    await luke.evaluate(() => { window.hers = document.activeElement; });
    await refers(REFERRALS[2]);
    await lines(luke, 3);
    holds(await isWhereSheWas(), 'the focus is elsewhere');
    holds((await luke.locator('tbody input:checked').evaluateAll((boxes) => boxes.map((box) => box.value))).join() === tasks[0], 'another one is selected, or none');
    holds((await away(luke).textContent()) === '', 'something is read out');
  });
  await check('one that was selected and goes is told', async () => {
    await accepts(tasks[0]);
    await away(luke).filter({ hasText: /^One that you selected is not here any more\.$/ }).waitFor(SOON);
    holds((await luke.locator('tbody tr').count()) === 2, 'it still stands there');
    holds((await luke.locator('tbody input:checked').count()) === 0, 'another one is selected');
    holds(await isWhereSheWas(), 'the focus is elsewhere');
    // and no longer than until she goes on
    const other = await luke.locator('tbody input').first().getAttribute('id');
    for (let times = 0; times < 2; times += 1) await luke.locator(`label[for="${other}"]`).click();
    await luke.evaluate(() => window.hers.focus());
    await away(luke).waitFor({ state: 'hidden', ...SOON });
  });
  await check('what has the focus and would go stays, and that there is something new is told', async () => {
    await accepts(tasks[1]);
    await away(luke).filter({ hasText: /^There is something new here/ }).waitFor(SOON);
    holds((await luke.locator('tbody tr').count()) === 2, 'it went');
    holds(await isWhereSheWas(), 'the focus is elsewhere');
  });
  // what came each second is not of the first view
  luke.seen.bytes = 0;
  await looks(luke, 'inbox held back');
  await check('it is shown when she says so', async () => {
    await away(luke).getByRole('button', { name: 'Show it' }).press('Enter');
    await lines(luke, 1);
    holds((await away(luke).textContent()) === '', 'it is still told');
    holds(await luke.evaluate(() => document.activeElement.matches('[data-live]')), 'the focus is nowhere');
  });
  await mary.context().close();
  await luke.context().close();

  const olive = await at(desktop, 'olive', '/console');
  await check('an Onward that cannot answer is told as well', async () => {
    await olive.route('**/console/now', (route) => route.fulfill({ status: 503, body: '' }));
    await away(olive).filter({ hasText: NOTE }).filter({ hasText: 'Onward cannot answer just now.' }).waitFor(SOON);
    await olive.unroute('**/console/now');
    await away(olive).waitFor({ state: 'hidden', ...SOON });
  });
  const shared = await at(desktop, 'luke', '/inbox');
  await shared.evaluate(() => { window.loadedOnce = true; });
  await check('the page of who was logged in before is loaded anew once somebody else of the same team is', async () => {
    const mary = await at(desktop, 'mary', '/inbox');
    await shared.context().addCookies(await mary.context().cookies());
    await mary.context().close();
    await shared.waitForFunction(() => window.loadedOnce === undefined && document.querySelector('[data-live]') !== null, null, SOON);
  });
  await shared.context().close();
  for (const [writes, told] of [[false, 'is not to be read once its session is over'], [true, 'stays where somebody is writing on it']]) {
    await check(`a page ${told}`, async () => {
      const page = await at(desktop, 'luke', '/inbox');
      await page.clock.install();
      await page.goto(await page.locator('tbody a').first().getAttribute('href'));
      const message = page.getByLabel('Write to the referrer');
      if (writes) await message.fill('He asks for an early place.');
      await page.context().clearCookies();
      // as if the time were over: the style sheet tells that it will be, and two minutes later it is
      await page.evaluate(() => Promise.all(document.getAnimations().map((animation) => {
        animation.finish();
        return new Promise((heard) => { document.querySelector('.onward-soon').addEventListener('animationend', heard); });
      })));
      await page.clock.fastForward(60_000);
      holds(await message.isVisible(), 'it is gone before');
      await page.clock.fastForward(90_000);
      if (writes) holds((await message.inputValue()) === 'He asks for an early place.', 'what was written is gone');
      else await page.getByRole('heading', { name: 'Log in' }).waitFor();
      await page.context().close();
    });
  }
  const still = await at(VARIANTS[1], 'olive', '/console');
  await check('without script nothing is promised', async () => holds((await away(still).count()) === 0, 'there is a note'));
  await still.context().close();

  olive.seen.troubles.length = 0;
  const sends = async (provider, system, name, told) => {
    await olive.goto(`/console/providers/${provider}`);
    await olive.getByLabel('As if it came from').selectOption(system);
    await olive.getByRole('button', { name: 'Send a test referral' }).click();
    await check(`${name} is told in words`, async () => {
      for (const words of told) await olive.getByText(words).first().waitFor(SOON);
    });
    await looks(olive, name);
  };
  await sends('link-workers', 'merseycare-rio', 'a test that does not get back', [
    'It gets to the provider, and what becomes of it does not get back into the record',
    /tried (once|\d+ times), last at http:\/\/127\.0\.0\.1:9\/fhir: cannot connect/,
    /What to do: look at the system step by step; it is tried again by itself/,
  ]);
  await check('and the console does not say that all is well', async () => {
    await olive.goto('/console');
    await olive.getByText(/\d+ answers? cannot be written back to merseycare-rio: cannot connect[^,]*, since \d+(:\d\d)?[ap]m, (next try at|being tried)/).waitFor(SOON);
    holds((await olive.getByText('All is well').count()) === 0, 'it does');
    await olive.goto('/console/to-do?kind=sending-fails');
    await olive.getByText('ask whoever runs that server').waitFor();
  });
  await looks(olive, 'console cannot be sent');
  const other = await at(desktop, 'olive', '/console');
  await check('a console on which a link has the focus shows what is new too', async () => {
    await other.getByRole('link', { name: 'See all that waits for a person' }).focus();
    await other.evaluate(() => { window.hers = document.activeElement; });
    await other.route('**/console/now', async (route) => {
      const { 'if-none-match': _, ...headers } = route.request().headers();
      const answer = await route.fetch({ headers });
      await route.fulfill({ response: answer, body: (await answer.text()).replace(/(<h2[^>]*>)[^<]*/, '$1Another trouble ') });
    });
    await other.locator('.onward-verdict').getByText('Another trouble').waitFor(SOON);
    holds(await other.evaluate(() => document.activeElement === window.hers), 'the focus is elsewhere');
    holds((await away(other).textContent()) === '', 'something is read out');
  });
  await other.unrouteAll({ behavior: 'wait' });
  await other.context().close();
  await sends('life-rooms', 'brownlow-gp', 'a test that does not get there', [
    'It does not get to the provider',
    /it was given up: .*422/,
    /What to do: look at the provider step by step, and send another one/,
  ]);
  await olive.context().close();
});
