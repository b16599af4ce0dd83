// An API over TLS that tells the caller who they are. Settings are in the environment: ISSUER, AUDIENCE, ORIGIN, CERT and
// KEY (PEM files), PORT; NODE_EXTRA_CA_CERTS names a certificate authority of the issuer that the system does not know.
import { readFileSync } from 'node:fs'
import { createServer } from 'node:https'
import { Refusal, verifier } from './verify.mjs'

const { ISSUER, AUDIENCE, ORIGIN, CERT, KEY, PORT } = process.env
const verify = await verifier({ issuer: ISSUER, audience: AUDIENCE, origin: ORIGIN })

const server = createServer({
  cert: readFileSync(CERT), key: readFileSync(KEY), minVersion: 'TLSv1.3',
  requestCert: true, rejectUnauthorized: false, // any certificate: the one the token is bound to is what counts
}, async (req, res) => {
  const answer = (status, body, headers) => res.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store', ...headers }).end(JSON.stringify(body))
  try {
    const claims = await verify(req)
    if (!String(claims.scope ?? '').split(' ').includes('orders.read')) throw new Refusal(403, 'insufficient_scope', 'Bearer')
    answer(200, { customer: claims.sub })
  } catch (error) {
    if (!(error instanceof Refusal)) console.error(error)
    const refused = error instanceof Refusal ? error : { status: 500 }
    answer(refused.status, {}, refused.challenge && refused.status < 500 ? { 'www-authenticate': refused.challenge } : {})
  }
})
server.listen(Number(PORT ?? 8443), '127.0.0.1', () => console.log(`listening on ${server.address().port}`))
