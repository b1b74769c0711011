// The harder days of a link worker: a person is referred on and the other service asks, something was noted in error, somebody else was
// quicker, one was logged out while writing; and referrals that wait, are cancelled, or end early. Then a manager's day with her people.

import { BASE, VARIANTS, at, check, holds, journey, logIn, looks } from './browser.mjs';

/** The Tasks of the referrals: four for each variant. */
const TASKS = JSON.parse(process.env.ONWARD_TASKS);
/** By which the practice that referred shows who it is. */
const TOKEN = process.env.ONWARD_TOKEN;

const button = (page, name) => page.getByRole('button', { name, exact: true });
const told = (page, words) => page.getByRole('status').getByText(words).waitFor();

/** The referrer's own system does something. */
async function referrer(method, path, body, more = {}) {
  const headers = { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/fhir+json', ...more };
  const answer = await fetch(`${BASE}/fhir/${path}`, { method, headers, body: body && JSON.stringify(body) });
  const text = await answer.text();
  holds(answer.ok, `${method} ${path}: ${answer.status} ${text}`);
  return { json: JSON.parse(text), etag: answer.headers.get('etag') };
}

/** The request that a Task is about, by its reference. */
async function requestOf(task) {
  return (await referrer('GET', `Task/${task}`)).json.focus.reference;
}

await journey(async () => {
  for (const [number, variant] of [VARIANTS[0], VARIANTS[3]].entries()) {
    const { name } = variant;
    const [on, cancelled, early, late] = TASKS[number];
    const [luke, lena, tom] = [`luke-${number}`, `lena-${number}`, `tom-${number}`];
    const page = await at(variant, luke, `/inbox/${on}`);
    const news = async (path = '/inbox') => {
      await page.goto(path);
      return (await page.locator('.onward-counts a', { hasText: 'New messages' }).innerText()).replace(/\D/g, '');
    };
    await check(`${name}: a person is referred on`, async () => {
      await button(page, 'Accept').click();
      await page.goto(`/inbox/${on}/onward`);
      await page.getByLabel('What is needed').fill('singing');
      await button(page, 'Find services').click();
      await page.locator('label', { hasText: 'Wavertree choir' }).click();
      await page.getByLabel('Why do you refer them on?').fill('Loves singing');
      await page.locator('label[for="agreed"]').click();
      await button(page, 'Continue').click();
      await button(page, 'Send this referral').click();
      await told(page, 'The new referral is sent');
    });
    const other = await at(variant, tom, '/inbox?view=new');
    await check(`${name}: the other service asks`, async () => {
      await other.locator('tbody a').first().click();
      await other.getByLabel('Write to the referrer').fill('Can he read music?');
      await other.locator('label[for="asks"]').click();
      await button(other, 'Send message').click();
      await told(other, 'Your question is written.');
      await other.getByText('Waiting for the referrer').first().waitFor();
    });
    await check(`${name}: that it asks stands out in the list until it is opened`, async () => {
      holds((await news()) === '1', 'nothing is new');
      await page.getByText('News from another service').waitFor();
    });
    await looks(page, 'inbox news');
    await page.goto(`/inbox/${on}`);
    await page.getByText('Has a question for you').waitFor();
    await looks(page, 'referral with a question');
    await check(`${name}: it is answered`, async () => {
      holds((await news()) === '0', 'it was opened');
      await page.goto(`/inbox/${on}`);
      await page.getByRole('link', { name: 'Answer Wavertree choir' }).click();
      await looks(page, 'answer another service');
      await page.getByLabel('Your message').fill('No, he sings by ear.');
      await button(page, 'Send message').click();
      await told(page, 'Your message is on its way');
      await other.reload();
      await other.getByText('No, he sings by ear.').waitFor();
      holds((await other.getByText('Waiting for the referrer').count()) === 0, 'it waits on');
    });
    await check(`${name}: what the referrer writes is new until it is opened, and answers what was asked`, async () => {
      await page.goto(`/inbox/${on}`);
      await page.getByLabel('Write to the referrer').fill('Which floor?');
      await page.locator('label[for="asks"]').click();
      await button(page, 'Send message').click();
      const basedOn = [{ reference: await requestOf(on) }];
      await referrer('POST', 'Communication', { resourceType: 'Communication', status: 'completed', basedOn, payload: [{ contentString: 'The third floor.' }] });
      holds((await news('/inbox?view=waiting')) === '1', 'nothing is new');
      await page.getByText('There are no referrals here.').waitFor();
      await page.goto(`/inbox/${on}`);
      await page.getByText('The third floor.').waitFor();
      holds((await news()) === '0', 'it was opened');
    });
    await check(`${name}: an appointment is booked, and changed with a trace of the first`, async () => {
      for (const [link, day] of [['Book first appointment', '9/3/2027'], ['Change the appointment', '16/3/2027']]) {
        await page.goto(`/inbox/${on}`);
        await page.getByRole('button', { name: link }).click();
        if (link.startsWith('Change')) await page.getByText('There is an appointment: 9 March 2027').waitFor();
        await page.getByLabel('Date of the appointment').fill(day);
        await button(page, 'Save').click();
        await told(page, 'The appointment is noted.');
      }
      await page.getByText('The appointment of 9 March 2027 was changed to 16 March 2027.').waitFor();
    });
    await check(`${name}: an activity is recorded`, async () => {
      await page.getByRole('button', { name: 'Record activities and scores' }).click();
      await looks(page, 'progress');
      await page.getByLabel('Activities the person took part in').fill('Walking group');
      await button(page, 'Save').click();
      await told(page, 'It is noted.');
    });
    await page.getByRole('link', { name: 'Put right something' }).click();
    await looks(page, 'put right');
    await check(`${name}: what was noted in error is put right`, async () => {
      await button(page, 'Mark as noted in error').click();
      await page.getByRole('alert').getByText('Choose what was noted in error').waitFor();
      await page.locator('label', { hasText: 'Activity attended: Walking group' }).click();
      await page.getByLabel('What is wrong with it?').fill('That was somebody else.');
      await button(page, 'Mark as noted in error').click();
      await told(page, 'It is marked as noted in error');
      await page.getByText('Noted in error, and taken out: Activity attended: Walking group').waitFor();
    });
    await check(`${name}: a message is taken back with its reason`, async () => {
      await page.getByRole('link', { name: 'Put right something' }).click();
      await page.locator('label', { hasText: 'Which floor?' }).click();
      await page.getByLabel('What is wrong with it?').fill('That was the wrong person.');
      await button(page, 'Mark as noted in error').click();
      await page.getByText('Noted in error: That was the wrong person.').waitFor();
    });
    await check(`${name}: it waits, and goes on`, async () => {
      await page.getByRole('button', { name: 'Put on hold' }).click();
      await page.getByLabel('Why, and until when?').fill('In hospital until April');
      await button(page, 'Put on hold').click();
      await told(page, 'This referral is on hold.');
      await looks(page, 'referral on hold');
      await button(page, 'Start again').click();
      await told(page, 'This referral is in progress.');
    });
    await check(`${name}: what is printed is the referral alone`, async () => {
      await page.emulateMedia({ media: 'print' });
      for (const gone of ['Log out', 'Put on hold', 'Send message', 'Save worker']) {
        holds((await page.getByRole('button', { name: gone }).count()) === 0, `${gone} is printed`);
      }
      for (const gone of ['.nhsuk-header__navigation', '.nhsuk-back-link', '.nhsuk-footer', '.onward-soon', '.nhsuk-skip-link']) {
        holds(!(await page.locator(gone).first().isVisible()), `${gone} is printed`);
      }
      for (const there of ['Who, and how to reach them', 'Why they were referred', 'Messages', 'What happened']) {
        holds(await page.getByRole('heading', { name: there }).isVisible(), `${there} is not printed`);
      }
      const paper = await page.pdf({ format: 'A4' });
      holds(paper.subarray(0, 5).toString() === '%PDF-', 'it cannot be printed');
      await page.emulateMedia({ media: null });
    });

    await page.goto(`/inbox/${cancelled}`);
    await check(`${name}: the referrer asks to cancel, and it is cancelled`, async () => {
      await button(page, 'Accept').click();
      await told(page, 'You have accepted this referral.');
      const request = await requestOf(cancelled);
      const { json, etag } = await referrer('GET', request);
      await referrer('PUT', request, { ...json, status: 'revoked' }, { 'if-match': etag });
      await page.goto(`/inbox/${cancelled}`);
      await page.getByRole('heading', { name: 'The referrer asks to cancel this referral' }).waitFor();
      await looks(page, 'referral to be cancelled');
      await page.getByRole('button', { name: 'Cancel it' }).click();
      await looks(page, 'cancel');
      await page.getByLabel('What was done until now?').fill('One talk by phone.');
      await button(page, 'Cancel this referral').click();
      await told(page, 'This referral is cancelled.');
    });
    await check(`${name}: one ends early`, async () => {
      await page.goto(`/inbox/${early}`);
      await button(page, 'Accept').click();
      await page.getByRole('button', { name: 'End early' }).click();
      await looks(page, 'end early');
      await page.locator('label', { hasText: 'The person has moved away' }).click();
      await button(page, 'End this referral').click();
      await told(page, 'This referral has ended early.');
    });
    await check(`${name}: what was ended in error is said to be so, and why`, async () => {
      await page.getByRole('button', { name: 'It was ended in error' }).click();
      await looks(page, 'ended in error');
      await page.getByLabel('What is wrong with it?').fill('That was somebody else.');
      await button(page, 'Mark it as ended in error').click();
      await told(page, 'marked as noted in error');
      holds((await page.getByRole('heading', { name: 'What you can do' }).count()) === 0, 'something can still be done');
    });

    const second = await at(variant, lena, `/inbox/${late}`);
    await check(`${name}: who was slower keeps her words and hears what happened`, async () => {
      await page.goto(`/inbox/${late}`);
      await button(page, 'Accept').click();
      await second.goto(`/inbox/${late}/progress`);
      await second.getByLabel('Notes').fill('He sings every day.');
      await page.getByRole('button', { name: 'Put on hold' }).click();
      await page.getByLabel('Why, and until when?').fill('On holiday');
      await button(page, 'Put on hold').click();
      await told(page, 'This referral is on hold.');
      await button(second, 'Save').click();
      await second.getByText('has changed while you were writing').waitFor();
      holds((await second.getByLabel('Notes').inputValue()) === 'He sings every day.', 'her words are gone');
      await second.getByText('put it on hold').first().waitFor();
    });
    await looks(second, 'changed while writing');
    await check(`${name}: and sends them again`, async () => {
      await button(second, 'Save').click();
      await told(second, 'It is noted.');
      await second.goto(`/inbox/${late}/contact`);
      await second.locator('label', { hasText: 'Phone call' }).click();
      await second.locator('label', { hasText: 'No answer' }).click();
      await second.getByLabel('Notes').fill('Try after 5pm');
      await page.goto(`/inbox/${late}/rejected`);
      await page.locator('label', { hasText: 'Another service is better placed' }).click();
      await button(page, 'Decline this referral').click();
      await page.getByRole('alert').getByText('Say which service could help instead').waitFor();
      await page.getByLabel('Which service could help instead?').fill('Citizens Advice');
      await button(page, 'Decline this referral').click();
      await told(page, 'You have declined this referral.');
      await page.getByText('Another service is better placed (Citizens Advice)').waitFor();
      const { json } = await referrer('GET', `Task/${late}`);
      holds(json.statusReason.text.includes('Citizens Advice'), `the referrer is not told where else: ${JSON.stringify(json.statusReason)}`);
      await button(second, 'Save').click();
      await second.getByRole('heading', { name: 'That did not work' }).waitFor();
      await second.getByText('Try after 5pm').waitFor();
    });
    await looks(second, 'too late');
    await second.context().close();
    await other.context().close();

    if (variant.script) {
      await check(`${name}: that one will be logged out is told without any script of the page`, async () => {
        holds(!(await page.getByText('You will be logged out at').isVisible()), 'it is told too early');
        // as if the time were over: the style sheet shows it, and a script only finishes what it runs
        await page.evaluate(() => document.getAnimations().forEach((animation) => animation.finish()));
        await page.getByText('You will be logged out at').waitFor();
      });
      await looks(page, 'about to be logged out');
      await check(`${name}: one stays logged in by a press`, async () => {
        const [tab] = await Promise.all([page.context().waitForEvent('page'), page.getByRole('link', { name: 'Stay logged in' }).click()]);
        await tab.getByText('You are logged in until').waitFor();
        await tab.close();
      });
    }
    await page.goto(`/inbox/${on}`);
    await page.getByLabel('Write to the referrer').fill('He asks for an early place.');
    await check(`${name}: what one writes outlasts the log-in`, async () => {
      const elsewhere = await at(VARIANTS[0], luke, '/account');
      await button(elsewhere, 'End all of them').click();
      await elsewhere.context().close();
      await button(page, 'Send message').click();
      await page.getByRole('heading', { name: 'You have been logged out' }).waitFor();
      await page.getByText('He asks for an early place.').waitFor();
    });
    await looks(page, 'logged out while writing');
    await check(`${name}: it is sent after the next log-in`, async () => {
      const [tab] = await Promise.all([page.context().waitForEvent('page'), page.getByRole('link', { name: 'Log in again' }).click()]);
      await logIn(tab, `nora-${number}`);
      await tab.getByText('You are logged in until').waitFor();
      await tab.close();
      await button(page, 'Send it again').click();
      await page.getByRole('heading', { name: 'Look at what you send' }).waitFor();
      await looks(page, 'look at what you send');
      await button(page, 'Send').click();
      await told(page, 'Your message is written.');
    });
    await page.context().close();

    const manager = await at(variant, `ada-${number}`, '/people');
    await looks(manager, 'people');
    await check(`${name}: a person is added, and her code is shown once`, async () => {
      await manager.getByRole('link', { name: 'Add a person' }).click();
      await looks(manager, 'people add');
      await button(manager, 'Add this person').click();
      await manager.getByRole('alert').getByText('Choose what this person does').waitFor();
      await manager.getByLabel('Name', { exact: true }).fill('Nell New');
      await manager.getByLabel('Name to log in with').fill(`nell-${number}`);
      await manager.locator('label', { hasText: 'Works the referrals' }).click();
      await button(manager, 'Add this person').click();
      await manager.getByRole('heading', { name: 'A code to hand over' }).waitFor();
    });
    await looks(manager, 'people code');
    const person = async () => {
      await manager.goto('/people');
      await manager.locator('tr', { hasText: `nell-${number}` }).getByRole('link').click();
    };
    await person();
    await looks(manager, 'person');
    await check(`${name}: what she does is changed`, async () => {
      await manager.locator('label', { hasText: 'Looks after the people' }).click();
      await button(manager, 'Save what this person does').click();
      await told(manager, 'Saved. The new roles hold');
    });
    for (const [action, heading] of [['Make a new code', 'Make a new code?'], ['End this account', 'End this account?']]) {
      await person();
      await check(`${name}: ${action} is asked once more`, async () => {
        await manager.getByRole('button', { name: action }).click();
        await manager.getByRole('heading', { name: heading }).waitFor();
      });
      await looks(manager, `person ${action}`);
      await check(`${name}: ${action} is done`, async () => {
        await button(manager, action).click();
        await manager.getByText(action.startsWith('Make') ? 'A code to hand over' : 'Ended. This person').first().waitFor();
      });
    }
    await check(`${name}: she is let in again`, async () => {
      await person();
      await button(manager, 'Let in again').click();
      await told(manager, 'This person can log in again.');
    });
    await manager.context().close();
  }
});
