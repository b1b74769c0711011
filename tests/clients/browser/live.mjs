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
    holds((await luke.locator('tbody tr').count()) === 0, 'the list is not empty');
    await refers(REFERRALS[0]);
    await lines(luke, 1);
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
  await sends('life-rooms', 'brownlow-gp', 'a test that does not get there', [
    'It does not get to the provider',
    /it was given up: .*422/,
    /What to do: look at the provider step by step, and send another one/,
  ]);
  await olive.context().close();
});
