package request

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/oauth"
)

// What may be said of the pages (OpenID Connect Core §3.1.2.1). prompt=create is understood besides, as login: somebody
// who has no account finds there how to get one.
var (
	PromptValues  = []string{"none", "login", "consent", "select_account"}
	DisplayValues = []string{"page", "popup", "touch", "wap"}
)

// bounds of lists.
const (
	maxLocales = 16
	maxLocale  = 35 // characters that every reader has to take (RFC 5646 §4.4.1)
)

// checkSignIn reads what a request says of who is to sign in, and how.
func (c *Checker) checkSignIn(client *objects.Client, params url.Values, a *Authorization) error {
	asked, err := checkClaims(params, a)
	if err != nil {
		return err
	}
	if err := checkACR(client, params, asked.IDToken["acr"], a); err != nil {
		return err
	}
	if err := checkPages(params, a); err != nil {
		return err
	}
	return c.checkSubject(client, params, asked, a)
}

// checkACR reads acr_values, which is a wish (OIDC Core §3.1.2.1), and the claim acr with values, which is another or,
// if it is essential, a demand (§5.5.1.1). What this issuer does not know is left out.
func checkACR(client *objects.Client, params url.Values, claim *ClaimRequest, a *Authorization) error {
	wished := strings.Fields(params.Get("acr_values"))
	if len(wished) == 0 {
		wished = client.DefaultACRValues
	}
	if len(claim.Wanted()) > 0 {
		wished = claim.texts()
	}
	known := unique(slices.DeleteFunc(slices.Clone(wished), func(v string) bool { return !slices.Contains(objects.ACRValues, v) }))
	if claim == nil || !claim.Essential || len(claim.Wanted()) == 0 {
		a.ACRValues = known
		return nil
	}
	if a.RequiredACR = known; len(known) == 0 {
		return oauth.Refuse(oauth.UnmetAuthenticationRequirements, "none of the values of acr that are demanded exists here")
	}
	return nil
}

// checkPages reads what concerns the pages alone. Locales that are not there are no error, and neither are displays that
// nobody knows.
func checkPages(params url.Values, a *Authorization) error {
	for _, name := range []string{"ui_locales", "claims_locales"} {
		list := strings.Fields(params.Get(name))
		if len(list) > maxLocales || slices.ContainsFunc(list, func(tag string) bool { return !isLocale(tag) }) {
			return oauth.Refuse(oauth.InvalidRequest, name+" is not a list of language tags (BCP 47)")
		}
	}
	a.UILocales = unique(strings.Fields(params.Get("ui_locales")))
	if display := params.Get("display"); slices.Contains(DisplayValues, display) {
		a.Display = display
	}
	return nil
}

// isLocale says whether a tag is well-formed as far as its parts go (RFC 5646 §2.1): the first is a language of letters,
// or begins a private tag.
func isLocale(tag string) bool {
	if len(tag) > maxLocale {
		return false
	}
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	first, rest, more := strings.Cut(tag, "-")
	if strings.Trim(first, letters) != "" || len(first) > 8 || len(first) < 2 && (!more || !strings.EqualFold(first, "x")) {
		return false
	}
	for more {
		var part string
		if part, rest, more = strings.Cut(rest, "-"); part == "" || len(part) > 8 || strings.Trim(part, letters+"0123456789") != "" {
			return false
		}
	}
	return true
}

// checkSubject finds out whose answer is wanted: of whom id_token_hint tells (OIDC Core §3.1.2.1), and of whom the claim
// sub with a value does (§5.5.1). They have to be the same.
func (c *Checker) checkSubject(client *objects.Client, params url.Values, asked *ClaimsRequest, a *Authorization) error {
	if hint := params.Get("id_token_hint"); hint != "" {
		subject, err := c.hinted(client, hint)
		if err != nil {
			return oauth.Refuse(oauth.InvalidRequest, "id_token_hint is not an ID token of this issuer for this application").With(err)
		}
		a.Subjects = []string{subject}
	}
	for _, claim := range []*ClaimRequest{asked.IDToken["sub"], asked.Userinfo["sub"]} {
		if len(claim.Wanted()) == 0 {
			continue
		}
		wanted := unique(claim.texts())
		if a.Subjects != nil {
			wanted = slices.DeleteFunc(wanted, func(s string) bool { return !slices.Contains(a.Subjects, s) })
		}
		if a.Subjects = wanted; len(wanted) == 0 {
			return oauth.Refuse(oauth.InvalidRequest, "id_token_hint and the claim sub name different people")
		}
	}
	return nil
}

func (c *Checker) hinted(client *objects.Client, hint string) (string, error) {
	if c.Hint == nil {
		return "", fmt.Errorf("there is nothing to verify it with")
	}
	return c.Hint(client, hint)
}
