
// What is ours behind nhsuk-frontend, in one module with it. Every page works without any of it.
document.body.classList.add('js-enabled', 'nhsuk-frontend-supported');
initAll();

// Puts a part of a page that is made of our own template, in which everything is escaped.
function put(part, text) {
  part.replaceChildren(...new DOMParser().parseFromString(text, 'text/html').body.childNodes);
}

// Replaces what changes by itself (data-live: the URL to ask) while the page is looked at. The server answers 304 where nothing is new; on
// any trouble the page stays as it is, and a person can load it again.
for (const part of document.querySelectorAll('[data-live]')) {
  let tag = part.dataset.tag;
  const look = async () => {
    const busy = document.hidden || part.contains(document.activeElement) || part.querySelector('input:checked');
    if (!busy) {
      try {
        const answer = await fetch(part.dataset.live, { headers: tag ? { 'If-None-Match': tag } : {}, redirect: 'manual' });
        if (answer.status === 200) {
          tag = answer.headers.get('ETag');
          put(part, await answer.text());
        } else if (answer.type === 'opaqueredirect') {
          // nobody was there for too long: what stands here is not to be read by whoever comes
          location.reload();
          return;
        } else if (answer.status !== 304) {
          return;
        }
      } catch {
        // the next look may go better
      }
    }
    setTimeout(look, part.dataset.every * 1000);
  };
  setTimeout(look, part.dataset.every * 1000);
}

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
