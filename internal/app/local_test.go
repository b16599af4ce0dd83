package app_test

import (
	"context"
	"crypto/x509"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/holdfast-iam/holdfast/internal/app"
)

func TestLocalCarriesARequest(t *testing.T) {
	certificate := &x509.Certificate{Raw: []byte("leaf")}
	seen := make(chan *http.Request, 1)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen <- r
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusTeapot)
		w.Header().Set("Too-Late", "1")
		_, _ = w.Write(body) // a buffer
	})
	client := &http.Client{Transport: &app.Local{Handler: handler, Certificate: func() *x509.Certificate { return certificate }}}
	resp, err := client.Post("https://login.example.test/token?x=1", "text/plain", strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusTeapot || string(body) != "hello" || resp.Header.Get("Content-Type") != "application/json" {
		t.Errorf("answer is %s %q %v", resp.Status, body, resp.Header)
	}
	if resp.Header.Get("Too-Late") != "" {
		t.Error("a header set after the status was sent")
	}
	r := <-seen
	if r.RequestURI != "/token?x=1" || r.Host != "login.example.test" || r.TLS.ServerName != "login.example.test" {
		t.Errorf("the handler saw %s at %s (%s)", r.RequestURI, r.Host, r.TLS.ServerName)
	}
	if len(r.TLS.PeerCertificates) != 1 || r.TLS.PeerCertificates[0] != certificate {
		t.Error("the certificate did not arrive")
	}
}

func TestLocalIsNotAskedInVain(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	handler := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the handler was called") })
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://login.example.test/jwks", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (&app.Local{Handler: handler}).RoundTrip(r); err == nil {
		t.Error("an ended request was answered")
	}
}
