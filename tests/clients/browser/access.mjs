// What somebody does who uses no pointer. That every page can be used so, enlarged, and in forced colours is looked at in `crawl.mjs`.

import { VARIANTS, at, byKeyboard, check, holds, journey } from './browser.mjs';

await journey(async () => {
  await check('a dead letter is tried again by keyboard alone', async () => {
    const page = await at(VARIANTS[0], 'olive', `/console/dead/${process.env.ONWARD_LETTER}`);
    await byKeyboard(page, ['Skip to main content', 'Log out', 'Try it again', 'Put it away']);
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
