// A relying party on openid-client: FAPI 2.0 with PAR, sender-constrained tokens, and where asked for signed requests (JAR)
// and signed answers (JARM).
import * as client from 'openid-client'
import { done, must, myFetch, refused, settings, signingKey, visit, withoutCertificate } from './connect.mjs'

const authentication = signingKey ? client.PrivateKeyJwt(signingKey) : client.TlsClientAuth()
const config = await client.discovery(
  new URL(settings.issuer),
  settings.client_id,
  {
    id_token_signed_response_alg: 'ES256',
    authorization_signed_response_alg: 'ES256',
    use_mtls_endpoint_aliases: Boolean(settings.cert),
    ...(settings.signed && { introspection_signed_response_alg: 'ES256' }),
  },
  authentication,
  { [client.customFetch]: myFetch },
)
if (settings.signed) client.useJwtResponseMode(config)
const DPoP = settings.dpop ? client.getDPoPHandle(config, await client.randomDPoPKeyPair('ES256')) : undefined

const pkceCodeVerifier = client.randomPKCECodeVerifier()
const expectedState = client.randomState()
const expectedNonce = client.randomNonce()
let parameters = {
  redirect_uri: settings.redirect_uri,
  scope: settings.scope,
  resource: settings.resource,
  state: expectedState,
  nonce: expectedNonce,
  code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier),
  code_challenge_method: 'S256',
}
if (settings.signed) {
  parameters = (await client.buildAuthorizationUrlWithJAR(config, parameters, signingKey)).searchParams
}
const url = await client.buildAuthorizationUrlWithPAR(config, parameters, { DPoP })
must(url.searchParams.get('request_uri'), 'the request was not pushed')
const answer = await visit(url)
must(answer.searchParams.has('response') === Boolean(settings.signed), `the answer is ${answer}`)

const checks = { pkceCodeVerifier, expectedState, expectedNonce, idTokenExpected: true }
const tokens = await client.authorizationCodeGrant(config, answer, checks, undefined, { DPoP })
must(tokens.token_type === (DPoP ? 'dpop' : 'bearer'), tokens.token_type)
const { sub } = tokens.claims()

// The token for the API is good at userinfo too, for it has the scope openid.
const person = await client.fetchUserInfo(config, tokens.access_token, sub, { DPoP })
const api = await client.fetchProtectedResource(config, tokens.access_token, new URL(settings.api), 'GET', null, undefined, { DPoP })
must(api.status === 200, `the API answers ${api.status}`)
const stolen = await withoutCertificate(settings.api, { headers: { authorization: `${tokens.token_type} ${tokens.access_token}` } })
must(stolen.status === 401, `the API answers a thief ${stolen.status}`)

const fresh = await client.refreshTokenGrant(config, tokens.refresh_token, undefined, { DPoP })
const alive = await client.tokenIntrospection(config, fresh.access_token)
must(alive.active && alive.cnf, 'the refreshed token is not active and bound')
await client.tokenRevocation(config, tokens.refresh_token)
const dead = await client.tokenIntrospection(config, fresh.access_token)
must(!dead.active, 'the token outlives its grant')
const code = await refused(client.refreshTokenGrant(config, tokens.refresh_token, undefined, { DPoP }))
done({ sub, email: person.email, refused: code })
