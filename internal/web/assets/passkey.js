// Passkeys for the forms of this page: by the browser's autofill while the page is open, and by the button. The
// server's options come in the form, the answer goes back as an ordinary form post; nothing here sees a token.
"use strict";

const form = document.getElementById("passkey-form");
let pending = null; // the autofill request, which must end before a modal one can begin

function supported() {
  return window.PublicKeyCredential && PublicKeyCredential.parseRequestOptionsFromJSON && PublicKeyCredential.parseCreationOptionsFromJSON;
}

async function ceremony(kind, mediation) {
  const options = JSON.parse(form.dataset.options);
  if (kind === "create") {
    return navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options) });
  }
  pending = new AbortController();
  return navigator.credentials.get({
    publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options), mediation: mediation, signal: pending.signal,
  });
}

function send(response) {
  form.elements.namedItem("response").value = response;
  form.submit();
}

async function run(kind, mediation) {
  try {
    const credential = await ceremony(kind, mediation);
    if (credential) send(JSON.stringify(credential.toJSON()));
  } catch (err) {
    if (err.name === "AbortError") return;
    // A challenge serves one attempt: the server answers with a page that has a fresh one, and says what happened.
    if (mediation !== "conditional") send(JSON.stringify({ error: err.name }));
  }
}

async function start() {
  if (!form || !supported()) return;
  form.hidden = false;
  const kind = form.dataset.ceremony;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (pending) pending.abort();
    run(kind, "optional");
  });
  if (kind === "get" && !form.dataset.modal && PublicKeyCredential.isConditionalMediationAvailable &&
      await PublicKeyCredential.isConditionalMediationAvailable()) {
    run("get", "conditional");
  }
}

start();
