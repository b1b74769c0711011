
// What is ours behind nhsuk-frontend, in one module with it. Every page works without any of it.
document.body.classList.add('js-enabled', 'nhsuk-frontend-supported');
initAll();

// Puts a part of a page that is made of our own template, in which everything is escaped.
function put(part, text) {
  part.replaceChildren(...new DOMParser().parseFromString(text, 'text/html').body.childNodes);
}

// Replaces what changes by itself (data-live: the URL to ask) while the page is looked at. The server answers 304 where nothing is new. On
// any trouble what stands here stays, the page says since when, and it goes on asking. It says for which session it was made: to the page of
// somebody else, who was logged in here before, nothing is given.
const madeFor = document.querySelector('input[name="made-for"]')?.value;
const clock = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', timeZone: 'Europe/London' });
/** How long an answer is waited for (ms). */
const ANSWER_MAX = 10_000;
for (const part of document.querySelectorAll('[data-live]')) {
  // there from the beginning and empty: only so what is written into it is read out
  const note = document.createElement('p');
  note.className = 'onward-away';
  note.setAttribute('role', 'status');
  part.before(note);
  let [tag, renewed] = [part.dataset.tag, new Date()];
  const told = (why) => {
    const words = why && `This page has not been renewed since ${clock.format(renewed)}. ${why}`;
    // what is said already is not read out again
    if (note.textContent !== words) note.textContent = words;
  };
  const look = async () => {
    if (!document.hidden) {
      try {
        const headers = { ...(tag && { 'If-None-Match': tag }), ...(madeFor && { 'Onward-Made-For': madeFor }) };
        const answer = await fetch(part.dataset.live, { headers, redirect: 'manual', signal: AbortSignal.timeout(ANSWER_MAX) });
        if (answer.status === 200) {
          const text = await answer.text();
          // what somebody is at stays under her hands; it is asked for again
          if (!part.contains(document.activeElement) && !part.querySelector('input:checked')) {
            tag = answer.headers.get('ETag');
            put(part, text);
          }
        } else if (answer.type === 'opaqueredirect' || answer.status === 404) {
          // nobody was there for too long, somebody else is, or it is hers no more: what stands here is not to be read by whoever comes
          location.reload();
          return;
        }
        if (answer.ok || answer.status === 304) {
          renewed = new Date();
          told('');
        } else {
          told('Onward cannot answer just now.');
        }
      } catch {
        told('Onward cannot be reached.');
      }
    }
    setTimeout(look, part.dataset.every * 1000);
  };
  setTimeout(look, part.dataset.every * 1000);
}

// Once its session is over a page on which nobody is writing is opened anew, which leads to the log-in: what stands on it is not to be read by
// whoever comes next. Somebody who is writing sends it and logs in again.
const soon = document.querySelector('.onward-soon');
const isWritten = () => document.querySelector('.nhsuk-error-summary') !== null
  || [...document.querySelectorAll('textarea, input:not([type="hidden"])')].some((field) => (
    field.value !== field.defaultValue || field.checked !== field.defaultChecked));
soon?.addEventListener('animationend', () => {
  setTimeout(() => {
    if (!isWritten()) location.replace(location.pathname + location.search);
  }, soon.dataset.left * 1000);
});

// A line of a list is ticked by a click anywhere in it that is no link, no box and no text being selected.
document.addEventListener('click', (event) => {
  const line = event.target.closest('.onward-line');
  const box = line && line.querySelector('input[type="checkbox"]');
  if (box && !event.target.closest('a, button, input, label') && String(getSelection()) === '') box.checked = !box.checked;
});

// All lines of a table at once.
for (const all of document.querySelectorAll('[data-all]')) {
  all.hidden = false;
  const lines = () => document.querySelectorAll(`input[name="${all.dataset.all}"]`);
  all.querySelector('input').addEventListener('change', (event) => {
    for (const line of lines()) line.checked = event.target.checked;
  });
}

// What is written is checked while it is written (data-check: where; data-into: what shows the answer), shortly after the last key.
for (const field of document.querySelectorAll('[data-check]')) {
  const into = document.getElementById(field.dataset.into);
  let [soon, asked] = [0, 0];
  field.addEventListener('input', () => {
    clearTimeout(soon);
    soon = setTimeout(async () => {
      const mine = ++asked;
      try {
        const body = new URLSearchParams(new FormData(field.form));
        const answer = await fetch(field.dataset.check, { method: 'POST', body, redirect: 'manual' });
        // only what is said of what stands there now
        if (mine === asked && answer.status === 200) put(into, await answer.text());
      } catch {
        // the button does the same
      }
    }, 600);
  });
}
