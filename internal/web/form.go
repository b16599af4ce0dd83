package web

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/holdfast-iam/holdfast/oauth"
)

// Bounds on what a request may carry.
const (
	maxBody       = 64 << 10
	maxQuery      = 16 << 10
	maxParameters = 100
)

// Form reads the parameters of a POST: application/x-www-form-urlencoded, within bounds, each once but resource and
// audience (RFC 6749 §3.2, RFC 8707 §2, RFC 8693 §2.1). Parameters without a value are as if left out (§3.1). A
// query beside the body is refused, so that a secret never gets into an address.
func Form(r *http.Request) (url.Values, error) {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/x-www-form-urlencoded" {
		return nil, oauth.Refuse(oauth.InvalidRequest, "the body must be application/x-www-form-urlencoded")
	}
	if r.URL.RawQuery != "" {
		return nil, oauth.Refuse(oauth.InvalidRequest, "parameters belong into the body, not into the address")
	}
	body, err := ReadBody(r)
	if err != nil {
		return nil, err
	}
	return parseParameters(string(body))
}

// ReadBody reads the body within bounds.
func ReadBody(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxBody))
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return nil, oauth.Refuse(oauth.InvalidRequest, "the body is too large").WithStatus(http.StatusRequestEntityTooLarge)
	}
	if err != nil {
		return nil, oauth.Refuse(oauth.InvalidRequest, "the body could not be read").With(err)
	}
	return body, nil
}

// Query reads the parameters of the address under the same rules.
func Query(r *http.Request) (url.Values, error) {
	if len(r.URL.RawQuery) > maxQuery {
		return nil, oauth.Refuse(oauth.InvalidRequest, "the query is too long; push the request instead").WithStatus(http.StatusRequestURITooLong)
	}
	return parseParameters(r.URL.RawQuery)
}

func parseParameters(raw string) (url.Values, error) {
	if strings.Count(raw, "&") >= maxParameters {
		return nil, oauth.Refuse(oauth.InvalidRequest, "there are too many parameters")
	}
	all, err := url.ParseQuery(raw)
	if err != nil {
		return nil, oauth.Refuse(oauth.InvalidRequest, "the parameters are not properly encoded").With(err)
	}
	for name, values := range all {
		if len(values) > 1 && name != "resource" && name != "audience" {
			return nil, oauth.Refuse(oauth.InvalidRequest, "a parameter is given more than once")
		}
		if !isText(name) || !isText(strings.Join(values, "")) {
			return nil, oauth.Refuse(oauth.InvalidRequest, "a parameter is not valid text")
		}
		all[name] = slices.DeleteFunc(values, func(v string) bool { return v == "" })
		if len(all[name]) == 0 {
			delete(all, name)
		}
	}
	return all, nil
}

// isText says whether s is UTF-8 without a zero byte, which databases refuse.
func isText(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }
