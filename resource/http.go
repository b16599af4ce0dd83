package resource

import (
	"context"
	"errors"
	"net/http"

	"github.com/holdfast-iam/holdfast/oauth"
)

// Handler lets a request through to next if it carries a good token and the policy allows its caller, whom next finds with
// From. It answers everything else itself.
func (v *Verifier) Handler(p Policy, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, err := v.Verify(r.Context(), RequestOf(r))
		if err == nil {
			err = v.Authorize(p, who)
		}
		if err != nil {
			v.Refuse(w, r, err)
			return
		}
		if who.Scheme == oauth.TypeDPoP && v.Nonce() != "" && v.Nonce() != who.Proof.Nonce {
			w.Header().Set("DPoP-Nonce", v.Nonce()) // RFC 9449 §8.2: the next request need not be refused first
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), key{}, who)))
	})
}

// HandlerFunc is Handler for a function.
func (v *Verifier) HandlerFunc(p Policy, next func(http.ResponseWriter, *http.Request)) http.Handler {
	return v.Handler(p, http.HandlerFunc(next))
}

// Middleware is Handler in the shape that routers chain.
func (v *Verifier) Middleware(p Policy) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler { return v.Handler(p, next) }
}

// Refuse answers with an error of Verify or Authorize: the challenge, or 503 for anything else.
func (v *Verifier) Refuse(w http.ResponseWriter, r *http.Request, err error) {
	if v.config.Refused != nil {
		v.config.Refused(r, err)
	}
	if c, ok := errors.AsType[*Challenge](err); ok {
		c.Write(w)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Retry-After", "5")
	writeJSON(w, http.StatusServiceUnavailable, map[string]string{"error": string(oauth.TemporarilyUnavailable)})
}

type key struct{}

// From is the caller of a request that Handler let through; nil in a handler that stands behind none.
func From(ctx context.Context) *Principal {
	who, _ := ctx.Value(key{}).(*Principal)
	return who
}
