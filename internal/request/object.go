package request

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
)

// Bounds of a request object's times, and of its jti.
const (
	objectAhead = 10 * time.Second // iat and nbf may be this far in the future
	objectLife  = time.Hour        // from nbf to exp, and from nbf to now (FAPI 2.0 Message Signing §5.3.1)
	maxObjectID = 256
)

// params finds the parameters of a request: those of the address or form, or, where there is a request object, those in
// it alone (RFC 9101 §6.3). With an error come those that say where it may be sent.
func (c *Checker) params(ctx context.Context, client *objects.Client, outer url.Values) (url.Values, error) {
	object, err := c.object(ctx, client, outer)
	if err != nil || object == "" {
		return outer, err
	}
	o, err := c.verify(ctx, client, object)
	if err != nil {
		return outer, err
	}
	inner, err := o.params(client, outer)
	if err == nil {
		err = c.checkObject(client, o)
	}
	if err != nil {
		// What is signed says better than what is not where its errors belong.
		return inner, oauth.Refuse(oauth.InvalidRequestObject, "the request object is not valid: "+err.Error())
	}
	return inner, nil
}

// object finds the request object, "" if there is none (RFC 9101 §5, OIDC Core §6).
func (c *Checker) object(ctx context.Context, client *objects.Client, outer url.Values) (string, error) {
	value, uri := outer.Get("request"), outer.Get("request_uri")
	switch {
	case outer.Has("registration"): // OIDC Core §7.2.1
		return "", oauth.Refuse(oauth.RegistrationNotSupported, "the registration parameter is not supported")
	case value != "" && uri != "":
		return "", oauth.Refuse(oauth.InvalidRequest, "request and request_uri cannot be combined")
	case uri != "":
		return c.fetch(ctx, client, uri)
	case value == "" && client.RequireSignedRequest: // RFC 9101 §10.5
		return "", oauth.Refuse(oauth.InvalidRequest, "this application must sign its requests (RFC 9101)")
	}
	return value, nil
}

// fetch reads a request object from where the client has said that it keeps some. Addresses are compared as whole
// strings, with what follows # (OIDC Core §6.2).
func (c *Checker) fetch(ctx context.Context, client *objects.Client, uri string) (string, error) {
	if c.ObjectAt == nil || !slices.Contains(client.RequestURIs, uri) {
		return "", oauth.Refuse(oauth.RequestURINotSupported, "this request_uri is not registered for this application")
	}
	object, err := c.ObjectAt(ctx, uri)
	if err != nil || object == "" {
		return "", oauth.Refuse(oauth.InvalidRequestURI, "there is no request object at this request_uri").With(err)
	}
	return object, nil
}

// verify reads a request object that the client has signed with one of its keys (RFC 9101 §6.1, §6.2).
func (c *Checker) verify(ctx context.Context, client *objects.Client, compact string) (*object, error) {
	invalid := oauth.Refuse(oauth.InvalidRequestObject, "the request object cannot be read, or its signature does not verify")
	if jose.IsEncrypted(compact) {
		if c.Decrypter == nil {
			return nil, oauth.Refuse(oauth.InvalidRequestObject, "encrypted request objects are not supported")
		}
		nested, err := c.Decrypter().Unnest(compact)
		if err != nil {
			return nil, invalid.With(err)
		}
		compact = nested.JWS
	}
	peeked, err := jose.Peek(compact)
	if isUnsigned(compact) || err == nil && peeked.Alg == "none" {
		return nil, refuseUnsigned(client)
	}
	if err != nil {
		return nil, invalid.With(err)
	}
	token, err := c.Verify(ctx, client, compact, peeked.KeyID, objectAlgs(client))
	if err != nil {
		return nil, invalid.With(err)
	}
	// RFC 9101 §10.8: explicit typing; many clients still say JWT, or nothing.
	if !slices.Contains([]string{"oauth-authz-req+jwt", "jwt", ""}, token.Type) {
		return nil, oauth.Refuse(oauth.InvalidRequestObject, "the type of the token is not that of a request object")
	}
	o := new(object)
	if err := errors.Join(token.Claims(o), token.Claims(&o.members)); err != nil {
		return nil, oauth.Refuse(oauth.InvalidRequestObject, "the claims of the request object cannot be read").With(err)
	}
	return o, nil
}

// isUnsigned says whether a compact token has no signature (RFC 7519 §6).
func isUnsigned(compact string) bool {
	return strings.Count(compact, ".") == 2 && strings.HasSuffix(compact, ".")
}

// refuseUnsigned says that there is no such thing here (OIDC Core §3.1.2.6), or that this client should know better
// (RFC 9101 §10.5).
func refuseUnsigned(client *objects.Client) error {
	if client.RequireSignedRequest || client.RequiresDatedObjects() {
		return oauth.Refuse(oauth.InvalidRequestObject, "the request object is not signed")
	}
	return oauth.Refuse(oauth.RequestNotSupported, "request objects that are not signed are not supported")
}

// objectAlgs are the algorithms a client may sign request objects with: the registered one, or all of its profile.
func objectAlgs(client *objects.Client) []jose.Alg {
	if client.RequestObjectAlg != "" {
		return []jose.Alg{jose.Alg(client.RequestObjectAlg)}
	}
	return client.Algs()
}

// object is a verified request object: the claims of the JWT, and all its members.
type object struct {
	Issuer    string           `json:"iss"`
	Subject   string           `json:"sub"`
	Audience  jose.Audience    `json:"aud"`
	ID        string           `json:"jti"`
	ExpiresAt jose.NumericDate `json:"exp"`
	IssuedAt  jose.NumericDate `json:"iat"`
	NotBefore jose.NumericDate `json:"nbf"`
	members   map[string]json.RawMessage
}

func (o *object) has(member string) bool { return o.members[member] != nil }

// checkObject applies the rules of what surrounds the parameters.
func (c *Checker) checkObject(client *objects.Client, o *object) error {
	now, dated := c.Now(), client.RequiresDatedObjects()
	for _, err := range []error{
		checkObjectParties(o, client, dated),
		checkObjectAudience(o, c.Issuer, dated),
		checkObjectTimes(o, now),
		checkObjectDates(o, now, dated),
		checkObjectMembers(o),
	} {
		if err != nil {
			return err
		}
	}
	return nil
}

// RFC 9101 §4, §6.3, §10.8: with sub it would be a client assertion too.
func checkObjectParties(o *object, client *objects.Client, dated bool) error {
	switch {
	case (dated || o.has("iss")) && o.Issuer != client.ID:
		return errors.New("iss is not the client_id")
	case o.has("client_id") && text(o.members["client_id"]) != client.ID:
		return errors.New("client_id is another one than outside of it")
	case o.has("sub") && o.Subject == client.ID:
		return errors.New("sub is the client_id")
	}
	return nil
}

// FAPI 2.0 Message Signing §5.3.1 (2), OIDC Core §6.1.
func checkObjectAudience(o *object, issuer string, dated bool) error {
	if (dated || o.has("aud")) && !slices.Contains(o.Audience, issuer) {
		return errors.New("aud is not the issuer")
	}
	return nil
}

// RFC 7519 §4.1.4, §4.1.5, §4.1.6.
func checkObjectTimes(o *object, now time.Time) error {
	switch {
	case o.has("exp") && !now.Before(o.ExpiresAt.Time):
		return errors.New("exp is past")
	case o.NotBefore.After(now.Add(objectAhead)):
		return errors.New("nbf is in the future")
	case o.IssuedAt.After(now.Add(objectAhead)):
		return errors.New("iat is in the future")
	}
	return nil
}

// FAPI 2.0 Message Signing §5.3.1 (3), (4).
func checkObjectDates(o *object, now time.Time, dated bool) error {
	switch {
	case !dated:
		return nil
	case !o.has("nbf") || !o.has("exp"):
		return errors.New("nbf or exp is missing")
	case o.NotBefore.Before(now.Add(-objectLife)):
		return errors.New("nbf is more than 60 minutes past")
	case o.ExpiresAt.After(o.NotBefore.Add(objectLife)):
		return errors.New("exp is more than 60 minutes after nbf")
	}
	return nil
}

// RFC 9101 §4: request objects hold no request objects.
func checkObjectMembers(o *object) error {
	switch {
	case o.has("request") || o.has("request_uri"):
		return errors.New("it holds request or request_uri")
	case o.has("registration"):
		return errors.New("it holds registration, which is not supported")
	case len(o.ID) > maxObjectID:
		return errors.New("jti is too long")
	}
	return nil
}

// claimNames are the members of a request object that are no parameters (RFC 7519 §4.1).
var claimNames = []string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti"}

// textual are the parameters that are strings in JSON too.
var textual = []string{
	"client_id", "response_type", "response_mode", "redirect_uri", "scope", "state", "nonce", "code_challenge",
	"code_challenge_method", "dpop_jkt", "prompt", "display", "ui_locales", "claims_locales", "acr_values", "login_hint",
	"id_token_hint",
}

// params are the parameters in a request object as an address would have them. What nobody has defined is passed on where
// it is a string and left out otherwise (RFC 6749 §3.1). With an error come those that could be read.
func (o *object) params(client *objects.Client, outer url.Values) (url.Values, error) {
	v, wrong := url.Values{}, error(nil)
	for name, raw := range o.members {
		values, ok := valuesOf(name, raw)
		if !ok {
			wrong = errors.New("a parameter is not of its JSON type") // RFC 9101 §4
		}
		if len(values) > 0 && !slices.Contains(claimNames, name) {
			v[name] = values
		}
	}
	if client.Profile != objects.ProfileOIDC {
		return v, wrong
	}
	// OIDC Core §6.1 has these two outside in any case, and inside if the client likes.
	for _, name := range []string{"response_type", "scope"} {
		switch {
		case !v.Has(name) && outer.Has(name):
			v[name] = outer[name]
		case name == "response_type" && outer.Has(name) && outer.Get(name) != v.Get(name):
			wrong = errors.New("response_type is another one than outside of it")
		}
	}
	return v, wrong
}

// valuesOf reads one member: numbers, objects and arrays where a specification has them (OIDC Core §6.1, RFC 8707 §2.1,
// RFC 9396 §4), and strings elsewhere. A parameter without a value is as if left out.
func valuesOf(name string, raw json.RawMessage) (values []string, ok bool) {
	begins := func(with string) bool { return bytes.ContainsAny(raw[:1], with) }
	switch name {
	case "max_age":
		return []string{string(raw)}, begins("-0123456789")
	case "claims":
		return []string{string(raw)}, begins("{")
	case "authorization_details":
		return []string{string(raw)}, begins("[")
	case "resource":
		return list(raw)
	}
	if !begins(`"`) {
		return nil, !slices.Contains(textual, name)
	}
	s := text(raw)
	if strings.Contains(s, "\x00") { // as in an address
		return nil, false
	}
	if s != "" {
		values = []string{s}
	}
	return values, true
}

// text is a JSON string, "" for anything else.
func text(raw json.RawMessage) string {
	var s string
	if jose.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// list is one JSON string or several.
func list(raw json.RawMessage) ([]string, bool) {
	var l jose.Audience // of the same form
	if err := jose.Unmarshal(raw, &l); err != nil {
		return nil, false
	}
	return l, !slices.ContainsFunc(l, func(s string) bool { return strings.Contains(s, "\x00") })
}
