// How an API on Node.js checks access tokens of Holdfast and what they are bound to. DPoP (RFC 9449) is the work of
// oauth4webapi; certificates (RFC 8705) need the connection, which only the server has.
import { createHash, timingSafeEqual } from 'node:crypto'
import * as jose from 'jose'
import * as oauth from 'oauth4webapi'

const algorithms = ['ES256', 'EdDSA', 'PS256']

// Refusal is an answer to the client; anything else that is thrown is a fault of this server.
export class Refusal extends Error {
  constructor(status, code, scheme) {
    super(code ?? 'no credentials')
    this.status = status
    this.challenge = code ? `${scheme} error="${code}"` : 'Bearer, DPoP algs="ES256 EdDSA PS256"'
  }
}

// verifier gives a function that takes a request of node:https and gives the claims of its token. origin is the one under
// which clients reach this API: the Host header is not believed. The memory of proofs is that of this process.
export async function verifier({ issuer, audience, origin }) {
  const url = new URL(issuer)
  const as = await oauth.processDiscoveryResponse(url, await oauth.discoveryRequest(url, { algorithm: 'oauth2' }))
  const keys = jose.createRemoteJWKSet(new URL(as.jwks_uri), { cooldownDuration: 60_000, cacheMaxAge: 600_000 })
  const used = new Map()

  return async (req) => {
    const target = new URL(req.url, origin)
    if (target.origin !== new URL(origin).origin || target.searchParams.has('access_token')) throw new Refusal(400, 'invalid_request', 'Bearer')
    const lines = req.headersDistinct.authorization ?? []
    const [, scheme, token] = /^(bearer|dpop) +([\w.~+/-]+=*)$/i.exec(lines[0] ?? '') ?? []
    if (!token) throw new Refusal(401)
    if (lines.length > 1) throw new Refusal(400, 'invalid_request', 'Bearer')
    return scheme.toLowerCase() === 'dpop' ? proven(req, target) : certified(req, token)
  }

  // proven checks a token bound to a DPoP key. A token that is bound to something else as well is refused.
  async function proven(req, target) {
    const headers = { authorization: req.headers.authorization }
    if (req.headers.dpop) headers.dpop = req.headers.dpop
    let claims
    try {
      claims = await oauth.validateJwtAccessToken(as, new Request(target, { method: req.method, headers }), audience, {
        requireDPoP: true, signingAlgorithms: algorithms,
      })
    } catch (cause) {
      throw refusal(cause, 'DPoP')
    }
    const now = Date.now()
    for (const [id, until] of used) {
      if (until > now) break // in the order they came
      used.delete(id)
    }
    const id = `${claims.cnf.jkt} ${jose.decodeJwt(req.headers.dpop).jti}`
    if (used.has(id)) throw new Refusal(401, 'invalid_dpop_proof', 'DPoP')
    used.set(id, now + 600_000) // oauth4webapi takes proofs of five minutes to either side
    return claims
  }

  // certified checks a token bound to the client certificate of this very connection.
  async function certified(req, token) {
    let claims
    try {
      ({ payload: claims } = await jose.jwtVerify(token, keys, {
        issuer, audience, algorithms, typ: 'at+jwt', requiredClaims: ['sub', 'client_id', 'iat', 'exp', 'jti'],
      }))
    } catch (cause) {
      throw refusal(cause, 'Bearer')
    }
    const methods = Object.keys(claims.cnf ?? {})
    const leaf = req.socket.getPeerCertificate().raw
    if (methods.length !== 1 || methods[0] !== 'x5t#S256' || !leaf) throw new Refusal(401, 'invalid_token', 'Bearer')
    const want = Buffer.from(String(claims.cnf['x5t#S256']))
    const have = Buffer.from(createHash('sha256').update(leaf).digest('base64url'))
    if (want.length !== have.length || !timingSafeEqual(want, have)) throw new Refusal(401, 'invalid_token', 'Bearer')
    return claims
  }
}

// refusal tells a bad token from keys that cannot be had.
function refusal(cause, scheme) {
  const away = cause instanceof TypeError || ['ERR_JWKS_TIMEOUT', 'ERR_JOSE_GENERIC'].includes(cause.code) || cause.code === oauth.RESPONSE_IS_NOT_CONFORM
  return Object.assign(away ? new Refusal(503, 'temporarily_unavailable', scheme) : new Refusal(401, 'invalid_token', scheme), { cause })
}
