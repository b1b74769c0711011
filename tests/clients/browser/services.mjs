// Somebody who looks after a provider says that there is a waiting list, and how long one waits.

import { VARIANTS, at, check, holds, journey, looks } from './browser.mjs';

await journey(async () => {
  for (const variant of VARIANTS) {
    const page = await at(variant, 'mary', '/');
    await check(`${variant.name}: begins at her services`, async () => holds(page.url().endsWith('/services'), page.url()));
    await looks(page, 'services');
    await check(`${variant.name}: a wait that is none is told`, async () => {
      await page.getByLabel('How many weeks do people wait?').fill('six');
      await page.getByRole('button', { name: 'Save' }).click();
      await page.getByRole('alert').getByText('Enter a whole number of weeks').waitFor();
    });
    await looks(page, 'services faults');
    await check(`${variant.name}: room and wait are told`, async () => {
      await page.getByLabel('Do you have room?').selectOption('waitlist');
      await page.getByLabel('How many weeks do people wait?').fill('6');
      await page.getByRole('button', { name: 'Save' }).click();
      await page.getByRole('status').getByText('Saved. The directory says so from now on.').waitFor();
      await page.getByText('The directory says: has a waiting list, people wait 6 weeks.').waitFor();
    });
    await looks(page, 'services told');
    await page.context().close();
  }
});
