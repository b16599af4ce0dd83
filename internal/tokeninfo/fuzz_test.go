package tokeninfo_test

import (
	"net/url"
	"testing"

	"github.com/holdfast-iam/holdfast/oauth"
)

// FuzzUserinfo sends credentials of every shape: only the token gets an answer, and nothing is the server's fault.
func FuzzUserinfo(f *testing.F) {
	i := newRig(f).issuers["acme"]
	access, _ := i.issue(f, "opaque", "openid", oauth.Confirmation{})
	for _, seed := range []string{"Bearer " + access, "DPoP " + access, "Basic c2hvcDp4", "bearer", "", "Bearer  x", "DPoP\t" + access} {
		f.Add(seed, "", "")
	}
	f.Add("", access, "")
	f.Add("DPoP "+access, "", "eyJ0eXAiOiJkcG9wK2p3dCJ9.e30.AAAA")
	f.Fuzz(func(t *testing.T, authorization, inForm, proof string) {
		var options []option
		if authorization != "" {
			options = append(options, header("Authorization", authorization))
		}
		if proof != "" {
			options = append(options, header("DPoP", proof))
		}
		a := i.do(t, "POST", "/userinfo", url.Values{"access_token": {inForm}}, options...)
		holds := len(authorization) > len(access) && authorization[len(authorization)-len(access):] == access || inForm == access
		if a.status >= 500 || a.status < 400 && !holds {
			t.Errorf("%q, %q: %d %s", authorization, inForm, a.status, a.text)
		}
	})
}
