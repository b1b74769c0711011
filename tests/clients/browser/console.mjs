// Somebody keeps Onward running: sees that something is wrong, what became of a referral, and sees to dead letters.

import { VARIANTS, at, check, holds, journey, looks } from './browser.mjs';

const TASK = process.env.ONWARD_TASK;
/** What stands in the referrals, and must stand on no page here. */
const SECRETS = JSON.parse(process.env.ONWARD_SECRETS);

/** The same, and that nothing of a referral is on it. */
async function keeps(page, name) {
  await looks(page, name);
  const text = await page.content();
  const told = SECRETS.filter((secret) => text.includes(secret));
  await check(`${page.seen.variant.name}: ${name} tells nothing of a referral`, () => holds(told.length === 0, told.join(' | ')));
}

/** How many things wait for a person, as the first page says. */
async function waiting(page) {
  const told = await page.getByText(/\d+ things? waits? for a person/).textContent();
  return Number(/\d+/.exec(told)[0]);
}

await journey(async () => {
  for (const variant of VARIANTS) {
    const page = await at(variant, 'olive', '/');
    await check(`${variant.name}: begins at the console`, async () => {
      await page.getByRole('heading', { name: 'IT console' }).waitFor();
      await page.getByText('were given up').first().waitFor();
    });
    await keeps(page, 'console');

    await check(`${variant.name}: how everything is stands before what waits`, async () => {
      const [ways, waits] = [page.getByRole('heading', { name: 'Ways to providers' }), page.getByRole('heading', { name: 'What waits for a person' })];
      const [above, below] = [await ways.boundingBox(), await waits.boundingBox()];
      holds(above.y < below.y, `${above.y} ${below.y}`);
    });
    await page.getByRole('link', { name: 'See all that waits for a person' }).click();
    await check(`${variant.name}: all that waits, by kind`, () => page.getByText('Could not be delivered').first().waitFor());
    await keeps(page, 'console to do');
    await page.goto('/console');

    await page.getByRole('link', { name: 'Find a referral' }).click();
    await keeps(page, 'console find');
    await page.getByRole('button', { name: 'Find' }).click();
    await keeps(page, 'console find nothing');
    await page.getByLabel('Id or reference').fill(TASK);
    await page.getByRole('button', { name: 'Find' }).click();
    await check(`${variant.name}: what became of a referral`, () => page.getByText('Delivery was given up').waitFor());
    await keeps(page, 'console trace');

    await page.getByRole('link', { name: 'See what is in it' }).click();
    // whoever has said why once sees it for half an hour
    if (variant === VARIANTS[0]) {
      await keeps(page, 'console glass');
      await page.getByRole('button', { name: 'See what is in it' }).click();
      await check(`${variant.name}: why it must be seen is asked for`, () => page.getByRole('alert').getByText('Say why').waitFor());
      await keeps(page, 'console glass refused');
      await page.getByLabel('Why you must see it').fill('she must be reached today, and nobody there answers');
      await page.getByRole('button', { name: 'See what is in it' }).click();
    }
    await check(`${variant.name}: what is in it`, async () => {
      await page.getByText('You see this referral until').waitFor();
      const text = await page.content();
      holds(SECRETS.some((secret) => text.includes(secret)), 'nothing of the referral');
    });
    await looks(page, 'console glass broken');

    await page.goto('/console/dead');
    await keeps(page, 'console dead letters');
    const letters = page.locator('tbody a[href^="/console/dead/"]');
    await letters.first().click();
    await check(`${variant.name}: what would be sent`, () => page.getByText('ServiceRequest/').first().waitFor());
    await keeps(page, 'console dead letter');

    const watching = variant === VARIANTS[0] ? await at(variant, 'olive', '/console') : undefined;
    const before = watching ? await waiting(watching) : 0;
    await page.getByRole('button', { name: 'Put it away' }).click();
    await keeps(page, 'console put away');
    await page.getByRole('button', { name: 'Put it away' }).click();
    await check(`${variant.name}: a reason is asked for`, () => page.getByRole('alert').getByText('Say why').waitFor());
    await keeps(page, 'console put away refused');
    await page.getByLabel('Why it is put away').fill('the provider was told by telephone');
    await page.getByRole('button', { name: 'Put it away' }).click();
    await check(`${variant.name}: it is put away`, () => page.getByText('The message is put away').waitFor());
    await keeps(page, 'console put away done');
    if (watching) {
      await check('what waits changes by itself', () => watching.getByText(`${before - 1} things wait for a person`).waitFor());
      await watching.context().close();
    }

    await page.goto('/console/dead');
    await letters.first().click();
    await page.getByRole('button', { name: 'Try it again' }).click();
    await keeps(page, 'console try again');
    await page.getByRole('button', { name: 'Try it again' }).click();
    await check(`${variant.name}: it is tried again, and not once more when the page is loaded again`, async () => {
      await page.getByText('The message is tried again now').waitFor();
      const before = await page.getByText('is tried again to the provider').count();
      await page.reload();
      const after = await page.getByText('is tried again to the provider').count();
      holds(before === after, `${before} ${after}`);
    });
    await page.goto('/console/dead?to=inbox.life-rooms');
    await page.getByRole('button', { name: /^Try all of .*life-rooms.* again$/ }).click();
    await keeps(page, 'console try all');
    await page.context().close();
  }

  const page = await at(VARIANTS[0], 'olive', '/console/dead/replay?to=inbox.life-rooms');
  await page.getByRole('button', { name: 'Try all of them again' }).click();
  await check('how far it is changes by itself', () => page.getByText(/tried again.*done\./).waitFor());
  await keeps(page, 'console tried all');
  await page.context().close();

  for (const variant of VARIANTS) {
    const other = await at(variant, 'audrey', '/console/dead');
    await other.locator('tbody a[href^="/console/dead/"]').first().click();
    await check(`${variant.name}: an auditor looks and does nothing`, async () => {
      await other.getByRole('heading', { name: 'What would be sent' }).waitFor();
      holds((await other.getByRole('button', { name: /again|away/ }).count()) === 0, 'there is something to do');
    });
    await other.context().close();
    const stranger = await at(variant, 'wanda', '/console');
    await check(`${variant.name}: to others it is not there`, () => stranger.getByRole('heading', { name: 'Page not found' }).waitFor());
    await looks(stranger, 'console not found');
    await stranger.context().close();
  }
});
