// A link worker's day: from an empty list to an outcome, each variant with a referral of its own; then a list of many, by keyboard, at
// 200 % and in forced colours.

import { VARIANTS, at, check, holds, journey, logIn, looks, open } from './browser.mjs';

/** The Tasks of the referrals, one for each variant. */
const TASKS = JSON.parse(process.env.ONWARD_TASKS);
const STRANGER = process.env.ONWARD_STRANGER;

const button = (page, name) => page.getByRole('button', { name, exact: true });

await journey(async () => {
  for (const [number, variant] of VARIANTS.entries()) {
    const page = await open(variant);
    const task = TASKS[number];
    const told = (words) => page.getByRole('status').getByText(words).waitFor();
    await page.goto(`/inbox/${task}`);
    await check(`${variant.name}: in, and where one wanted to go`, async () => {
      await logIn(page, `luke-${number}`);
      holds(page.url().endsWith(`/inbox/${task}`), page.url());
    });
    await looks(page, 'referral new');
    await page.getByRole('link', { name: 'Referrals', exact: true }).first().click();
    await looks(page, 'inbox');
    await check(`${variant.name}: found by name`, async () => {
      await page.getByLabel('Find a referral').fill('rimmer');
      await button(page, 'Find').click();
      await page.getByText(/^Found: \d/).waitFor();
      holds(!page.url().toLowerCase().includes('rimmer'), page.url());
    });
    await looks(page, 'inbox search');
    await check(`${variant.name}: nothing to find is told`, async () => {
      await page.getByLabel('Find a referral').fill('');
      await button(page, 'Find').click();
      await page.getByRole('alert').getByText('Enter a name').waitFor();
    });
    await check(`${variant.name}: filtered by the URL`, async () => {
      await page.goto('/inbox');
      await page.getByLabel('Worker').selectOption('none');
      await page.getByLabel('Sort by').selectOption('name');
      await button(page, 'Show').click();
      await page.waitForURL(/worker=none/);
      holds(/sort=name/.test(page.url()), page.url());
    });
    if (variant.script) {
      await check(`${variant.name}: a line is ticked as a whole`, async () => {
        await page.goto('/inbox');
        await page.locator(`tr:has(#select-${task}) td`).nth(4).click();
        holds(await page.locator(`#select-${task}`).isChecked(), 'the line was not ticked');
      });
    }
    await check(`${variant.name}: taken by oneself`, async () => {
      await page.goto('/inbox');
      await page.locator(`label[for="select-${task}"]`).click();
      await page.getByLabel('Give the selected to').selectOption(`local:luke-${number}`);
      await button(page, 'Assign').click();
      await told('1 referral was assigned.');
    });
    if (variant.script) {
      await check(`${variant.name}: all of a page are given to somebody at once`, async () => {
        await page.goto('/inbox?view=new');
        const lines = await page.locator('input[name="task"]').count();
        holds(lines > 0, 'the list is empty');
        await page.locator('label[for="all"]').click();
        holds((await page.locator('input[name="task"]:checked').count()) === lines, 'not all are ticked');
        await page.getByLabel('Give the selected to').selectOption(`local:luke-${number}`);
        await button(page, 'Assign').click();
        await told(lines === 1 ? '1 referral was assigned.' : `${lines} referrals were assigned.`);
        await page.goto(`/inbox?view=new&worker=local%3Aluke-${number}`);
        holds((await page.locator('input[name="task"]').count()) === lines, 'not all are hers');
      });
    }
    await page.goto(`/inbox/${task}`);
    await check(`${variant.name}: to be given it opens nothing, and it is told who works it`, async () => {
      await page.getByText(/to be opened by/).first().waitFor();
      await page.getByText(/ gave it to Sam Worker/).first().waitFor();
    });
    await check(`${variant.name}: accepted`, async () => {
      await button(page, 'Accept').click();
      await told('You have accepted this referral.');
    });
    await looks(page, 'referral accepted');
    await check(`${variant.name}: more is asked for`, async () => {
      await page.getByLabel('Write to the referrer').fill('Which floor does he live on?');
      await page.locator('label[for="asks"]').click();
      await button(page, 'Send message').click();
      await told('Your question is written.');
      await page.getByText('Which floor does he live on?').waitFor();
    });
    await check(`${variant.name}: a contact is recorded`, async () => {
      await page.getByRole('button', { name: 'Record a contact' }).click();
      await button(page, 'Save').click();
      await page.getByRole('alert').getByText('Choose how you tried to reach the person').waitFor();
    });
    await looks(page, 'contact faults');
    await check(`${variant.name}: a contact is recorded at last`, async () => {
      await page.locator('label', { hasText: 'Phone call' }).click();
      await page.locator('label', { hasText: 'No answer' }).click();
      await page.getByLabel('Notes').fill('Try after 5pm');
      await button(page, 'Save').click();
      await told('The contact is noted.');
    });
    await check(`${variant.name}: an appointment is booked`, async () => {
      await page.getByRole('button', { name: 'Book first appointment' }).click();
      await page.getByLabel('Date of the appointment').fill('9/3/2027');
      await page.getByLabel('Time', { exact: true }).fill('2:30pm');
      await page.getByLabel('Where and with whom').fill('Library, room 2');
      await button(page, 'Save').click();
      await told('The appointment is noted.');
    });
    await page.goto(`/inbox/${task}/onward`);
    await looks(page, 'refer on');
    await check(`${variant.name}: a service is found to refer on to`, async () => {
      await page.getByLabel('What is needed').fill('singing');
      await button(page, 'Find services').click();
      await page.locator('label', { hasText: 'Wavertree choir' }).click();
    });
    await looks(page, 'refer on found');
    await check(`${variant.name}: nothing is passed on without agreement`, async () => {
      await page.getByLabel('Why do you refer them on?').fill('Loves singing');
      await button(page, 'Continue').click();
      await page.getByRole('alert').getByText('Say whether the person agrees').waitFor();
    });
    await looks(page, 'refer on faults');
    await check(`${variant.name}: it is looked at once more`, async () => {
      await page.locator('label[for="agreed"]').click();
      await button(page, 'Continue').click();
      await page.getByRole('heading', { name: 'Check before you send' }).waitFor();
      await page.getByText('Phone numbers, email and address').waitFor();
    });
    await looks(page, 'refer on check');
    await check(`${variant.name}: the person is referred on`, async () => {
      await button(page, 'Send this referral').click();
      await told('The new referral is sent');
      await page.getByRole('heading', { name: 'Referred on to' }).waitFor();
    });
    await page.getByRole('button', { name: 'Put on hold' }).click();
    await looks(page, 'on hold');
    await page.goto(`/inbox/${task}/rejected`);
    await looks(page, 'decline');
    await page.goto(`/inbox/${task}/completed`);
    await looks(page, 'complete');
    await check(`${variant.name}: completed with its outcome`, async () => {
      await page.getByLabel('What came of it?').fill('Joined a choir and a walking group');
      await page.getByLabel('Activities the person took part in').fill('Choir\nWalking group');
      await page.getByLabel('Happiness, before').fill('2');
      await page.getByLabel('Happiness, after').fill('7');
      await button(page, 'Complete this referral').click();
      await told('You have completed this referral.');
    });
    await looks(page, 'referral completed');
    await check(`${variant.name}: a document is taken as a file`, async () => {
      const [file] = await Promise.all([
        page.waitForEvent('download'),
        page.getByRole('link', { name: 'Letter of support' }).click(),
      ]);
      holds(file.suggestedFilename() === 'Letter-of-support.txt', file.suggestedFilename());
    });
    await page.goto(`/inbox/${STRANGER}`);
    await looks(page, 'not found');
    await check(`${variant.name}: another provider's is not there`, async () => {
      await page.getByRole('heading', { name: 'Page not found' }).waitFor();
    });
    await page.context().close();
  }

  const desktop = VARIANTS[0];
  // a screen of 1280 pixels at 200 % shows 640 of them, at 400 % 320 (WCAG 1.4.4, 1.4.10)
  for (const [zoom, width] of [[200, 640], [400, 320]]) {
    const variant = { ...desktop, name: `${zoom} %`, width };
    for (const [name, path] of [['inbox', '/inbox?view=closed'], ['referral', `/inbox/${TASKS[4]}`], ['complete', `/inbox/${TASKS[4]}/rejected`]]) {
      const page = await at(variant, 'luke-4', path);
      await looks(page, name);
      await page.context().close();
    }
  }
  for (const [name, path] of [['inbox', '/inbox'], ['referral', `/inbox/${TASKS[4]}`]]) {
    const page = await at({ ...desktop, name: 'forced colours' }, 'luke-4', path, { forcedColors: 'active' });
    await looks(page, name);
    await page.context().close();
  }
  await check('by keyboard alone', async () => {
    const page = await at(desktop, 'luke-4', `/inbox/${TASKS[4]}`);
    const reached = new Set();
    for (let n = 0; n < 120; n++) {
      await page.keyboard.press('Tab');
      const here = await page.evaluate(() => {
        const one = document.activeElement;
        if (!one || one === document.body) return null;
        const { outlineStyle, boxShadow, backgroundColor } = getComputedStyle(one);
        const seen = outlineStyle !== 'none' || boxShadow !== 'none' || backgroundColor === 'rgb(255, 235, 59)';
        const words = (one.textContent || one.getAttribute('name') || '').trim().slice(0, 60);
        const label = one.matches('input[type="checkbox"]') ? one.nextElementSibling : null;
        const place = [...document.querySelectorAll('*')].indexOf(one);
        return { key: `${place} ${one.tagName} ${one.id} ${words}`, seen: seen || Boolean(label) };
      });
      if (!here) break;
      holds(here.seen, `one does not see that ${here.key} has the focus`);
      if (reached.has(here.key)) break;
      reached.add(here.key);
    }
    const all = [...reached].join(' | ');
    for (const wanted of ['Skip to main content', 'Accept', 'Record a contact', 'Decline or redirect', 'Save worker', 'Send message', 'Everything that was sent']) {
      holds(all.includes(wanted), `${wanted} was not reached: ${all}`);
    }
    await page.goto(`/inbox/${TASKS[4]}`);
    await page.getByText('Accept', { exact: true }).focus();
    await page.keyboard.press('Enter');
    await page.getByRole('status').getByText('You have accepted').waitFor();
    await page.context().close();
  });
  await check('what comes is shown without loading the page again', async () => {
    const page = await at(desktop, 'luke-4', '/inbox?view=new');
    const before = await page.locator('tbody tr').count();
    // as if the time between two looks were over: the page itself asks every 15 seconds
    const answer = await page.evaluate(async () => {
      const live = document.querySelector('[data-live]').dataset.live;
      const first = await fetch(live);
      const again = await fetch(live, { headers: { 'If-None-Match': first.headers.get('ETag') } });
      return [first.status, again.status, (await first.text()).split('<tr role="row" class="nhsuk-table__row"').length - 1];
    });
    holds(answer[0] === 200 && answer[1] === 304 && answer[2] === before, JSON.stringify([answer, before]));
    await page.context().close();
  });
});
