// What a script would find that somebody has smuggled into this page: it looks where such scripts look, and listens
// to what the page hears. It finds nothing that opens anything.

const answers = []; // { url, text } of everything that fetch has brought

// watch listens in on fetch from now on, as a thief's script would.
export function watch() {
  const original = window.fetch;
  window.fetch = async (...args) => {
    const answer = await original(...args);
    const copy = answer.clone();
    copy.text().then(
      (body) => answers.push({ url: copy.url, text: [...copy.headers].join("\n") + "\n" + body }),
      () => {},
    );
    return answer;
  };
}

const jwt = /eyJ[\w-]{8,}\.[\w-]{8,}\.[\w.-]*/g;
const long = /[\w-]{32,}/g;

// random says whether a long word looks made by a machine. Words of people have few digits and no such spread.
function random(word) {
  const counts = new Map();
  for (const c of word) counts.set(c, (counts.get(c) ?? 0) + 1);
  let bits = 0;
  for (const n of counts.values()) bits -= (n / word.length) * Math.log2(n / word.length);
  return /\d/.test(word) && /[a-z]/i.test(word) && bits > 3.3;
}

// credentials lists what looks like a token in a text: JSON Web Tokens, and long random words.
export function credentials(text) {
  const found = text.match(jwt) ?? [];
  const rest = text.replace(jwt, " ");
  return [...found, ...(rest.match(long) ?? []).filter(random)];
}

// identifiers are claims that name somebody or something and open nothing, however random they look.
const identifiers = ["sub", "sid", "nonce", "at_hash", "c_hash", "s_hash", "jti", "aud", "iss"];

// search looks everywhere. It returns rows of { place, looked, found }: what was there to see, and what of it is a
// credential.
export async function search(claims) {
  const names = identifiers.map((name) => claims?.[name]).filter((value) => typeof value === "string");
  const row = (place, looked, texts) => {
    let all = texts.join("\n");
    for (const name of names) all = all.replaceAll(name, " ");
    return { place, looked, found: credentials(all) };
  };
  const rows = [
    cookies(row),
    await cookieStores(row),
    storage(row, "localStorage", localStorage),
    storage(row, "sessionStorage", sessionStorage),
    await databases(row),
    await cached(row),
    globals(row),
    row("The page", "all elements, also hidden ones", [document.documentElement.outerHTML, window.name, document.referrer]),
    addresses(row),
    row("Answers over the network", count(answers.length, "answer", "answers") + " overheard", answers.map((a) => a.text)),
  ];
  return rows.filter(Boolean);
}

function count(n, one, many) {
  return n === 0 ? "none" : `${n} ${n === 1 ? one : many}`;
}

function cookies(row) {
  const all = document.cookie ? document.cookie.split("; ") : [];
  return row("document.cookie", count(all.length, "cookie", "cookies"), all);
}

async function cookieStores(row) {
  if (!window.cookieStore) return null;
  const all = await window.cookieStore.getAll();
  return row("cookieStore", count(all.length, "cookie", "cookies"), all.map((c) => `${c.name} ${c.value}`));
}

function storage(row, name, store) {
  const all = Object.entries(store).map(([key, value]) => `${key} ${value}`);
  return row(name, count(all.length, "entry", "entries"), all);
}

async function databases(row) {
  if (!indexedDB.databases) return null;
  const all = await indexedDB.databases();
  const texts = await Promise.all(all.map((d) => contents(d.name)));
  return row("IndexedDB", count(all.length, "database", "databases"), texts);
}

// contents is everything in a database, as text.
async function contents(name) {
  const done = (request) => new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  const db = await done(indexedDB.open(name));
  const stores = [...db.objectStoreNames];
  const all = stores.length ? await Promise.all(stores.map((s) => done(db.transaction(s).objectStore(s).getAll()))) : [];
  db.close();
  return written(all);
}

async function cached(row) {
  if (!window.caches) return null;
  const names = await caches.keys();
  const urls = await Promise.all(names.map(async (n) => (await (await caches.open(n)).keys()).map((r) => r.url)));
  return row("Caches", count(names.length, "cache", "caches"), urls.flat());
}

function globals(row) {
  const texts = [];
  const all = Object.getOwnPropertyNames(window);
  for (const name of all) {
    let value;
    try {
      value = window[name];
    } catch {
      continue; // some may not be read
    }
    if (typeof value === "string") texts.push(value);
    if (value && typeof value === "object" && [Object.prototype, Array.prototype, null].includes(Object.getPrototypeOf(value))) texts.push(written(value));
  }
  return row("Variables of the window", count(all.length, "name", "names"), [...texts, written(history.state)]);
}

function written(value) {
  try {
    return JSON.stringify(value) ?? "";
  } catch {
    return ""; // it holds itself
  }
}

// addresses looks at every address the browser remembers for this page. One of them may hold the authorization code
// that has brought us here. The token handler has spent it, and without its key it never was worth anything.
function addresses(row) {
  const urls = [location.href, ...performance.getEntries().map((e) => e.name)].filter((name) => URL.canParse(name)).map((name) => new URL(name));
  const code = urls.some((u) => u.searchParams.has("code"));
  const texts = urls.map((u) => {
    for (const name of ["code", "state", "iss"]) u.searchParams.delete(name);
    return u.href;
  });
  return row("Addresses", count(urls.length, "address", "addresses") + (code ? ", with a code that is spent" : ""), texts);
}
