// Somebody changes where referrals go: reads the rules, asks where a referral would go, writes another set, tries it, makes it active.

import { VARIANTS, at, check, holds, journey, looks } from './browser.mjs';

const REFERRAL = process.env.ONWARD_REFERRAL;
/** What stands in it, and must stand on no page here. */
const SECRETS = JSON.parse(process.env.ONWARD_SECRETS);

/** Another rule, so that a version differs from all before it. */
const another = (number) => `\n[[route]]\nname = "walks ${number}"\npriority = 5\nwhen = { code = ["walk-${number}"] }\nto = "life-rooms"\n`;

async function tellsNothing(page, name) {
  // what she has pasted herself stays in its field
  const text = (await page.content()).replace(/<textarea[^>]*>[^<]*<\/textarea>/g, '');
  const told = SECRETS.filter((secret) => text.includes(secret));
  await check(`${page.seen.variant.name}: ${name} tells nothing of a person`, () => holds(told.length === 0, told.join(' | ')));
}

await journey(async () => {
  let number = 0;
  for (const variant of VARIANTS) {
    number += 1;
    const page = await at(variant, 'rita', '/');
    await check(`${variant.name}: begins at the routes`, async () => {
      await page.getByRole('heading', { name: 'Routes', exact: true }).waitFor();
      await page.getByRole('heading', { name: 'If no rule matches' }).waitFor();
    });
    await looks(page, 'routes');
    await page.getByRole('link', { name: 'Run its tests' }).click();
    await looks(page, 'routes tests');

    await page.goto('/console/routes/explain');
    await looks(page, 'routes explain');
    await page.getByRole('button', { name: 'Explain' }).click();
    await check(`${variant.name}: a referral is asked for`, () => page.getByRole('alert').getByText('Paste a ServiceRequest').waitFor());
    await looks(page, 'routes explain nothing');
    await page.getByLabel('Referral').fill(REFERRAL);
    await page.getByRole('button', { name: 'Explain' }).click();
    await check(`${variant.name}: where it would go and why`, () => page.getByText('Matches and decides').first().waitFor());
    await looks(page, 'routes explained');
    await tellsNothing(page, 'routes explained');

    await page.goto('/console/routes');
    await page.getByRole('link', { name: 'Change the routes' }).click();
    await looks(page, 'routes edit');
    const field = page.getByLabel('Route set');
    const text = await field.inputValue();
    await field.fill(`${text}\n[[route]]\nname = "wrong"\n`);
    if (!variant.script) await page.getByRole('button', { name: 'Check it' }).click();
    await check(`${variant.name}: what is wrong is told with its line`, () => page.getByText(/^Line \d+, column \d+$/).first().waitFor());
    await looks(page, 'routes edit wrong');
    await field.fill(text + another(number));
    await page.getByRole('button', { name: 'Compare it' }).click();
    await check(`${variant.name}: what it says otherwise`, () => page.getByText(`The route “walks ${number}” is new`).waitFor());
    await looks(page, 'routes edit compared');

    await page.getByRole('button', { name: 'Try it on them' }).click();
    await check(`${variant.name}: what it does to referrals that came before`, async () => {
      const done = page.getByText(/go where they went/).first();
      for (let looked = 0; looked < 20 && !(await done.isVisible()); looked += 1) {
        if (variant.script) await done.waitFor();
        else await page.getByRole('link', { name: 'See how far it is' }).click();
      }
      holds(await done.isVisible(), 'it does not end');
    });
    await looks(page, 'routes tried');
    await page.getByRole('button', { name: 'Make it active' }).click();
    await looks(page, 'routes activate');
    await page.getByRole('button', { name: 'Make it active' }).click();
    await check(`${variant.name}: why is asked for`, () => page.getByRole('alert').getByText('Say why').waitFor());
    await looks(page, 'routes activate refused');
    await page.getByLabel('Why').fill(`people walk in ${variant.name}`);
    await page.getByRole('button', { name: 'Make it active' }).click();
    await check(`${variant.name}: it is active`, () => page.getByText(/Version \d+ is active/).waitFor());
    await looks(page, 'routes activated');
    await check(`${variant.name}: it stands with who and why`, () => page.getByText(`people walk in ${variant.name}`).first().waitFor());

    await page.goto('/console/routes/versions/1');
    await looks(page, 'routes version');
    await page.getByRole('button', { name: 'Make it active again' }).click();
    await page.getByLabel('Why').fill('as it was');
    await looks(page, 'routes activate again');
    await page.getByRole('button', { name: 'Make it active' }).click();
    await check(`${variant.name}: the first is active again`, () => page.getByText('Version 1 is active').waitFor());
    await page.context().close();
  }
});
