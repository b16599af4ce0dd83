// The same on oauth4webapi, where every step is a call of its own.
import * as oauth from 'oauth4webapi'
import { done, must, myFetch, refused, settings, signingKey, visit } from './connect.mjs'

const through = { [oauth.customFetch]: myFetch }
const issuer = new URL(settings.issuer)
const as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, through))
const me = {
  client_id: settings.client_id,
  id_token_signed_response_alg: 'ES256',
  authorization_signed_response_alg: 'ES256',
  use_mtls_endpoint_aliases: Boolean(settings.cert),
  ...(settings.signed && { introspection_signed_response_alg: 'ES256' }),
}
const authentication = signingKey ? oauth.PrivateKeyJwt(signingKey) : oauth.TlsClientAuth()
const DPoP = settings.dpop ? oauth.DPoP(me, await oauth.generateKeyPair('ES256')) : undefined
const options = { ...through, DPoP }

// again does a step once more where the server wants its nonce in the proof (RFC 9449 §8).
const again = async (step) => {
  try {
    return await step()
  } catch (e) {
    if (!oauth.isDPoPNonceError(e)) throw e
    return await step()
  }
}

const verifier = oauth.generateRandomCodeVerifier()
const state = oauth.generateRandomState()
const nonce = oauth.generateRandomNonce()
let parameters = new URLSearchParams({
  client_id: me.client_id,
  redirect_uri: settings.redirect_uri,
  response_type: 'code',
  scope: settings.scope,
  resource: settings.resource,
  state,
  nonce,
  code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
  code_challenge_method: 'S256',
  ...(settings.signed && { response_mode: 'jwt' }),
})
if (settings.signed) {
  parameters = new URLSearchParams({ client_id: me.client_id, request: await oauth.issueRequestObject(as, me, parameters, signingKey) })
}
const pushed = await again(async () =>
  oauth.processPushedAuthorizationResponse(as, me, await oauth.pushedAuthorizationRequest(as, me, authentication, parameters, options)),
)
const url = new URL(as.authorization_endpoint)
url.searchParams.set('client_id', me.client_id)
url.searchParams.set('request_uri', pushed.request_uri)
const answer = await visit(url)
const response = settings.signed ? await oauth.validateJwtAuthResponse(as, me, answer, state, through) : oauth.validateAuthResponse(as, me, answer, state)

const tokens = await again(async () =>
  oauth.processAuthorizationCodeResponse(
    as, me, await oauth.authorizationCodeGrantRequest(as, me, authentication, response, settings.redirect_uri, verifier, options),
    { expectedNonce: nonce, requireIdToken: true },
  ),
)
const { sub } = oauth.getValidatedIdTokenClaims(tokens)
const person = await again(async () =>
  oauth.processUserInfoResponse(as, me, sub, await oauth.userInfoRequest(as, me, tokens.access_token, options)),
)
const api = await again(() => oauth.protectedResourceRequest(tokens.access_token, 'GET', new URL(settings.api), undefined, null, options))
must(api.status === 200, `the API answers ${api.status}`)

const refresh = () =>
  again(async () => oauth.processRefreshTokenResponse(as, me, await oauth.refreshTokenGrantRequest(as, me, authentication, tokens.refresh_token, options)))
const introspect = async (token) =>
  oauth.processIntrospectionResponse(as, me, await oauth.introspectionRequest(as, me, authentication, token, through), through)
const fresh = await refresh()
const alive = await introspect(fresh.access_token)
must(alive.active && alive.cnf, 'the refreshed token is not active and bound')
await oauth.processRevocationResponse(await oauth.revocationRequest(as, me, authentication, tokens.refresh_token, through))
must(!(await introspect(fresh.access_token)).active, 'the token outlives its grant')
done({ sub, email: person.email, refused: await refused(refresh()) })
