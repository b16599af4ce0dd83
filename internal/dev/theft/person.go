package theft

import (
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/jose"
)

// authorize lets the landscape's user sign in to a client and gives the code that comes back.
func (s *stage) authorize(client Client, verifier, scope string, bound *jose.Signer) (string, error) {
	q := url.Values{
		"client_id": {client.ID}, "response_type": {"code"}, "redirect_uri": {client.RedirectURI}, "scope": {scope},
		"state": {keys.NewSecret().Reveal()}, "nonce": {keys.NewSecret().Reveal()}, "code_challenge": {challengeOf(verifier)}, "code_challenge_method": {"S256"},
	}
	if bound != nil {
		q.Set("dpop_jkt", bound.Key().Thumbprint())
	}
	back, err := s.signIn(s.browser(), s.Issuer+"/authorize?"+q.Encode())
	if err != nil {
		return "", err
	}
	if back.Get("code") == "" {
		return "", fmt.Errorf("signing in ends with %s", back.Get("error"))
	}
	return back.Get("code"), nil
}

const maxSteps = 12

// signIn goes through the pages of the issuer as the user would, until they send the browser elsewhere.
func (s *stage) signIn(by *http.Client, at string) (url.Values, error) {
	next := call{by: by, url: at}
	for range maxSteps {
		a, err := s.need(next)
		if err != nil {
			return nil, fmt.Errorf("sign in: %w", err)
		}
		to := a.header.Get("Location")
		if refresh := a.header.Get("Refresh"); refresh != "" {
			_, to, _ = strings.Cut(refresh, "url=")
		}
		if to == "" {
			if next, err = s.submit(by, next.url, a.text); err != nil {
				return nil, err
			}
			continue
		}
		u, err := resolve(next.url, to)
		if err != nil {
			return nil, err
		}
		if originOf(u.String()) != originOf(s.Issuer) {
			return u.Query(), nil
		}
		next = call{by: by, url: u.String()}
	}
	return nil, errors.New("signing in leads from page to page")
}

func resolve(base, to string) (*url.URL, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, err
	}
	return u.Parse(to)
}

var (
	formTag  = regexp.MustCompile(`(?s)<form[^>]*\baction="([^"]*)"[^>]*>(.*?)</form>`)
	inputTag = regexp.MustCompile(`<input[^>]*type="hidden"[^>]*name="([^"]*)"[^>]*value="([^"]*)"`)
	button   = regexp.MustCompile(`<button[^>]*\bid="(login-submit|consent-allow)"[^>]*>`)
	named    = regexp.MustCompile(`\bname="([^"]*)" value="([^"]*)"`)
)

// submit fills in the form on one of our own pages.
func (s *stage) submit(by *http.Client, at, page string) (call, error) {
	for _, form := range formTag.FindAllStringSubmatch(page, -1) {
		pressed := button.FindStringSubmatch(form[2])
		if pressed == nil {
			continue
		}
		values := url.Values{}
		for _, input := range inputTag.FindAllStringSubmatch(form[2], -1) {
			values.Set(html.UnescapeString(input[1]), html.UnescapeString(input[2]))
		}
		if pressed[1] == "login-submit" {
			values.Set("username", s.Username)
			values.Set("password", s.Password)
		}
		if pair := named.FindStringSubmatch(pressed[0]); pair != nil {
			values.Set(pair[1], pair[2])
		}
		to, err := resolve(at, html.UnescapeString(form[1]))
		if err != nil {
			return call{}, err
		}
		return call{by: by, url: to.String(), form: values, header: http.Header{"Origin": {originOf(s.Issuer)}, "Sec-Fetch-Site": {"same-origin"}}}, nil
	}
	return call{}, errors.New("there is no form to sign in with")
}
