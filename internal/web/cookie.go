package web

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"time"
)

// Names of the issuer's cookies. The prefix __Host- ties them to this host, to TLS and to the whole path.
const (
	SessionCookie     = "__Host-hf-s"
	InteractionCookie = "__Host-hf-i-" // followed by the first eight characters of the interaction's id
)

// SessionCookieAt is the name of the session's cookie at the issuer with this path, SessionCookie for the root.
// Issuers that share a host share its cookies, because __Host- needs Path=/: each has to have a name of its own.
func SessionCookieAt(path string) string {
	if path == "" {
		return SessionCookie
	}
	sum := sha256.Sum256([]byte(path))
	return SessionCookie + "-" + hex.EncodeToString(sum[:4])
}

// Sealer seals what a browser carries, bound to a name.
type Sealer interface {
	SealText(name string, plaintext []byte) string
	OpenText(name, sealed string) ([]byte, error)
}

// SetCookie sets one of the issuer's cookies: HttpOnly, Secure, and Lax, because single sign-on arrives from other
// sites. age 0 is a cookie that ends with the browser.
func SetCookie(w http.ResponseWriter, name, value string, age time.Duration) {
	http.SetCookie(w, cookie(name, value, int(age/time.Second)))
}

// ClearCookie removes a cookie, with the attributes it was set with, without which browsers keep it.
func ClearCookie(w http.ResponseWriter, name string) { http.SetCookie(w, cookie(name, "", -1)) }

func cookie(name, value string, age int) *http.Cookie {
	return &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: age, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode}
}

// Cookie is the value of a cookie, "" if there is none or it comes twice.
func Cookie(r *http.Request, name string) string {
	found := r.CookiesNamed(name)
	if len(found) != 1 {
		return ""
	}
	return found[0].Value
}

// CookiesWith lists the cookies whose name begins with prefix.
func CookiesWith(r *http.Request, prefix string) []*http.Cookie {
	var found []*http.Cookie
	for _, c := range r.Cookies() {
		if strings.HasPrefix(c.Name, prefix) {
			found = append(found, c)
		}
	}
	return found
}
