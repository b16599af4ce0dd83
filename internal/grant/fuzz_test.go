package grant_test

import (
	"net/url"
	"testing"

	"github.com/holdfast-iam/holdfast/internal/tokens"
)

// FuzzToken posts forms to the token endpoint: without right credentials nothing gives a token, and nothing is the
// server's fault.
func FuzzToken(f *testing.F) {
	n := install(f, tokens.Lifetimes{}).acme
	for _, form := range []map[string]string{
		codeForm("native", n.code(f, "native")), refreshForm("native", "a.b"), withSecret("nobody"), selfForm("mtls"),
	} {
		f.Add(encode(form))
	}
	f.Add("grant_type=client_credentials&client_id=native&client_assertion=a.b.c&client_assertion_type=x")
	f.Fuzz(func(t *testing.T, body string) {
		form, err := url.ParseQuery(body)
		if err != nil {
			return
		}
		if a := n.send(t, form); a.status < 400 || a.status >= 500 {
			t.Errorf("%q: %d %v", body, a.status, a.body)
		}
	})
}
