
// What is ours behind nhsuk-frontend, in one module with it. Every page works without any of it.
document.body.classList.add('js-enabled', 'nhsuk-frontend-supported');
initAll();

// Puts a part of a page that is made of our own template, in which everything is escaped.
function put(part, text) {
  part.replaceChildren(...new DOMParser().parseFromString(text, 'text/html').body.childNodes);
}

// What of a page is the same as something of another one: where it leads, what it picks. A line is the same while its first link or box is.
function key(one) {
  const by = one.matches?.('tr, li') ? one.querySelector('a[href], input') ?? one : one;
  const [id, href, name, value] = ['id', 'href', 'name', 'value'].map((what) => by.getAttribute?.(what));
  return JSON.stringify([one.nodeName, id, href, name, name && value]);
}
const find = (root, one) => [...root.querySelectorAll(one.localName)].find((other) => key(other) === key(one));

// Makes something what it is in what is new, and leaves alone what is the same: so focus, ticks and a reader's place stay where they are.
function renew(here, anew) {
  const old = new Map();
  for (const node of here.childNodes) {
    const which = key(node);
    if (!old.has(which)) old.set(which, []);
    old.get(which).push(node);
  }
  const pairs = [...anew.childNodes].map((node) => [node, old.get(key(node))?.shift()]);
  for (const node of [...old.values()].flat()) node.remove();
  let next = here.firstChild;
  for (const [node, same] of pairs) {
    if (same !== undefined && same === next) next = same.nextSibling;
    else here.insertBefore(same ?? node, next);
    if (same?.nodeType === Node.ELEMENT_NODE) {
      for (const { name } of [...same.attributes]) if (!node.hasAttribute(name)) same.removeAttribute(name);
      for (const { name, value } of node.attributes) if (same.getAttribute(name) !== value) same.setAttribute(name, value);
      renew(same, node);
    } else if (same !== undefined && same.data !== node.data) {
      same.data = node.data;
    }
  }
}

// Renews what changes by itself (data-live: the URL to ask) while the page is looked at. The server answers 304 where nothing is new. What
// is selected stays so; what has the focus and would go stays until somebody lets go of it or says so, and meanwhile the page says that there
// is something new. On any trouble what stands here stays, the page says since when, and it goes on asking. It says for which session it was
// made: to the page of somebody else, who was logged in here before, nothing is given.
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
  let [tag, renewed, said, gone] = [part.dataset.tag, new Date(), '', 0];
  const told = (words, button) => {
    // what is said already is not read out again
    if (words === said) return;
    said = words;
    const hadFocus = note.contains(document.activeElement);
    note.replaceChildren(words, ...(button ? [button] : []));
    if (hadFocus) {
      // whoever pressed the button, or was at it, goes on at what it showed
      part.tabIndex = -1;
      part.focus();
      part.addEventListener('blur', () => part.removeAttribute('tabindex'), { once: true });
    }
  };
  const toldAway = (why) => told(`This page has not been renewed since ${clock.format(renewed)}. ${why}`);
  const toldNew = () => told(gone === 0 ? '' : `${gone === 1 ? 'One' : gone} that you selected ${gone === 1 ? 'is' : 'are'} not here any more.`);
  const take = (anew, newTag) => {
    const [focused, ticked] = [document.activeElement, [...part.querySelectorAll('input:checked')]];
    const isHers = part.contains(focused) && focused !== part;
    renew(part, anew);
    for (const box of ticked.filter((one) => !one.isConnected)) {
      const again = find(part, box);
      if (again) again.checked = true;
      else gone += 1;
    }
    // a line that was moved lets go of it
    if (isHers && document.activeElement !== focused) (focused.isConnected ? focused : find(part, focused))?.focus({ preventScroll: true });
    [tag, renewed] = [newTag, new Date()];
    toldNew();
  };
  // it is known to her once she goes on selecting
  part.addEventListener('change', () => { gone = 0; });
  const showIt = document.createElement('button');
  showIt.type = 'button';
  showIt.className = 'nhsuk-button nhsuk-button--secondary nhsuk-button--small nhsuk-u-margin-bottom-0';
  showIt.textContent = 'Show it';
  let waits = () => {};
  showIt.addEventListener('click', () => waits());
  const look = async () => {
    if (!document.hidden) {
      try {
        const headers = { ...(tag && { 'If-None-Match': tag }), ...(madeFor && { 'Onward-Made-For': madeFor }) };
        const answer = await fetch(part.dataset.live, { headers, redirect: 'manual', signal: AbortSignal.timeout(ANSWER_MAX) });
        if (answer.status === 200) {
          const [anew, newTag] = [new DOMParser().parseFromString(await answer.text(), 'text/html').body, answer.headers.get('ETag')];
          const focused = document.activeElement;
          if (part.contains(focused) && focused !== part && !find(anew, focused)) {
            waits = () => take(anew, newTag);
            told('There is something new here. What you are at is not in it. ', showIt);
          } else {
            take(anew, newTag);
          }
        } else if (answer.type === 'opaqueredirect' || answer.status === 404) {
          // nobody was there for too long, somebody else is, or it is hers no more: what stands here is not to be read by whoever comes
          location.reload();
          return;
        } else if (answer.status === 304) {
          renewed = new Date();
          toldNew();
        } else {
          toldAway('Onward cannot answer just now.');
        }
      } catch {
        toldAway('Onward cannot be reached.');
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
