package bff_test

import (
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// raw posts a body as it is, with the cookies of the browser.
func (b *browser) raw(path, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", backend+"/apps/"+b.app+path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Token-Handler-Version", "1")
	r.Header.Set("Origin", origin)
	var cookies []string
	for name, value := range b.cookies {
		cookies = append(cookies, name+"="+value)
	}
	r.Header.Set("Cookie", strings.Join(cookies, "; "))
	rec := httptest.NewRecorder()
	b.w.nodes[b.node].ServeHTTP(rec, r)
	return rec
}

func FuzzLoginStart(f *testing.F) {
	w := newWorld(f)
	b := w.browser("demo")
	f.Add("")
	f.Add("scope=openid&prompt=login")
	f.Add("redirect_uri=x")
	f.Add("scope=a&scope=b")
	f.Add("%zz=%")
	f.Fuzz(func(t *testing.T, body string) {
		rec := b.raw("/login/start", body)
		if rec.Code >= 500 || rec.Header().Get("Content-Type") != "application/json" {
			t.Fatalf("%q: %d %s", body, rec.Code, rec.Body)
		}
		w.issuer.mu.Lock()
		defer w.issuer.mu.Unlock()
		for _, q := range w.issuer.pushed {
			if q.Get("redirect_uri") != origin+"/callback" || q.Get("client_id") != "spa-demo" || q.Get("response_type") != "code" || len(q.Get("state")) != 43 {
				t.Fatalf("%q pushed %v", body, q)
			}
		}
		clear(w.issuer.pushed)
		w.issuer.requests = nil
	})
}

func FuzzLoginEnd(f *testing.F) {
	w := newWorld(f)
	b := w.browser("demo")
	b.start(nil)
	f.Add("code=a&state=b&iss=c")
	f.Add("error=access_denied&state=b")
	f.Add("response=a.b.c")
	f.Add("code=a&state=")
	f.Fuzz(func(t *testing.T, body string) {
		rec := b.raw("/login/end", body)
		if rec.Code != 400 && rec.Code != 413 || rec.Header().Get("Content-Type") != "application/json" || strings.Contains(rec.Header().Get("Set-Cookie"), "-s=") {
			t.Errorf("%q: %d %s", body, rec.Code, rec.Body)
		}
	})
}

func FuzzLogoutToken(f *testing.F) {
	w := newWorld(f)
	b := w.browser("demo")
	b.login("alice")
	good := w.logoutToken(nil).Get("logout_token")
	f.Add("")
	f.Add(good[:len(good)-2])
	f.Add(strings.Replace(good, ".", "..", 1))
	f.Add(b.opened().IDToken.Reveal())
	f.Fuzz(func(t *testing.T, token string) {
		if rec := b.raw("/backchannel-logout", url.Values{"logout_token": {token}}.Encode()); rec.Code != 400 && rec.Code != 413 {
			t.Errorf("%q: %d %s", token, rec.Code, rec.Body)
		}
	})
}

func FuzzCookieHeader(f *testing.F) {
	w := newWorld(f)
	b := w.browser("demo")
	f.Add("__Host-Http-hf-demo-s=x; __Host-Http-hf-demo-l-abcdefgh=y")
	f.Add("__Host-Http-hf-demo-s=\"x\"; =; ;;")
	f.Fuzz(func(t *testing.T, header string) {
		for _, q := range []struct{ method, path string }{{"GET", "/session"}, {"POST", "/refresh"}, {"POST", "/logout"}} {
			r := httptest.NewRequest(q.method, backend+"/apps/demo"+q.path, nil)
			r.Header["Cookie"] = []string{header}
			r.Header.Set("Token-Handler-Version", "1")
			r.Header.Set("Origin", origin)
			rec := httptest.NewRecorder()
			b.w.nodes[0].ServeHTTP(rec, r)
			if want := map[string]int{"GET": 200, "POST": 401}[q.method]; rec.Code != want {
				t.Errorf("%q: %s %d %s", header, q.path, rec.Code, rec.Body)
			}
		}
	})
}
