// Passkeys for the form with the id passkey-form: by the browser's autofill while the page is open, and by the button.
// The server's options come in the form's data, the answer goes back in the form as an ordinary post, so the server
// answers with an ordinary page. Without this script the password form works as before.
"use strict";

const form = document.getElementById("passkey-form");
const keepFresh = 4 * 60 * 1000; // milliseconds; the server takes a challenge for five minutes

let autofill = null; // the pending request of the autofill: it must end before another can begin
let attempts = 3; // how often autofill begins again after an error

function supported() {
  const api = window.PublicKeyCredential;
  return Boolean(api && api.parseRequestOptionsFromJSON && api.parseCreationOptionsFromJSON && api.prototype.toJSON);
}

function field(name) {
  return form.elements.namedItem(name);
}

function send(response) {
  field("response").value = JSON.stringify(response);
  form.submit();
}

function say(text) {
  const note = document.createElement("p");
  note.className = "alert";
  note.textContent = text;
  document.getElementById("alerts").replaceChildren(note);
}

// ceremony asks the browser for a passkey: to make one, or to show one.
function ceremony(more) {
  const options = JSON.parse(form.dataset.options);
  if (form.dataset.ceremony === "create") {
    return navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options) });
  }
  return navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options), ...more });
}

// renew gets a fresh challenge without leaving the page.
async function renew() {
  const answer = await fetch(form.dataset.fresh, { cache: "no-store", redirect: "error" });
  if (!answer.ok) throw new Error("no fresh challenge");
  const { options, state } = await answer.json();
  form.dataset.options = JSON.stringify(options);
  field("state").value = state;
}

async function offer() {
  const abort = new AbortController();
  const timer = setTimeout(again, keepFresh);
  const ended = ceremony({ mediation: "conditional", signal: abort.signal }).then(
    (credential) => send(credential),
    (err) => {
      clearTimeout(timer);
      if (!abort.signal.aborted && err.name === "NotAllowedError" && attempts-- > 0) again();
    },
  );
  autofill = { abort, timer, ended };
}

async function stop() {
  if (!autofill) return;
  clearTimeout(autofill.timer);
  autofill.abort.abort();
  await autofill.ended;
  autofill = null;
}

async function again() {
  await stop();
  try {
    await renew();
    await offer();
  } catch {
    // The button is still there, and a challenge that is too old leads to a page with a new one.
  }
}

async function press(event) {
  event.preventDefault();
  const button = document.getElementById("passkey-submit");
  button.disabled = true;
  await stop();
  try {
    send(await ceremony({}));
  } catch (err) {
    await failed(err);
    button.disabled = false;
  }
}

// failed begins again with a fresh challenge, here or, where the page has no address for one, on the page that answers.
async function failed(err) {
  if (form.dataset.fresh) {
    try {
      await renew();
      say(form.dataset.failed);
      if (await autofills()) await offer();
      return;
    } catch {
      // The server says it instead.
    }
  }
  send({ error: err.name });
}

async function autofills() {
  const ask = PublicKeyCredential.isConditionalMediationAvailable;
  return form.dataset.fresh && ask && (await ask.call(PublicKeyCredential));
}

async function start() {
  if (!form) return;
  if (!supported()) {
    if (form.dataset.unsupported) say(form.dataset.unsupported);
    return;
  }
  form.hidden = false;
  form.addEventListener("submit", press);
  if (await autofills()) await offer();
}

start();
