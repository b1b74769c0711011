// Somebody logs in at the issuer of her organisation, and out again, there as well.

import { VARIANTS, check, holds, journey, looks, open } from './browser.mjs';

const ISSUER = process.env.ONWARD_ISSUER;

await journey(async () => {
  for (const variant of VARIANTS) {
    const page = await open(variant, undefined, {}, [ISSUER]);
    await page.goto('/console/journal');
    await looks(page, 'log in at issuer');
    await check(`${variant.name}: who changes her mind there is back at the log-in, and told`, async () => {
      await page.getByRole('button', { name: 'Log in with your organisation' }).click();
      await page.waitForURL(`${ISSUER}/sign-in/**`);
      await page.getByRole('link', { name: 'Cancel' }).click();
      await page.getByRole('alert').getByText('Your organisation did not let you in').waitFor();
      holds((await page.getByRole('button', { name: 'Log out' }).count()) === 0, 'she is in');
    });
    await looks(page, 'log in at issuer refused');
    await check(`${variant.name}: in, and where she wanted to go`, async () => {
      await page.goto('/console/journal');
      await page.getByRole('button', { name: 'Log in with your organisation' }).click();
      await page.getByRole('link', { name: 'olga' }).click();
      await page.getByRole('heading', { name: 'Journal' }).waitFor();
      holds(page.url().endsWith('/console/journal'), page.url());
      await page.getByText('Olga').waitFor();
    });
    await looks(page, 'journal of whoever came from an issuer');
    await check(`${variant.name}: out, and asked by the issuer`, async () => {
      await page.getByRole('button', { name: 'Log out' }).click();
      await page.waitForURL(`${ISSUER}/session/end**`);
      await page.goto('/console/journal');
      holds(page.url().includes('/login'), page.url());
    });
    await page.context().close();
    const nobody = await open(variant, undefined, {}, [ISSUER]);
    await check(`${variant.name}: whom the issuer knows and Onward does not is not let in`, async () => {
      await nobody.goto('/login');
      await nobody.getByRole('button', { name: 'Log in with your organisation' }).click();
      await nobody.getByRole('link', { name: 'nobody' }).click();
      await nobody.waitForURL(/\/(login|account)/);
      holds((await nobody.getByRole('link', { name: /console|referrals|people/i }).count()) === 0, 'there is something for her');
    });
    await looks(nobody, 'log in of nobody');
    await nobody.context().close();
  }
});
