package main

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/holdfast-iam/holdfast/dpop"
	"github.com/holdfast-iam/holdfast/resource"
	"github.com/holdfast-iam/holdfast/resource/resourcetest"
)

// The table of forged tokens is sent to the API as it is.
func TestOrdersRefusesForgeries(t *testing.T) {
	issuer := resourcetest.NewIssuer(t, nil)
	api, err := routes(t.Context(), issuer.Config("https://orders.example.com"))
	if err != nil {
		t.Fatal(err)
	}
	resourcetest.Attack(t, api, issuer, resourcetest.Target{
		URL: "https://orders.example.com/orders", Audience: "https://orders.example.com", Claims: resourcetest.Claims{"scope": "orders.read"},
	})
}

// A client with a DPoP key and one with a certificate use it over TLS.
func TestOrdersOverTLS(t *testing.T) {
	issuer := resourcetest.NewIssuer(t, nil)
	client := resourcetest.NewClient(t)
	mux := http.NewServeMux()
	server := httptest.NewUnstartedServer(mux)
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	server.StartTLS()
	t.Cleanup(server.Close)
	handler, err := routes(t.Context(), issuer.Config(server.URL))
	if err != nil {
		t.Fatal(err)
	}
	mux.Handle("/", handler)
	claims := issuer.Claims(server.URL).With("scope", "orders.read")

	base := server.Client().Transport.(*http.Transport)
	base.TLSClientConfig.Certificates = []tls.Certificate{client.KeyPair}
	proving := &http.Client{Transport: &dpop.Transport{
		Signer: client.Signer, Base: base,
		Token: func(context.Context) (string, error) { return issuer.Sign(client.BoundToKey(claims)), nil },
	}}
	for _, c := range []struct {
		name, method, token string
		client              *http.Client
		want                int
	}{
		{"DPoP", "GET", "", proving, http.StatusOK},
		{"certificate", "GET", issuer.Sign(client.BoundToCertificate(claims)), server.Client(), http.StatusOK},
		{"certificate of another", "GET", issuer.Sign(resourcetest.NewClient(t).BoundToCertificate(claims)), server.Client(), http.StatusUnauthorized},
		{"too little scope", "POST", "", proving, http.StatusForbidden},
		{"nothing", "GET", "", server.Client(), http.StatusUnauthorized},
	} {
		r, err := http.NewRequestWithContext(t.Context(), c.method, server.URL+"/orders", nil)
		if err != nil {
			t.Fatal(err)
		}
		if c.token != "" {
			r.Header.Set("Authorization", "Bearer "+c.token)
		}
		resp, err := c.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != c.want || c.want == http.StatusOK && !strings.Contains(string(body), `"customer":"alice"`) {
			t.Errorf("%s: %d %s %v, want %d", c.name, resp.StatusCode, body, err, c.want)
		}
	}
}

func TestOrdersNeedsAnAudience(t *testing.T) {
	if _, err := routes(t.Context(), resource.Config{Issuers: []string{"https://login.example.com"}}); err == nil {
		t.Error("started without an audience")
	}
}
