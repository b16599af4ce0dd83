// Package discovery publishes what an issuer can do and the keys it signs with: RFC 8414 and OpenID Connect
// Discovery, one document at both well-known paths, and the JWK set (RFC 7517 §5).
//
// It knows nothing by itself. What it says is generated from the tables of what is on, so that the metadata cannot
// promise more than the server does; a document is prepared once for what it says and answered as bytes.
package discovery

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/web"
)

// cacheControl lets the documents be kept for five minutes; a new signing key is announced for longer than that
// before it signs.
const cacheControl = "public, max-age=300"

// Endpoints publishes one issuer.
type Endpoints struct {
	Offer
	Signing *keys.Signing
	// DetailTypes are the types of authorization details that APIs know just now (RFC 9396 §10); nil: there are none.
	DetailTypes func(ctx context.Context) ([]string, error)
}

// document is what is answered now, with its strong entity tag, quotes included.
type document func(ctx context.Context) (body []byte, etag string, err error)

// Mount adds the document of OpenID Connect Discovery §4 and the key set; the path of the issuer, if any, is taken off
// before.
func (e *Endpoints) Mount(mux *http.ServeMux) {
	mux.Handle("GET /.well-known/openid-configuration", serve(e.metadata()))
	mux.Handle("GET /jwks", serve(e.jwks))
}

// MountHost adds the document of RFC 8414 §3 to the mux of the whole host: the path of the issuer comes after the
// well-known part, so several issuers of one host lie beside each other.
func (e *Endpoints) MountHost(mux *http.ServeMux) {
	mux.Handle("GET /.well-known/oauth-authorization-server"+issuerPath(e.Issuer), serve(e.metadata()))
}

// prepared is a document with the one thing it says that changes while the server runs.
type prepared struct {
	types []string // of authorization details
	body  []byte
	etag  string
}

// metadata prepares the document anew only when the types of details have changed. While they cannot be found out it says
// what it said before.
func (e *Endpoints) metadata() document {
	var last atomic.Pointer[prepared]
	return func(ctx context.Context) ([]byte, string, error) {
		types, err := e.types(ctx)
		p := last.Load()
		switch {
		case p != nil && (err != nil || slices.Equal(p.types, types)):
			return p.body, p.etag, nil
		case err != nil:
			return nil, "", err
		}
		if p, err = e.prepare(types); err != nil {
			return nil, "", err
		}
		last.Store(p)
		return p.body, p.etag, nil
	}
}

func (e *Endpoints) types(ctx context.Context) ([]string, error) {
	if e.DetailTypes == nil {
		return nil, nil
	}
	return e.DetailTypes(ctx)
}

func (e *Endpoints) prepare(types []string) (*prepared, error) {
	m := e.Metadata()
	m.AuthorizationDetailsTypes = types
	body, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode metadata: %w", err)
	}
	sum := sha256.Sum256(body)
	return &prepared{types, body, `"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`}, nil
}

func (e *Endpoints) jwks(context.Context) ([]byte, string, error) {
	body, etag := e.Signing.JWKS()
	return body, etag, nil
}

// serve answers a document, or 304 to who has it already (RFC 9110 §13.1.2).
func serve(doc document) http.Handler {
	return web.Through(web.OAuthDoor, func(w http.ResponseWriter, r *http.Request) error {
		web.EventOf(r.Context()).Routine()
		body, etag, err := doc(r.Context())
		if err != nil {
			return err
		}
		h := w.Header()
		h.Set("Cache-Control", cacheControl)
		h.Set("ETag", etag)
		h.Set("Access-Control-Allow-Origin", "*") // pages read them too (Fetch §3.2)
		if matches(r.Header.Get("If-None-Match"), etag) {
			w.WriteHeader(http.StatusNotModified)
			return nil
		}
		h.Set("Content-Type", "application/json")
		h.Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body) // a caller that has gone cannot be told
		return nil
	})
}

// matches compares an If-None-Match with an entity tag, weakly (RFC 9110 §13.1.2).
func matches(header, etag string) bool {
	if header == "" {
		return false
	}
	for given := range strings.SplitSeq(header, ",") {
		given = strings.TrimPrefix(strings.TrimSpace(given), "W/")
		if given == etag || given == "*" {
			return true
		}
	}
	return false
}

// issuerPath is the path of an issuer identifier without a slash at its end: "" or "/name".
func issuerPath(issuer string) string {
	_, rest, _ := strings.Cut(issuer, "://")
	i := strings.IndexByte(rest, '/')
	if i < 0 {
		return ""
	}
	return strings.TrimSuffix(rest[i:], "/")
}
