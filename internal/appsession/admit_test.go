package appsession_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-iam/holdfast/internal/appsession"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/oauth"
)

func TestAdmit(t *testing.T) {
	const header, one = "Token-Handler-Version", "1"
	socket := []string{"Connection", "keep-alive, Upgrade", "Upgrade", "websocket"}
	for name, tc := range map[string]struct {
		method  string
		headers []string
		want    oauth.Code // "": admitted
	}{
		"same origin GET":            {"GET", []string{header, one, "Sec-Fetch-Site", "same-origin"}, ""},
		"CORS GET":                   {"GET", []string{header, one, "Origin", origin, "Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "cors"}, ""},
		"POST":                       {"POST", []string{header, one, "Origin", origin}, ""},
		"POST of the second origin":  {"POST", []string{header, one, "Origin", "https://second.example"}, ""},
		"the other header":           {"POST", []string{"X-CSRF", one, "Origin", origin}, ""},
		"no header, GET":             {"GET", []string{"Origin", origin}, web.MissingCustomHeader},
		"no header, HEAD":            {"HEAD", nil, web.MissingCustomHeader},
		"no header, OPTIONS":         {"OPTIONS", []string{"Origin", origin}, web.MissingCustomHeader},
		"no header, POST":            {"POST", []string{"Origin", origin}, web.MissingCustomHeader},
		"another version":            {"GET", []string{header, "2"}, web.MissingCustomHeader},
		"the header twice":           {"GET", []string{header, one, header, one}, web.MissingCustomHeader},
		"POST without Origin":        {"POST", []string{header, one}, web.UntrustedOrigin},
		"DELETE without Origin":      {"DELETE", []string{header, one}, web.UntrustedOrigin},
		"PROPFIND without Origin":    {"PROPFIND", []string{header, one}, web.UntrustedOrigin},
		"get is not GET":             {"get", []string{header, one}, web.UntrustedOrigin},
		"a sibling":                  {"POST", []string{header, one, "Origin", "https://evil.example"}, web.UntrustedOrigin},
		"a sibling's GET":            {"GET", []string{header, one, "Origin", "https://evil.example"}, web.UntrustedOrigin},
		"another port":               {"POST", []string{header, one, "Origin", origin + ":8443"}, web.UntrustedOrigin},
		"http":                       {"POST", []string{header, one, "Origin", "http://app.example"}, web.UntrustedOrigin},
		"a longer host":              {"POST", []string{header, one, "Origin", origin + ".evil.example"}, web.UntrustedOrigin},
		"null":                       {"POST", []string{header, one, "Origin", "null"}, web.UntrustedOrigin},
		"an empty Origin":            {"POST", []string{header, one, "Origin", ""}, web.UntrustedOrigin},
		"two Origins":                {"POST", []string{header, one, "Origin", origin, "Origin", origin}, web.UntrustedOrigin},
		"a cross-site GET":           {"GET", []string{header, one, "Sec-Fetch-Site", "cross-site"}, web.UntrustedOrigin},
		"the address bar":            {"GET", []string{header, one, "Sec-Fetch-Site", "none"}, web.UntrustedOrigin},
		"a navigation":               {"GET", []string{header, one, "Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "navigate"}, web.UntrustedOrigin},
		"no-cors":                    {"GET", []string{header, one, "Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "no-cors"}, web.UntrustedOrigin},
		"WebSocket":                  {"GET", append([]string{"Origin", origin}, socket...), ""},
		"WebSocket without Origin":   {"GET", append([]string{header, one}, socket...), web.UntrustedOrigin},
		"WebSocket of a sibling":     {"GET", append([]string{"Origin", "https://evil.example"}, socket...), web.UntrustedOrigin},
		"a POST that says WebSocket": {"POST", append([]string{"Origin", origin}, socket...), web.MissingCustomHeader},
		"Upgrade to something else":  {"GET", []string{"Origin", origin, "Connection", "Upgrade", "Upgrade", "h2c"}, web.MissingCustomHeader},
	} {
		t.Run(name, func(t *testing.T) {
			err := appsession.Admit(request(tc.method, tc.headers...), application("demo"))
			e, _ := errors.AsType[*oauth.Error](err)
			if tc.want == "" && err != nil || tc.want != "" && (e == nil || e.Code != tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestCORS(t *testing.T) {
	app := application("demo")
	app.CustomHeader = "x-th"
	preflight := []string{"Access-Control-Request-Method", "GET", "Access-Control-Request-Headers", "X-TH,If-Match, bad header,x-csrf"}
	for name, tc := range map[string]struct {
		method  string
		headers []string
		origin  string // allowed
		status  int    // 0: not answered
	}{
		"request":                    {"GET", []string{"Origin", origin}, origin, 0},
		"request without Origin":     {"GET", nil, "", 0},
		"request of a sibling":       {"GET", []string{"Origin", "https://evil.example"}, "", 0},
		"preflight":                  {"OPTIONS", append([]string{"Origin", origin}, preflight...), origin, 204},
		"preflight of a sibling":     {"OPTIONS", append([]string{"Origin", "https://evil.example"}, preflight...), "", 403},
		"OPTIONS that is none":       {"OPTIONS", []string{"Origin", origin}, origin, 0},
		"preflight with two Origins": {"OPTIONS", append([]string{"Origin", origin, "Origin", origin}, preflight...), "", 403},
	} {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			answered := appsession.CORS(w, request(tc.method, tc.headers...), app, http.MethodGet, http.MethodDelete)
			h := w.Header()
			credentials := ""
			if tc.origin != "" {
				credentials = "true"
			}
			if answered != (tc.status != 0) || answered && w.Code != tc.status || h.Get("Access-Control-Allow-Origin") != tc.origin ||
				h.Get("Access-Control-Allow-Credentials") != credentials || !slices.Contains(h.Values("Vary"), "Origin") {
				t.Errorf("%v %d %v", answered, w.Code, h)
			}
			allowed := h.Get("Access-Control-Allow-Methods") + ": " + h.Get("Access-Control-Allow-Headers")
			if tc.status == 204 && allowed != "GET, DELETE: x-th, x-csrf, content-type, if-match" {
				t.Errorf("allowed %q", allowed)
			}
			if tc.status != 204 && allowed != ": " {
				t.Errorf("allowed %q", allowed)
			}
		})
	}
}

func FuzzCORS(f *testing.F) {
	f.Add(origin, "token-handler-version, content-type")
	f.Add("null", "x,,\x00y")
	f.Fuzz(func(t *testing.T, from, headers string) {
		w := httptest.NewRecorder()
		appsession.CORS(w, request("OPTIONS", "Origin", from, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", headers), application("demo"))
		if got := w.Header().Get("Access-Control-Allow-Origin"); got != "" && got != origin && got != "https://second.example" {
			t.Errorf("allowed %q", got)
		}
		if strings.Trim(w.Header().Get("Access-Control-Allow-Headers"), "abcdefghijklmnopqrstuvwxyz0123456789-_, ") != "" {
			t.Errorf("echoed %q", headers)
		}
	})
}
