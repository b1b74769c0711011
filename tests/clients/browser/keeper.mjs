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
  let trial;
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
    await check(`${variant.name}: what was found is there when the page is loaded again`, async () => {
      holds(!keeper.url().endsWith('/check'), keeper.url());
      await keeper.reload();
      await keeper.getByText('It is a FHIR server').first().waitFor();
    });
    if (variant === VARIANTS[0]) {
      await keeper.getByLabel('As if it came from').selectOption('merseycare-rio');
      await keeper.getByRole('button', { name: 'Send a test referral' }).click();
      await check('what a test referral shows is told while it goes on', () =>
        keeper.getByText('It is delivered, and waits for the provider’s answer').waitFor());
      trial = new URL(keeper.url()).pathname;
    } else {
      await keeper.goto(trial);
    }
    await looks(keeper, 'console test referral');

    await keeper.goto('/console/providers');
    await keeper.getByRole('button', { name: 'Add a provider' }).click();
    await looks(keeper, 'console add');
    await keeper.getByLabel('Name for people').fill('Mind Liverpool');
    await keeper.getByLabel('Id', { exact: true }).fill('life-rooms');
    await keeper.getByLabel('ODS code').fill('AB123');
    await keeper.getByRole('button', { name: 'Check it' }).click();
    await check(`${variant.name}: who is there already is not added again`, () => keeper.getByRole('alert').getByText('is there already').waitFor());
    await looks(keeper, 'console add refused');
    await keeper.getByLabel('Id', { exact: true }).fill('mind-liverpool');
    await keeper.getByLabel('They are sent to its FHIR server, and it answers here by itself').check();
    await keeper.getByLabel('Address of its FHIR server').fill('https://fhir.mind.example/r4');
    await keeper.getByRole('button', { name: 'Check it' }).click();
    await check(`${variant.name}: the piece that adds it, and its token once`, async () => {
      const piece = await keeper.locator('pre').textContent();
      const token = await keeper.locator('.onward-key').textContent();
      holds(piece.includes('id = "mind-liverpool"') && piece.includes('sha256') && !piece.includes(token), piece);
    });
    await looks(keeper, 'console piece');
    await keeper.goto('/console/systems/brownlow-gp');
    await looks(keeper, 'console system');

    await keeper.goto('/console/journal');
    await check(`${variant.name}: what happened lately`, () => keeper.getByText('Sent by the referrer').last().waitFor());
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

    const auditor = await at(variant, 'audrey', '/');
    await check(`${variant.name}: an auditor begins at the console`, () => auditor.getByRole('heading', { name: 'IT console' }).waitFor());
    await auditor.getByRole('link', { name: 'Journal' }).click();
    await auditor.getByLabel('What happened').selectOption('submitted');
    await auditor.getByLabel('System that sent it').selectOption('merseycare-rio');
    await auditor.getByRole('button', { name: 'Look' }).click();
    await check(`${variant.name}: an auditor finds what happened and follows it`, async () => {
      await auditor.locator('tbody a[href^="/console/trace/"]').first().click();
      await auditor.getByRole('heading', { name: 'Every step' }).waitFor();
    });
    await looks(auditor, 'auditor trace');
    await check(`${variant.name}: an auditor takes a report along`, async () => {
      await auditor.goto('/console/reports');
      await auditor.getByLabel('Until the end of').fill(new Date(Date.now() + 86_400_000).toISOString().slice(0, 10));
      await auditor.getByRole('button', { name: 'Show' }).click();
      const csv = await auditor.getByRole('link', { name: 'Take all of it as CSV' }).getAttribute('href');
      const taken = await auditor.request.get(csv);
      const text = await taken.text();
      holds(taken.status() === 200 && text.includes('Referrals') && !SECRETS.some((secret) => text.includes(secret)), text);
    });
    await check(`${variant.name}: an auditor changes nothing`, async () => {
      for (const path of ['/console/providers', '/console/providers/life-rooms', '/console/systems/brownlow-gp']) {
        await auditor.goto(path);
        holds((await auditor.getByRole('button', { name: /Add|Send|Look at it/ }).count()) === 0, `there is something to do at ${path}`);
      }
      const answer = await auditor.goto('/console/add/provider');
      holds(answer.status() === 404, String(answer.status()));
    });
    await auditor.context().close();
  }
});
