package gateway_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/holdfast-iam/holdfast/internal/web"
)

// FuzzCredentials: whatever stands where credentials stand, nobody gets through without a token of the issuer, and the
// gateway answers.
func FuzzCredentials(f *testing.F) {
	r := landscape(f)
	h, err := r.ends.Handler(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	f.Add("/orders", "Bearer a.b.c", "", "")
	f.Add("/proof", "DPoP eyJ0eXAiOiJhdCtqd3QifQ.e30.AA", "eyJ0eXAiOiJkcG9wK2p3dCJ9.e30.AA", "")
	f.Add("/spa", "", "", "__Host-Http-hf-demo-s=v2.x")
	f.Add("/orders", "bearer  x=", "a", "__Host-Http-hf-demo-s=a; __Host-Http-hf-demo-s=b")
	f.Add("/asisloose", "Bearer id.secret", "", "")
	f.Fuzz(func(t *testing.T, path, authorization, proof, cookie string) {
		q := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		q.URL.Path, q.Host = path, strings.TrimPrefix(r.origin, "https://")
		for name, value := range map[string]string{"Authorization": authorization, "Dpop": proof, "Cookie": cookie} {
			if value != "" {
				q.Header[name] = []string{value}
			}
		}
		q.Header.Set("Token-Handler-Version", "1")
		w := httptest.NewRecorder()
		e := new(web.Event)
		h.ServeHTTP(w, q.WithContext(web.WithEvent(q.Context(), e)))
		if w.Code < 400 && !strings.Contains(path, "/.well-known/") || w.Code == 500 && path != "/twice" && !strings.HasPrefix(path, "/twice/") {
			t.Errorf("%s %q %q %q: %d %s", path, authorization, proof, cookie, w.Code, e.Reason())
		}
		if w.Code >= 400 && e.Code() == "" {
			t.Error("not recorded")
		}
	})
}
