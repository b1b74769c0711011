// The pages of those who keep Onward running, change its routes or look after a provider: at 200 % and 400 %, in forced colours, and by
// keyboard alone. The pages of an inbox are looked at so in `inbox.mjs`.

import { VARIANTS, at, byKeyboard, check, holds, journey, looks } from './browser.mjs';

/** Who looks at which page, and what must be reached there without a pointer. */
const PAGES = [
  ['olive', '/console', ['Skip to main content', 'Log out', 'Find a referral', 'Dead letters', 'Providers']],
  ['olive', '/console/to-do', ['Could not be delivered', 'See this dead letter']],
  ['olive', '/console/trace', ['Id or reference', 'Find']],
  ['olive', `/console/trace/${process.env.ONWARD_TASK}`, ['See what is in it']],
  ['olive', '/console/dead?to=inbox.life-rooms', ['Try all of', 'step 1']],
  ['olive', `/console/dead/${process.env.ONWARD_LETTER}`, ['Try it again', 'Put it away']],
  ['olive', '/console/systems', ['Add a system']],
  ['olive', '/console/providers/life-rooms', ['Look at it step by step', 'As if it came from', 'Send a test referral']],
  ['olive', '/console/add/provider', ['Name for people', 'Its people read and answer them', 'Check it']],
  ['audrey', '/console/journal', ['From', 'What happened', 'Look']],
  ['audrey', '/console/reports', ['Referrals that came from', 'Show']],
  ['audrey', '/changes', ['Organisation', 'Look']],
  ['rita', '/console/routes', ['Where would a referral go?', 'Run its tests']],
  ['rita', '/console/routes/explain', ['Referral', 'Explain']],
  ['rita', '/console/routes/edit', ['Route set', 'Check it']],
  ['mary', '/services', ['Do you have room?', 'How many weeks', 'Save']],
  ['mary', '/account', ['Log out']],
];

await journey(async () => {
  const desktop = VARIANTS[0];
  for (const [who, path, wanted] of PAGES) {
    const name = path.replace(/[0-9a-f]{8}-[0-9a-f-]{27}/, 'one').replace(/\?.*/, '').slice(1);
    // a screen of 1280 pixels at 200 % shows 640 of them, at 400 % 320 (WCAG 1.4.4, 1.4.10)
    for (const [zoom, width] of [[200, 640], [400, 320]]) {
      const page = await at({ ...desktop, name: `${zoom} %`, width }, who, path);
      await looks(page, name);
      await page.context().close();
    }
    const forced = await at({ ...desktop, name: 'forced colours' }, who, path, { forcedColors: 'active' });
    await looks(forced, name);
    await forced.context().close();
    const page = await at(desktop, who, path);
    await check(`${name} by keyboard alone`, () => byKeyboard(page, wanted));
    await page.context().close();
  }
  await check('a dead letter is tried again by keyboard alone', async () => {
    const page = await at(desktop, 'olive', `/console/dead/${process.env.ONWARD_LETTER}`);
    await page.getByRole('button', { name: 'Try it again' }).focus();
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Try this dead letter again?' }).waitFor();
    await page.getByRole('button', { name: 'Try it again' }).focus();
    await page.keyboard.press('Enter');
    await page.getByText('The message is tried again now').waitFor();
    holds(page.url().includes('/console/trace/'), page.url());
    await page.context().close();
  });
});
