// Somebody logs in, sees who she is, and logs out.

import { VARIANTS, check, holds, journey, logIn, looks, open, shownBy } from './browser.mjs';

/** Who has an account that nobody has enrolled for yet, and the code that was handed over. */
const ENROLMENTS = JSON.parse(process.env.ONWARD_ENROLMENTS);

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
    const { name, code } = ENROLMENTS[number];
    await page.getByLabel('Name', { exact: true }).fill(name);
    await page.getByLabel('Enrolment code').fill(code);
    await page.getByLabel('New password').fill('three unlikely words');
    await page.getByLabel('The same password again').fill('three unlikely words');
    await page.getByRole('button', { name: 'Continue' }).click();
    await check(`${variant.name}: the key of her device, to read and to be seen by a camera`, async () => {
      await page.getByRole('img', { name: /^QR code of the key/ }).waitFor();
      holds(/^[A-Z2-7]{32}$/.test((await page.locator('.onward-key').textContent()).trim()), 'no key');
    });
    await looks(page, 'enrol device');
    await check(`${variant.name}: her account is ready`, async () => {
      const key = (await page.locator('.onward-key').textContent()).trim();
      await page.getByLabel('The code that it shows now').fill(shownBy(key));
      await page.getByRole('button', { name: 'Finish' }).click();
      await page.getByText('Your account is ready').waitFor();
    });
    await page.context().close();
  }
});
