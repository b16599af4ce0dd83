// The demo app: it shows what the handler knows and what the API answers, and never more than text.
import { TokenHandler } from "./handler.js";
import { search, watch } from "./thief.js";

watch(); // first of all, so that it hears everything

const { tokenHandler, api } = document.documentElement.dataset;
const byId = (id) => document.getElementById(id);

log();
const handler = new TokenHandler(tokenHandler);

// ---- Showing -------------------------------------------------------------------------------------------------------

const statuses = {
  "signed-in": "Signed in",
  "signed-out": "Signed out",
  expired: "Your session has ended",
};

let state = "loading";

function element(name, text, className) {
  const e = document.createElement(name);
  if (text !== undefined) e.textContent = text;
  if (className) e.className = className;
  return e;
}

function show(reason) {
  const { signedIn, claims } = handler.state;
  if (signedIn) state = "signed-in";
  else if (reason === "expired") state = "expired";
  else if (state !== "expired" || reason === "signed-out") state = "signed-out";
  document.body.dataset.state = state;
  byId("app-status").textContent = statuses[state];
  byId("app-welcome").hidden = signedIn;
  byId("app-home").hidden = !signedIn;
  byId("app-logout").hidden = !signedIn;
  if (signedIn) showUser(claims ?? {});
  else forget();
  tick();
}

const shown = [["sub", "Subject"], ["acr", "Assurance"], ["amr", "Method"], ["auth_time", "Since"]];

function showUser(claims) {
  const name = claims.name ?? claims.preferred_username ?? claims.email ?? "Signed in";
  byId("app-user").textContent = name;
  byId("app-user").dataset.subject = claims.sub ?? "";
  byId("app-initial").textContent = name === "Signed in" ? "✓" : name.slice(0, 1).toUpperCase();
  byId("app-email").textContent = claims.email && claims.email !== name ? claims.email : "";
  const rows = [];
  for (const [claim, label] of shown) {
    if (claims[claim] === undefined) continue;
    rows.push(element("dt", label), element("dd", written(claim, claims[claim])));
  }
  byId("app-claims").replaceChildren(...rows);
}

function written(claim, value) {
  if (claim === "auth_time") return new Date(value * 1000).toLocaleTimeString();
  return Array.isArray(value) ? value.join(", ") : String(value);
}

// forget takes away what the person who has left has seen.
function forget() {
  for (const id of ["app-orders", "app-claims", "app-result"]) byId(id).replaceChildren();
  byId("app-result-line").textContent = "No call yet";
  byId("app-none").hidden = false;
}

function tick() {
  const { expiresAt } = handler.state;
  const left = expiresAt === null ? null : Math.max(0, Math.round((expiresAt - Date.now()) / 1000));
  byId("app-expires").textContent = left === null ? "–" : `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
}

function complain(err) {
  const note = element("p", err.code ? `${err.message} (${err.code})` : `No answer: ${err.message}`, "alert");
  byId("app-error").replaceChildren(note);
}

// act runs what a button is for, once at a time, and shows what goes wrong.
function act(id, fn, event = "click") {
  byId(id).addEventListener(event, async (e) => {
    e.preventDefault();
    const button = e.submitter ?? e.currentTarget;
    byId("app-error").replaceChildren();
    button.disabled = true;
    try {
      await fn();
    } catch (err) {
      if (err.code !== "session_expired") complain(err); // the page shows that already
    } finally {
      button.disabled = false;
    }
  });
}

// ---- Orders --------------------------------------------------------------------------------------------------------

// call asks the API and shows its answer, whatever it is.
async function call(init = {}) {
  const started = performance.now();
  const answer = await handler.fetch(api, init);
  const text = await answer.text();
  byId("app-result-line").textContent = `${init.method ?? "GET"} · ${answer.status} · ${Math.round(performance.now() - started)} ms`;
  let told = null;
  try {
    told = JSON.parse(text);
  } catch {
    // shown as it is
  }
  byId("app-result").textContent = told ? JSON.stringify(told, null, 2) : text;
  return answer.ok ? told : null;
}

async function load() {
  const told = await call();
  if (!told?.orders) return;
  byId("app-none").hidden = told.orders.length > 0;
  byId("app-none").textContent = "No orders yet.";
  byId("app-orders").replaceChildren(...told.orders.map(row));
}

function row(order) {
  const li = element("li");
  li.append(element("strong", order.item), element("span", `× ${order.quantity}`, "many"), element("span", `No. ${order.id}`, "small"));
  return li;
}

async function place() {
  const order = { item: byId("app-item").value, quantity: Number(byId("app-quantity").value) };
  const placed = await call({ method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(order) });
  if (!placed) return;
  byId("app-none").hidden = true;
  byId("app-orders").prepend(row(placed));
}

// ---- The thief -----------------------------------------------------------------------------------------------------

async function look() {
  const rows = await search(handler.state.claims);
  const found = rows.reduce((n, r) => n + r.found.length, 0);
  const table = byId("app-thief-result");
  table.querySelector("tbody").replaceChildren(...rows.map(({ place, looked, found }) => {
    const tr = element("tr");
    const th = element("th", place);
    th.scope = "row";
    tr.append(th, element("td", looked), element("td", found.length ? found.map((f) => f.slice(0, 24) + "…").join(", ") : "none", found.length ? "bad" : "good"));
    return tr;
  }));
  table.hidden = false;
  table.dataset.found = found;
  const verdict = byId("app-thief-verdict");
  verdict.className = found ? "alert" : "note";
  verdict.textContent = found
    ? `It found ${found} that may be credentials.`
    : "It found nothing: no token, no code that still works, no cookie. It could use this page while it is open, as you do, but take nothing away.";
  verdict.hidden = false;
}

// ---- The wire ------------------------------------------------------------------------------------------------------

// log lists requests and their outcome.
function log() {
  const original = window.fetch;
  window.fetch = async (url, init = {}) => {
    const li = element("li");
    const line = (outcome) => {
      li.replaceChildren(element("span", init.method ?? "GET", "method"), element("code", new URL(url).pathname), element("span", outcome, "outcome"));
    };
    line("…");
    byId("app-log").prepend(li);
    try {
      const answer = await original(url, init);
      line(String(answer.status));
      li.dataset.status = answer.status;
      return answer;
    } catch (err) {
      line("no answer");
      throw err;
    }
  };
}

// ---- Start ---------------------------------------------------------------------------------------------------------

handler.addEventListener("change", (event) => show(event.detail.reason));
act("app-login", () => handler.login());
act("app-logout", () => handler.logout());
act("app-refresh", () => handler.refresh());
act("app-call", load);
act("app-order-form", place, "submit");
act("app-thief", look);
setInterval(tick, 500);

try {
  await handler.onPageLoad();
} catch (err) {
  complain(err);
  await handler.session().catch(() => show("signed-out"));
}
