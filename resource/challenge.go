package resource

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-iam/holdfast/dpop"
	"github.com/holdfast-iam/holdfast/oauth"
)

// InsufficientUserAuthentication asks the client to have its user sign in again, or better (RFC 9470 §3).
const InsufficientUserAuthentication oauth.Code = "insufficient_user_authentication"

// Challenge is a refusal that tells the client what to do about it.
type Challenge struct {
	Status   int           // of the answer: 400, 401 or 403
	Code     oauth.Code    // "" where there were no credentials: then nothing was wrong yet (RFC 6750 §3.1)
	Detail   string        // error_description: for the developer of the client; never echoes input
	Scheme   string        // of the request: oauth.TypeBearer or oauth.TypeDPoP; "" where there was none
	Scopes   []string      // what the token needs
	ACR      []string      // how the user has to sign in: one of these (RFC 9470 §3)
	MaxAge   time.Duration // how long ago at most; 0 is no demand
	Nonce    string        // for the next proof, header DPoP-Nonce (RFC 9449 §8)
	Metadata string        // URL of the metadata of this API (RFC 9728 §5.1)
	Err      error         // the cause, for the log only
}

// Error is for the log: code, description and cause.
func (c *Challenge) Error() string {
	s := string(c.Code)
	if s == "" {
		s = "no credentials"
	}
	if c.Detail != "" {
		s += ": " + c.Detail
	}
	if c.Err != nil {
		s += ": " + c.Err.Error()
	}
	return s
}

// Unwrap gives the cause.
func (c *Challenge) Unwrap() error { return c.Err }

// Header gives the lines of WWW-Authenticate. The error stands in the scheme that the request used; without credentials
// both schemes are offered, and a client that came with Bearer learns that there is DPoP.
func (c *Challenge) Header() []string {
	if c.Code == oauth.AccessDenied {
		return nil // no token of this caller would do
	}
	offer := []string{param("algs", algorithms())}
	if c.Metadata != "" {
		offer = append(offer, param("resource_metadata", c.Metadata))
	}
	if c.Scheme == oauth.TypeDPoP {
		return []string{oauth.TypeDPoP + " " + strings.Join(append(c.params(), offer...), ", ")}
	}
	bearer := strings.TrimSpace(oauth.TypeBearer + " " + strings.Join(append(c.params(), offer[1:]...), ", "))
	if c.Status != http.StatusUnauthorized {
		return []string{bearer}
	}
	return []string{bearer, oauth.TypeDPoP + " " + strings.Join(offer, ", ")}
}

func (c *Challenge) params() []string {
	var p []string
	add := func(name, value string) {
		if value != "" {
			p = append(p, param(name, value))
		}
	}
	if c.Code != "" {
		add("error", string(c.Code))
		add("error_description", c.Detail)
	}
	add("scope", strings.Join(c.Scopes, " "))
	add("acr_values", strings.Join(c.ACR, " "))
	if c.MaxAge > 0 {
		add("max_age", strconv.FormatInt(int64(c.MaxAge/time.Second), 10))
	}
	return p
}

// Write answers a request with the challenge.
func (c *Challenge) Write(w http.ResponseWriter) {
	h := w.Header()
	h.Del("WWW-Authenticate")
	for _, line := range c.Header() {
		h.Add("WWW-Authenticate", line)
	}
	if c.Nonce != "" {
		h.Set("DPoP-Nonce", c.Nonce)
	}
	h.Set("Cache-Control", "no-store")
	if c.Code == "" {
		w.WriteHeader(c.Status)
		return
	}
	writeJSON(w, c.Status, map[string]string{"error": string(c.Code), "error_description": c.Detail})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client may be gone
}

// param is one auth-param with a quoted string (RFC 9110 §11.2, §5.6.4).
func param(name, value string) string {
	return name + `="` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value) + `"`
}

func algorithms() string {
	names := make([]string, len(dpop.Algorithms))
	for i, a := range dpop.Algorithms {
		names[i] = string(a)
	}
	return strings.Join(names, " ")
}

func (v *Verifier) refuse(code oauth.Code, detail string, cause error) *Challenge {
	c := &Challenge{Status: http.StatusUnauthorized, Code: code, Detail: detail, Metadata: v.metadata, Err: cause}
	switch code {
	case oauth.InvalidRequest:
		c.Status = http.StatusBadRequest
	case oauth.InsufficientScope, oauth.AccessDenied:
		c.Status = http.StatusForbidden
	case oauth.UseDPoPNonce:
		c.Nonce = v.Nonce()
	}
	return c
}

// unknown is the answer to a request without credentials this API knows.
func (v *Verifier) unknown() *Challenge {
	return &Challenge{Status: http.StatusUnauthorized, Metadata: v.metadata}
}

// Nonce is the DPoP nonce to hand out now; "" where none are asked for.
func (v *Verifier) Nonce() string {
	if v.config.Nonces == nil {
		return ""
	}
	return v.config.Nonces.Current(v.config.Now())
}

// scheme puts the scheme of the request into a challenge.
func (c Credentials) scheme(err error) error {
	if challenge, ok := errors.AsType[*Challenge](err); ok {
		challenge.Scheme = c.Scheme
	}
	return err
}
