package holdfasttest_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/holdfast-iam/holdfast/holdfasttest"
)

// frontend is the page of a browser application, with the headers that its script and the browser send.
type frontend struct {
	*person
	name, origin, handler string
	cookies               string // in place of those of the browser: of a thief
}

func newFrontend(t *testing.T, s *holdfasttest.Server) *frontend {
	return &frontend{person: newPerson(t, s), name: "demo", origin: s.AppURL, handler: s.Handler}
}

// newBackOffice is a page of the other application.
func newBackOffice(t *testing.T, s *holdfasttest.Server) *frontend {
	return &frontend{person: newPerson(t, s), name: "backoffice", origin: s.BackOffice, handler: strings.TrimSuffix(s.Handler, "demo") + "backoffice"}
}

// request is one as a script of the page makes it, with a form if there is one. Tests change one thing of it.
func (f *frontend) request(method, address string, form url.Values) *http.Request {
	f.t.Helper()
	var text io.Reader
	if form != nil {
		text = body(form)
	}
	req, err := http.NewRequestWithContext(f.t.Context(), method, address, text)
	if err != nil {
		f.t.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", urlencoded)
	}
	for name, value := range map[string]string{
		"Accept": "application/json", "Token-Handler-Version": "1", "Origin": f.origin, "Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors",
	} {
		req.Header.Set(name, value)
	}
	if f.cookies != "" {
		req.Header.Set("Cookie", f.cookies)
	}
	return req
}

func (f *frontend) send(req *http.Request) answered {
	f.t.Helper()
	g := f.do(req)
	a := answered{Status: g.StatusCode, Header: g.Header, Body: map[string]any{}}
	_ = json.Unmarshal([]byte(g.text), &a.Body) // the API may answer anything
	return a
}

// call asks the token handler.
func (f *frontend) call(path string) answered {
	f.t.Helper()
	if strings.HasPrefix(path, "/session") {
		return f.send(f.request(http.MethodGet, f.handler+path, nil))
	}
	return f.send(f.request(http.MethodPost, f.handler+path, url.Values{}))
}

// orders asks the API.
func (f *frontend) orders() answered {
	f.t.Helper()
	return f.send(f.request(http.MethodGet, f.GatewayURL+"/orders", nil))
}

// begin starts a sign-in and goes through the pages of the issuer. It gives what comes back to the page.
func (f *frontend) begin(u holdfasttest.User) url.Values {
	f.t.Helper()
	begun := f.call("/login/start")
	if begun.Status != http.StatusOK {
		f.t.Fatalf("login/start: %d %v", begun.Status, begun.Body)
	}
	g := f.follow(f.get(begun.text("authorization_url")))
	if strings.Contains(g.text, `id="login-submit"`) {
		g = f.person.signIn(g, u)
	}
	if strings.Contains(g.text, `id="consent-allow"`) {
		g = f.submit(g, "consent-allow", nil)
	}
	return f.answer(g)
}

// signIn begins, and ends the sign-in by what came back.
func (f *frontend) signIn(u holdfasttest.User) answered {
	f.t.Helper()
	a := f.end(f.begin(u))
	if a.Status != http.StatusOK || a.Body["is_logged_in"] != true {
		f.t.Fatalf("login/end: %d %v", a.Status, a.Body)
	}
	return a
}

func (f *frontend) end(back url.Values) answered {
	f.t.Helper()
	return f.send(f.request(http.MethodPost, f.handler+"/login/end", back))
}

// session is the cookie of the session, as it lies in the browser: name and value.
func (f *frontend) session() string {
	f.t.Helper()
	u, err := url.Parse(f.handler)
	if err != nil {
		f.t.Fatal(err)
	}
	for _, c := range f.client.Jar.Cookies(u) {
		if strings.HasSuffix(c.Name, "-"+f.name+"-s") {
			return c.Name + "=" + c.Value
		}
	}
	f.t.Fatal("the browser holds no session")
	return ""
}

// thief is another browser with a cookie of this one.
func (f *frontend) thief() *frontend {
	other := *f
	other.person, other.cookies = newPerson(f.t, f.Server), f.session()
	return &other
}

// code is the error as the page sees it, "" for what worked.
func (a answered) code() string {
	for _, name := range []string{"error_code", "error", "code"} {
		if c := a.text(name); c != "" {
			return c
		}
	}
	return ""
}
