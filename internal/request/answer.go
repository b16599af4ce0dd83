package request

import (
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
)

// answerLife is how long a signed answer holds (JARM §2.1 recommends ten minutes at most). The browser brings it at once.
const answerLife = 5 * time.Minute

// mode is how an answer travels.
type mode struct {
	name   string
	by     carrier
	signed bool
}

type carrier int

const (
	byQuery    carrier = iota // RFC 6749 §4.1.2
	byFragment                // OAuth 2.0 Multiple Response Type Encoding Practices §2.1
	byForm                    // OAuth 2.0 Form Post Response Mode §2
)

// modes are those there are; jwt is query.jwt for the response type code (JARM §2.3.4).
var modes = []mode{
	{"query", byQuery, false},
	{"fragment", byFragment, false},
	{"form_post", byForm, false},
	{"query.jwt", byQuery, true},
	{"fragment.jwt", byFragment, true},
	{"form_post.jwt", byForm, true},
	{"jwt", byQuery, true},
}

// ResponseModes are the names of the modes, for the metadata.
func ResponseModes() []string {
	names := make([]string, len(modes))
	for i, m := range modes {
		names[i] = m.name
	}
	return names
}

// modeOf finds the mode that a request names, and otherwise the one in which to refuse it.
func modeOf(client *objects.Client, name, uri string) (mode, error) {
	otherwise := modes[0]
	if client.RequiresSignedResponse() {
		otherwise = modes[len(modes)-1]
	}
	i := slices.IndexFunc(modes, func(m mode) bool { return m.name == name })
	switch {
	case client.RequiresSignedResponse() && (i < 0 || !modes[i].signed): // FAPI 2.0 Message Signing §5.4.1
		return otherwise, oauth.Refuse(oauth.InvalidRequest, "this application takes signed answers: response_mode must be jwt")
	case name == "":
		return otherwise, nil
	case i < 0:
		return otherwise, oauth.Refuse(oauth.InvalidRequest, "this response_mode is not supported")
	case modes[i].by == byForm && web.FormOrigin(uri) == "":
		return otherwise, oauth.Refuse(oauth.InvalidRequest, "a form cannot be posted to this redirect_uri")
	}
	return modes[i], nil
}

// Target is where an answer may be sent, and how. Only CheckRedirect makes one, so an unchecked redirect does not compile.
type Target struct {
	by         *Checker
	client     *objects.Client
	uri, state string
	mode       mode
}

// CheckRedirect compares redirect_uri with those of the client: as whole strings (RFC 9700 §2.1), but for the port
// of a loopback address of a native client (RFC 8252 §7.3).
func (c *Checker) CheckRedirect(client *objects.Client, uri, state, responseMode string) (*Target, error) {
	if uri == "" {
		return nil, oauth.Refuse(oauth.InvalidRequest, "redirect_uri is missing")
	}
	for _, registered := range client.RedirectURIs {
		if uri == registered || client.ApplicationType == "native" && sameButPort(uri, registered) {
			m, _ := modeOf(client, responseMode, uri) // a request with another mode is refused by checkResponseMode
			return &Target{by: c, client: client, uri: uri, state: state, mode: m}, nil
		}
	}
	return nil, oauth.Refuse(oauth.InvalidRequest, "redirect_uri is not one of this application")
}

func sameButPort(uri, registered string) bool {
	a, errA := url.Parse(uri)
	b, errB := url.Parse(registered)
	if errA != nil || errB != nil || a.Scheme != "http" || b.Scheme != "http" {
		return false
	}
	ip, err := netip.ParseAddr(b.Hostname())
	if err != nil || !ip.IsLoopback() || a.Hostname() != b.Hostname() {
		return false
	}
	return strings.Replace(uri, a.Host, "", 1) == strings.Replace(registered, b.Host, "", 1)
}

func checkResponseMode(client *objects.Client, params url.Values, a *Authorization) error {
	m, err := modeOf(client, params.Get("response_mode"), a.RedirectURI)
	a.ResponseMode = m.name
	return err
}

// Answer is what brings a client its answer through the browser.
type Answer struct {
	URL  string     // where the browser goes
	Form url.Values // what it posts there; nil: it goes by a link
}

// Code is the answer with a code (RFC 6749 §4.1.2, RFC 9207 §2).
func (t *Target) Code(ctx context.Context, code string) (*Answer, error) {
	return t.answer(ctx, url.Values{"code": {code}})
}

// Error is the answer with an error (RFC 6749 §4.1.2.1, RFC 9207 §2).
func (t *Target) Error(ctx context.Context, err *oauth.Error) (*Answer, error) {
	v := url.Values{"error": {string(err.Code)}}
	if err.Detail != "" {
		v.Set("error_description", err.Detail)
	}
	return t.answer(ctx, v)
}

func (t *Target) answer(ctx context.Context, v url.Values) (*Answer, error) {
	if t.state != "" {
		v.Set("state", t.state)
	}
	if t.mode.signed {
		token, err := t.sign(ctx, v)
		if err != nil {
			return nil, fmt.Errorf("sign answer: %w", err)
		}
		v = url.Values{"response": {token}}
	} else {
		v.Set("iss", t.by.Issuer)
	}
	sep := "?"
	switch {
	case t.mode.by == byForm:
		return &Answer{URL: t.uri, Form: v}, nil
	case t.mode.by == byFragment:
		sep = "#"
	case strings.Contains(t.uri, "?"):
		sep = "&"
	}
	return &Answer{URL: t.uri + sep + v.Encode()}, nil
}

// sign makes the JWT of an answer (JARM §2.1), encrypted where the client has registered that (§2.2).
func (t *Target) sign(ctx context.Context, v url.Values) (string, error) {
	alg := jose.Alg(t.client.AuthorizationSignedAlg)
	if alg == "" {
		alg = t.client.IDTokenAlg()
	}
	signer, err := t.by.Signer(alg)
	if err != nil {
		return "", err
	}
	claims := map[string]any{"iss": t.by.Issuer, "aud": t.client.ID, "exp": jose.At(t.by.Now().Add(answerLife))}
	for name := range v {
		claims[name] = v.Get(name)
	}
	if t.client.AuthorizationEncAlg == "" {
		return signer.Sign("JWT", claims)
	}
	encrypter, err := t.by.Encrypter(ctx, t.client, t.client.AuthorizationEncAlg, t.client.AuthorizationEncEnc)
	if err != nil {
		return "", err
	}
	return encrypter.Nest(signer, "JWT", claims)
}
