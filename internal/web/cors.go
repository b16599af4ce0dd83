package web

import (
	"context"
	"net/http"
	"slices"
)

// CORS lets pages of the origins that allows knows read what the given paths answer (Fetch §3.2). Others get the same
// answers without the header, so that their browser keeps it from them. No cookie is let through: these paths know none.
func CORS(next http.Handler, paths []string, allows func(ctx context.Context, origin string) (bool, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !slices.Contains(paths, r.URL.Path) {
			next.ServeHTTP(w, r)
			return
		}
		h := w.Header()
		h.Add("Vary", "Origin")
		origins := r.Header.Values("Origin")
		if len(origins) != 1 {
			next.ServeHTTP(w, r)
			return
		}
		allowed, err := allows(r.Context(), origins[0])
		if err != nil {
			Fail(OAuthDoor, w, r, err)
			return
		}
		if allowed {
			h.Set("Access-Control-Allow-Origin", origins[0])
			h.Set("Access-Control-Expose-Headers", "DPoP-Nonce, Retry-After, WWW-Authenticate, X-Request-Id")
		}
		if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
			next.ServeHTTP(w, r)
			return
		}
		if allowed {
			h.Set("Access-Control-Allow-Methods", "GET, POST")
			h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, DPoP")
			h.Set("Access-Control-Max-Age", "600") // seconds
		}
		w.WriteHeader(http.StatusNoContent)
	})
}
