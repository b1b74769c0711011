// Somebody logs in, sees who she is, and logs out.

import { VARIANTS, check, holds, journey, logIn, looks, open } from './browser.mjs';

await journey(async () => {
  for (const [number, variant] of VARIANTS.entries()) {
    const page = await open(variant);
    await page.goto('/');
    await looks(page, 'log in');
    await page.getByRole('button', { name: 'Log in' }).click();
    await looks(page, 'log in refused');
    await check(`${variant.name}: what is wrong is told first`, async () => {
      holds((await page.title()).startsWith('Error: '), await page.title());
      await page.getByRole('alert').getByText('Name, password or code is not right').waitFor();
    });
    await check(`${variant.name}: in`, () => logIn(page, `auditor-${number}`));
    await page.goto('/account');
    await looks(page, 'account');
    await check(`${variant.name}: out`, async () => {
      await page.getByRole('button', { name: 'Log out' }).click();
      await page.getByRole('heading', { name: 'Log in' }).waitFor();
      await page.goto('/account');
      holds(page.url().includes('/login'), page.url());
    });
    await page.goto('/enrol');
    await looks(page, 'enrol');
    await page.context().close();
  }
});
