// An operator reads the routes, looks at systems and providers, at what happened, and at what became of it in numbers.

import { VARIANTS, at, check, holds, journey, looks } from './browser.mjs';

/** What stands in a referral, and must stand on no page here. */
const SECRETS = JSON.parse(process.env.ONWARD_SECRETS);

async function tellsNothing(page, name) {
  const text = await page.content();
  const told = SECRETS.filter((secret) => text.includes(secret));
  await check(`${page.seen.variant.name}: ${name} tells nothing of a person`, () => holds(told.length === 0, told.join(' | ')));
}

await journey(async () => {
  for (const variant of VARIANTS) {
    const keeper = await at(variant, 'olive', '/console/routes');
    await check(`${variant.name}: an operator reads and changes nothing`, async () => {
      await keeper.getByRole('heading', { name: 'If no rule matches' }).waitFor();
      holds((await keeper.getByRole('link', { name: 'Change the routes' }).count()) === 0, 'she may change them');
    });
    await keeper.goto('/console/routes/edit');
    await check(`${variant.name}: to her there is no such page`, () => keeper.getByRole('heading', { name: 'Page not found' }).waitFor());

    await keeper.goto('/console/systems');
    await looks(keeper, 'console systems');
    await keeper.goto('/console/providers');
    await looks(keeper, 'console providers');
    await keeper.locator('a[href="/console/providers/life-rooms"]').click();
    await looks(keeper, 'console provider');
    await keeper.getByRole('button', { name: 'Look at it step by step' }).click();
    await check(`${variant.name}: each layer is looked at`, () => keeper.getByText('It is a FHIR server').first().waitFor());
    await looks(keeper, 'console provider looked at');
    if (variant === VARIANTS[0]) {
      await keeper.getByRole('button', { name: 'Send a test referral' }).click();
      await check('a test referral leads to what becomes of it', () => keeper.getByRole('heading', { name: 'What became of a referral' }).waitFor());
    }

    await keeper.goto('/console/journal');
    await check(`${variant.name}: what happened lately`, () => keeper.getByText('Submitted').last().waitFor());
    await looks(keeper, 'console journal');
    await tellsNothing(keeper, 'console journal');
    await keeper.getByLabel('By', { exact: true }).fill('nobody');
    await keeper.getByRole('button', { name: 'Look' }).click();
    await check(`${variant.name}: what is wrong with what is looked for`, () => keeper.getByRole('alert').getByText('Write onward').waitFor());
    await looks(keeper, 'console journal refused');

    await keeper.goto('/console/reports');
    await keeper.getByLabel('Until the end of').fill(new Date(Date.now() + 86_400_000).toISOString().slice(0, 10));
    await keeper.getByRole('button', { name: 'Show' }).click();
    await check(`${variant.name}: how many came`, () => keeper.getByRole('heading', { name: 'By service' }).waitFor());
    await looks(keeper, 'console reports');
    await tellsNothing(keeper, 'console reports');
    await keeper.context().close();
  }
});
