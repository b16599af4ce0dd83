// What a browser application needs to speak with a token handler: sign in, know the session, renew it, sign out, and
// call an API. Tokens never come here. The browser keeps a cookie that no script can read, and sends it by itself.
//
//   const handler = new TokenHandler("https://api.example.com/apps/shop");
//   handler.addEventListener("change", () => show(handler.state));
//   await handler.onPageLoad();
//   const answer = await handler.fetch("https://api.example.com/orders");
//
// Tabs of one application follow each other: only one renews at a time, and all hear of signing in and out.

// Every request carries this header. Another site cannot add it without being asked for first (CORS).
const headers = { accept: "application/json", "token-handler-version": "1" };

const early = 2; // seconds before the end of the access token at which it is renewed
const longest = 86400; // seconds a timer may run; setTimeout cannot count much further

// HandlerError is a refusal: status of HTTP, code for the program, details for the developer.
export class HandlerError extends Error {
  constructor(status, code, details) {
    super(details || code);
    this.name = "HandlerError";
    this.status = status;
    this.code = code;
  }
}

export class TokenHandler extends EventTarget {
  #base;
  #callback;
  #home;
  #channel;
  #timer = 0;
  #renewing = null;
  #state = { signedIn: false, claims: null, expiresAt: null };

  // base is the application's address at the token handler. callback is the path of the redirect URI, and home is the
  // address to show once its parameters are used.
  constructor(base, { callback = "/callback", home = "/" } = {}) {
    super();
    this.#base = base.replace(/\/$/, "");
    this.#callback = callback;
    this.#home = home;
    this.#channel = new BroadcastChannel(`token handler ${this.#base}`);
    this.#channel.onmessage = (event) => this.#heard(event.data);
    document.addEventListener("visibilitychange", () => this.#look());
    window.addEventListener("pageshow", (event) => event.persisted && this.#look());
  }

  // state is { signedIn, claims, expiresAt }: claims of the ID token or null, end of the access token in milliseconds.
  get state() {
    return this.#state;
  }

  // onPageLoad belongs at the start of every page: it ends a sign-in that comes back, or asks for the session.
  async onPageLoad() {
    const query = new URLSearchParams(location.search);
    if (location.pathname !== this.#callback || !isAnswer(query)) return this.session();
    history.replaceState(null, "", this.#home); // whatever comes of it, the code must not stay in the address
    this.#take(await this.#call("POST", "login/end", query), "signed-in");
    this.#tell({ kind: "signed-in" });
  }

  // session asks whether somebody is signed in. It does not prolong the session.
  async session() {
    this.#take(await this.#call("GET", "session"), "session");
  }

  // login leaves the page for the sign-in. parameters may be what the application is allowed to choose, such as scope.
  async login(parameters = {}) {
    const { authorization_url } = await this.#call("POST", "login/start", new URLSearchParams(parameters));
    location.assign(authorization_url);
  }

  // refresh renews the access token behind the cookie. While another tab does so, this one waits and takes over.
  async refresh() {
    this.#renewing ??= this.#takeTurns().finally(() => {
      this.#renewing = null;
    });
    return this.#renewing;
  }

  // logout ends the session and leaves the page to end the one of the authorization server too.
  async logout() {
    let answer = {};
    try {
      answer = await this.#call("POST", "logout");
    } catch (err) {
      if (err.status !== 401) throw err; // there is no session any more: that is what was wanted
    }
    this.#end("signed-out");
    this.#tell({ kind: "signed-out", reason: "signed-out" });
    if (answer.logout_url) location.assign(answer.logout_url);
  }

  // fetch calls an API through the gateway. If the access token has ended meanwhile it is renewed, once.
  async fetch(url, init = {}) {
    const send = () => fetch(url, { ...init, headers: { ...headers, ...init.headers }, credentials: "include", mode: "cors", cache: "no-store" });
    const answer = await send();
    if (answer.status !== 401) return answer;
    await this.refresh();
    const second = await send();
    if (second.status === 401) throw this.#expired();
    return second;
  }

  async #takeTurns() {
    if (!navigator.locks) return this.#renew();
    const name = `token handler ${this.#base}`;
    const renewed = await navigator.locks.request(name, { ifAvailable: true }, async (lock) => {
      if (lock) await this.#renew();
      return lock !== null;
    });
    if (!renewed) await navigator.locks.request(name, { mode: "shared" }, () => this.session());
  }

  async #renew() {
    let answer;
    try {
      answer = await this.#call("POST", "refresh", new URLSearchParams());
    } catch (err) {
      throw err.status === 401 ? this.#expired() : err;
    }
    this.#until(answer.access_token_expires_in);
    this.#changed("renewed");
    this.#tell({ kind: "renewed", expiresIn: answer.access_token_expires_in });
  }

  #expired() {
    this.#end("expired");
    this.#tell({ kind: "signed-out", reason: "expired" });
    return new HandlerError(401, "session_expired", "The session has ended.");
  }

  async #call(method, path, body) {
    const answer = await fetch(`${this.#base}/${path}`, { method, headers, body, credentials: "include", mode: "cors", cache: "no-store" });
    const told = await answer.json().catch(() => ({}));
    if (!answer.ok) throw new HandlerError(answer.status, told.error_code || told.code || "server_error", told.detailed_error || told.message);
    return told;
  }

  #take(answer, reason) {
    if (!answer.is_logged_in) {
      if (this.#state.signedIn) return this.#end("expired");
      return this.#changed(reason);
    }
    this.#state = { signedIn: true, claims: answer.id_token_claims ?? null, expiresAt: null };
    this.#until(answer.access_token_expires_in);
    this.#changed(reason);
  }

  // until notes when the access token ends and sets the clock for renewing it.
  #until(seconds) {
    clearTimeout(this.#timer);
    if (typeof seconds !== "number") return;
    this.#state = { ...this.#state, expiresAt: Date.now() + seconds * 1000 };
    this.#timer = setTimeout(() => this.#due(), Math.min(Math.max(seconds - early, 1), longest) * 1000);
  }

  // due renews for somebody who is looking. A page that nobody looks at does not keep its session alive.
  #due() {
    if (!document.hidden) this.refresh().catch(() => {}); // the next call says what is wrong
  }

  // look asks again when somebody comes back to the page.
  #look() {
    if (!document.hidden) this.session().catch(() => {});
  }

  #end(reason) {
    clearTimeout(this.#timer);
    this.#state = { signedIn: false, claims: null, expiresAt: null };
    this.#changed(reason);
  }

  #changed(reason) {
    this.dispatchEvent(new CustomEvent("change", { detail: { reason } }));
  }

  #tell(message) {
    this.#channel.postMessage(message);
  }

  #heard(message) {
    if (message.kind === "signed-out") this.#end(message.reason);
    if (message.kind === "signed-in") this.#look();
    if (message.kind === "renewed" && this.#state.signedIn) {
      this.#until(message.expiresIn);
      this.#changed("renewed");
    }
  }
}

// isAnswer says whether a query is an authorization response: a code, an error, or one signed whole (JARM).
function isAnswer(query) {
  return (query.has("state") && (query.has("code") || query.has("error"))) || query.has("response");
}
