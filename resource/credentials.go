package resource

import (
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/holdfast-iam/holdfast/oauth"
)

// Credentials are what a request says about its sender, unverified. They print as [hidden].
type Credentials struct {
	Scheme string // oauth.TypeBearer or oauth.TypeDPoP
	Token  string `json:"-"`
	Proof  string `json:"-"` // value of the header DPoP; "" under Bearer
}

// String hides the token.
func (c Credentials) String() string { return "[hidden]" }

// GoString hides the token from %#v.
func (c Credentials) GoString() string { return "[hidden]" }

// LogValue hides the token from slog.
func (c Credentials) LogValue() slog.Value { return slog.StringValue("[hidden]") }

// Credentials finds the one access token of a request in its header Authorization (RFC 6750 §2.1, RFC 9449 §7.1). A token
// in the query is refused, for URLs are kept in too many places (RFC 9700 §2.2). Every error is a *Challenge.
func (v *Verifier) Credentials(r Request) (Credentials, error) {
	switch inQuery, err := tokenInQuery(r.URL); {
	case err != nil:
		return Credentials{}, v.refuse(oauth.InvalidRequest, "the query cannot be read", err)
	case inQuery:
		return Credentials{}, v.refuse(oauth.InvalidRequest, "an access token goes into the header Authorization, never into the URL", nil)
	}
	lines := r.Header.Values("Authorization")
	if len(lines) > 1 {
		return Credentials{}, v.refuse(oauth.InvalidRequest, "the header Authorization is there twice", nil)
	}
	if len(lines) == 0 {
		return Credentials{}, v.unknown()
	}
	scheme, token, err := parseAuthorization(lines[0])
	switch {
	case errors.Is(err, errScheme):
		return Credentials{}, v.unknown()
	case err != nil:
		c := v.refuse(oauth.InvalidRequest, "the header Authorization does not hold a token", err)
		c.Scheme = scheme
		return Credentials{}, c
	}
	c := Credentials{Scheme: scheme, Token: token}
	c.Proof, err = v.proof(scheme, r.Header)
	return c, err
}

// proof is the value of the one header DPoP, which comes with the scheme DPoP and with no other.
func (v *Verifier) proof(scheme string, h http.Header) (string, error) {
	proofs := h.Values("DPoP")
	switch {
	case scheme == oauth.TypeBearer && len(proofs) > 0:
		c := v.refuse(oauth.InvalidRequest, "a DPoP proof comes with the scheme DPoP", nil)
		c.Scheme = scheme
		return "", c
	case scheme == oauth.TypeBearer:
		return "", nil
	case len(proofs) != 1: // RFC 9449 §4.3 (1)
		c := v.refuse(oauth.InvalidDPoPProof, "the scheme DPoP needs exactly one header DPoP", nil)
		c.Scheme = scheme
		return "", c
	}
	return proofs[0], nil
}

var (
	errScheme = errors.New("another scheme")
	errSyntax = errors.New("not a token of RFC 6750 §2.1")
)

// parseAuthorization reads "Bearer token" or "DPoP token", the scheme in any case (RFC 9110 §11.1).
func parseAuthorization(value string) (scheme, token string, err error) {
	name, rest, _ := strings.Cut(value, " ")
	switch {
	case strings.EqualFold(name, oauth.TypeBearer):
		scheme = oauth.TypeBearer
	case strings.EqualFold(name, oauth.TypeDPoP):
		scheme = oauth.TypeDPoP
	default:
		return "", "", errScheme
	}
	token = strings.TrimLeft(rest, " ")
	body := strings.TrimRight(token, "=")
	if body == "" || strings.ContainsFunc(body, notToken68) {
		return scheme, "", errSyntax
	}
	return scheme, token, nil
}

func notToken68(c rune) bool {
	return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("-._~+/", c)
}

// tokenInQuery looks for the parameter of RFC 6750 §2.3, however it is escaped and whichever separator a later reader
// believes in.
func tokenInQuery(u *url.URL) (bool, error) {
	if u == nil || u.RawQuery == "" {
		return false, nil
	}
	for pair := range strings.FieldsFuncSeq(u.RawQuery, func(c rune) bool { return c == '&' || c == ';' }) {
		name, _, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		if err != nil {
			return false, err
		}
		if name == "access_token" {
			return true, nil
		}
	}
	return false, nil
}
