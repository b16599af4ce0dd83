// Command orders is an API of a shop: who may read or place orders is decided by access tokens that package resource
// checks. The lines that protect it stand between the two marks.
//
//	orders -listen :8443 -cert tls.crt -key tls.key -issuer https://login.example.com -audience https://orders.example.com
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/holdfast-iam/holdfast/resource"
)

func main() {
	var listen, cert, key, issuer, audience, roots string
	flag.StringVar(&listen, "listen", ":8443", "address to listen on")
	flag.StringVar(&cert, "cert", "tls.crt", "certificate of this API, PEM")
	flag.StringVar(&key, "key", "tls.key", "its private key, PEM")
	flag.StringVar(&issuer, "issuer", "", "issuer of the access tokens")
	flag.StringVar(&audience, "audience", "", "resource identifier of this API")
	flag.StringVar(&roots, "roots", "", "PEM file of a certificate authority to trust besides those of the system")
	flag.Parse()
	transport, err := trusting(roots)
	if err == nil {
		err = serve(listen, cert, key, resource.Config{Issuers: []string{issuer}, Audience: audience, Transport: transport})
	}
	fmt.Fprintln(os.Stderr, "orders:", err)
	os.Exit(1)
}

// routes is the whole API.
func routes(ctx context.Context, c resource.Config) (http.Handler, error) {
	mux := http.NewServeMux()
	// protection
	v, err := resource.New(ctx, c)
	if err != nil {
		return nil, err
	}
	mux.Handle("GET "+v.MetadataPath(), v.MetadataHandler())
	mux.Handle("GET /orders", v.HandlerFunc(resource.Scopes("orders.read"), list))
	mux.Handle("POST /orders", v.HandlerFunc(resource.Scopes("orders.write"), place))
	// end of protection
	return mux, nil
}

func list(w http.ResponseWriter, r *http.Request) {
	write(w, http.StatusOK, map[string]any{"customer": resource.From(r.Context()).Subject, "orders": []int{7, 12}})
}

func place(w http.ResponseWriter, r *http.Request) {
	write(w, http.StatusCreated, map[string]any{"customer": resource.From(r.Context()).Subject, "order": 13})
}

func write(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client may be gone
}

func serve(listen, cert, key string, c resource.Config) error {
	handler, err := routes(context.Background(), c)
	if err != nil {
		return err
	}
	server := &http.Server{
		Addr: listen, Handler: handler, ReadHeaderTimeout: 10 * time.Second,
		// Any certificate will do: the one the token is bound to is what counts.
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS13, ClientAuth: tls.RequestClientCert},
	}
	return server.ListenAndServeTLS(cert, key)
}

// trusting is a way to issuers whose certificate the system does not know.
func trusting(roots string) (http.RoundTripper, error) {
	if roots == "" {
		return http.DefaultTransport, nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, err
	}
	pem, err := os.ReadFile(roots)
	if err != nil {
		return nil, err
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New("no certificate in " + roots)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: pool}
	return transport, nil
}
