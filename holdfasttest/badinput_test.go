package holdfasttest_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/holdfast-iam/holdfast/holdfasttest"
)

const urlencoded = "application/x-www-form-urlencoded"

// sender sends anything and reads the whole answer.
func sender(t *testing.T, client *http.Client) func(method, address, kind, text string) (*http.Response, string) {
	return func(method, address, kind, text string) (*http.Response, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if kind != "" {
			req.Header.Set("Content-Type", kind)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp, string(body)
	}
}

// TestBadInput sends every endpoint what it must not stumble over: the standard error, in the form of its callers, and
// never a 500.
func TestBadInput(t *testing.T) {
	s := holdfasttest.Start(t)
	send := sender(t, s.HTTP())
	cases := map[string]struct {
		kind, text string
		status     int // 0: any refusal
	}{
		"nothing":         {"", "", 0},
		"JSON":            {"application/json", `{"grant_type":"client_credentials"}`, 400},
		"multipart":       {"multipart/form-data; boundary=x", "--x--", 400},
		"bad escape":      {urlencoded, "grant_type=%zz", 400},
		"not UTF-8":       {urlencoded, "client_id=%ff%fe", 400},
		"NUL":             {urlencoded, "client_id=a%00b", 400},
		"repeated":        {urlencoded, "client_id=a&client_id=b", 400},
		"too large":       {urlencoded, "client_id=" + strings.Repeat("a", 100<<10), 413},
		"too many":        {urlencoded, strings.Repeat("a=b&", 500), 400},
		"unknown client":  {urlencoded, "grant_type=client_credentials&client_id=nobody&token=x&response_type=code", 401},
		"two methods":     {urlencoded, "client_id=a&client_secret=b&client_assertion=c", 400},
		"bad assertion":   {urlencoded, "client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer&client_assertion=a.b.c", 0},
		"assertion alone": {urlencoded, "client_assertion=a.b.c", 400},
	}
	for _, path := range []string{"/token", "/par", "/introspect", "/revoke"} {
		for name, c := range cases {
			resp, body := send(http.MethodPost, s.Issuer+path, c.kind, c.text)
			var e struct {
				Error string `json:"error"`
			}
			if resp.StatusCode < 400 || resp.StatusCode >= 500 || c.status != 0 && resp.StatusCode != c.status ||
				json.Unmarshal([]byte(body), &e) != nil || e.Error == "" || resp.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("POST %s, %s: %s %s", path, name, resp.Status, body)
			}
		}
		for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
			resp, body := send(method, s.Issuer+path, "", "")
			if resp.StatusCode != http.StatusMethodNotAllowed || !strings.Contains(resp.Header.Get("Allow"), http.MethodPost) {
				t.Errorf("%s %s: %s %s", method, path, resp.Status, body)
			}
		}
	}
	for _, path := range []string{"/login?i=short", "/login?i=" + strings.Repeat("a", 22), "/authorize?" + strings.Repeat("a", 20<<10), "/authorize/next?i=x", "/login/consent?i=x", "/nothing/here"} {
		resp, body := send(http.MethodGet, s.Issuer+path, "", "")
		if resp.StatusCode < 400 || resp.StatusCode >= 500 || !strings.Contains(body, `id="error-code"`) {
			t.Errorf("GET %.40s: %s", path, resp.Status)
		}
	}
	for _, path := range []string{"/login/password", "/login/passkey", "/login/cancel", "/login/consent"} {
		resp, body := send(http.MethodPost, s.Issuer+path, urlencoded, "i=aaaaaaaaaaaaaaaaaaaaaa&username=a&password=b&state=x&response={}")
		if resp.StatusCode < 400 || resp.StatusCode >= 500 || !strings.Contains(body, `id="error-code"`) {
			t.Errorf("POST %s without an interaction: %s", path, resp.Status)
		}
	}
	if resp, _ := send(http.MethodGet, s.Issuer+"/userinfo", "", ""); resp.StatusCode != http.StatusUnauthorized || resp.Header.Get("WWW-Authenticate") == "" {
		t.Errorf("userinfo without a token: %s", resp.Status)
	}
}
