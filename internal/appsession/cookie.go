package appsession

import (
	"net/http"
	"time"

	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/web"
)

// maxCookie is how long name and value of a cookie may be together; browsers drop what is longer without a word
// (RFC 6265bis §5.6).
const maxCookie = 4096

// CookieName is the name of the cookie that holds a session of the application: __Host-Http-hf-<app>-s.
func CookieName(app *objects.Application) string { return app.CookieName("s") }

// AccessCookieName is the name of the cookie that holds what use changes of a session that the browser carries:
// __Host-Http-hf-<app>-a.
func AccessCookieName(app *objects.Application) string { return app.CookieName("a") }

// LoginCookiePrefix begins the names of the cookies that hold the application's logins; 8 characters follow.
func LoginCookiePrefix(app *objects.Application) string { return app.CookieName("l-") }

// Shown is what a browser shows of its session, for Open; "" if that is nothing, or a cookie comes twice.
func Shown(r *http.Request, app *objects.Application) string {
	shown := web.Cookie(r, CookieName(app))
	if !app.Stateless() || shown == "" {
		return shown
	}
	return shown + separator + web.Cookie(r, AccessCookieName(app))
}

const separator = "." // of two cookies, which are base64url

// SealCookie seals a value for one cookie of one application of this tenant. It opens nowhere else.
func (s *Sessions) SealCookie(app *objects.Application, name string, value []byte) string {
	return s.Ring.SealText(s.cookiePlace(app, name), value)
}

// OpenCookie opens what SealCookie made for the same place.
func (s *Sessions) OpenCookie(app *objects.Application, name, sealed string) (value []byte, ok bool) {
	if sealed == "" || len(name)+len(sealed) > maxCookie {
		return nil, false
	}
	value, err := s.Ring.OpenText(s.cookiePlace(app, name), sealed)
	return value, err == nil
}

func (s *Sessions) cookiePlace(app *objects.Application, name string) string {
	return "app cookie\x00" + s.DB.Tenant() + "\x00" + app.Name + "\x00" + name
}

func (s *Sessions) openCookie(app *objects.Application, sealed string) (id string, secret keys.Secret, ok bool) {
	handle, ok := s.OpenCookie(app, CookieName(app), sealed)
	if !ok {
		return "", "", false
	}
	id, text, ok := keys.SplitHandle(string(handle))
	return id, keys.Secret(text), ok
}

// SetCookie gives the browser its session. The cookies end with the browser, the session by itself. A *oauth.Error
// refuses what the browser cannot carry.
func (s *Sessions) SetCookie(w http.ResponseWriter, app *objects.Application, v *Session) error {
	if !app.Stateless() {
		handle := keys.Handle(v.Record.ID, v.secret)
		SetCookie(w, app, CookieName(app), s.SealCookie(app, CookieName(app), []byte(handle)), 0)
		return nil
	}
	value, err := s.sealCarried(app, v)
	if err != nil {
		return err
	}
	SetCookie(w, app, CookieName(app), value, 0)
	return s.setAccessCookie(w, app, v)
}

func (s *Sessions) setAccessCookie(w http.ResponseWriter, app *objects.Application, v *Session) error {
	value, err := s.sealAccess(app, v)
	if err == nil {
		SetCookie(w, app, AccessCookieName(app), value, 0)
	}
	return err
}

// ClearSession takes the session away from the browser that sent r.
func ClearSession(w http.ResponseWriter, r *http.Request, app *objects.Application) {
	for _, name := range []string{CookieName(app), AccessCookieName(app)} {
		if len(r.CookiesNamed(name)) > 0 {
			ClearCookie(w, app, name)
		}
	}
}

// SetCookie sets a cookie of an application: for this host alone unless the tenant says otherwise, out of reach for
// scripts, and never sent along from another site. age 0 ends it with the browser.
func SetCookie(w http.ResponseWriter, app *objects.Application, name, value string, age time.Duration) {
	http.SetCookie(w, cookie(app, name, value, int(age/time.Second)))
}

// ClearCookie removes a cookie, with the attributes it was set with: browsers keep it otherwise.
func ClearCookie(w http.ResponseWriter, app *objects.Application, name string) {
	http.SetCookie(w, cookie(app, name, "", -1))
}

func cookie(app *objects.Application, name, value string, age int) *http.Cookie {
	return &http.Cookie{
		Name: name, Value: value, Path: "/", Domain: app.CookieDomain, MaxAge: age, Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode,
	}
}
