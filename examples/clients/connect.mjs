// What the clients of this folder have in common: their settings, the way to the landscape, and the person who signs in.
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { importJWK } from 'jose'
import { Agent, fetch } from 'undici'

export const settings = JSON.parse(readFileSync(process.argv[2], 'utf8'))

// The hosts of the landscape are all on this machine, whatever the resolver thinks of them.
const lookup = (_, options, done) => (options.all ? done(null, [{ address: '127.0.0.1', family: 4 }]) : done(null, '127.0.0.1', 4))
const reach = (certificate) => {
  const dispatcher = new Agent({ connect: { ca: readFileSync(settings.ca), lookup, ...certificate } })
  return (url, options) => fetch(url, { ...options, dispatcher })
}
export const withoutCertificate = reach({})
export const myFetch = settings.cert ? reach({ cert: readFileSync(settings.cert), key: readFileSync(settings.key) }) : withoutCertificate

// signingKey signs assertions and requests.
export const signingKey = settings.jwk && { key: await importJWK(settings.jwk, 'ES256'), kid: settings.jwk.kid }

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()

// visit has the person go to an address, and gives the one they come back to.
export const visit = async (url) => {
  console.log(JSON.stringify({ visit: String(url) }))
  return new URL((await lines.next()).value)
}

export const done = (result) => {
  console.log(JSON.stringify({ done: result }))
  process.exit(0)
}

export const must = (truth, what) => {
  if (!truth) throw new Error(what)
}

// refused awaits a failure and gives its error code.
export const refused = async (promise) => {
  try {
    await promise
  } catch (e) {
    return e.error ?? e.cause?.error ?? e.code ?? String(e)
  }
  throw new Error('this should have been refused')
}
