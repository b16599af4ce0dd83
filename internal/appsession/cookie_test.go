package appsession_test

import (
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/holdfast-iam/holdfast/internal/appsession"
)

// TestSwappedCookiesNeverOpen puts the value of one cookie under the name of another, of the same application or of
// another one.
func TestSwappedCookiesNeverOpen(t *testing.T) {
	r := newRig(t)
	apps := []string{"a", "b", "a-b", "demo", "back-office"}
	kinds := []string{"-s", "-l-abcdefgh", "-l-12345678", "-l-", "-a"}
	rapid.Check(t, func(rt *rapid.T) {
		one, two := application(rapid.SampledFrom(apps).Draw(rt, "app")), application(rapid.SampledFrom(apps).Draw(rt, "other app"))
		if rapid.Bool().Draw(rt, "prefix") {
			two.CookiePrefix = "__Host-"
		}
		name := one.CookiePrefix + "hf-" + one.Name + rapid.SampledFrom(kinds).Draw(rt, "kind")
		other := two.CookiePrefix + "hf-" + two.Name + rapid.SampledFrom(kinds).Draw(rt, "other kind")
		value := rapid.SliceOfN(rapid.Byte(), 0, 64).Draw(rt, "value")
		sealed := r.SealCookie(one, name, value)
		if got, ok := r.OpenCookie(one, name, sealed); !ok || !slices.Equal(got, value) {
			rt.Fatal("it does not open where it belongs")
		}
		if one.Name == two.Name && name == other {
			return
		}
		for _, where := range []struct {
			app  string
			name string
		}{{two.Name, other}, {one.Name, other}, {two.Name, name}} {
			if where.app == one.Name && where.name == name {
				continue
			}
			if _, ok := r.OpenCookie(application(where.app), where.name, sealed); ok {
				rt.Fatalf("%s of %s opens as %s of %s", name, one.Name, where.name, where.app)
			}
		}
	})
}

func FuzzCookie(f *testing.F) {
	r, app := newRig(f), application("demo")
	_, cookie := r.begin(f, app)
	f.Add(cookie)
	f.Add("")
	f.Add(cookie[:len(cookie)-1])
	f.Add(r.SealCookie(app, appsession.CookieName(app), []byte("a.b")))
	f.Add(r.SealCookie(app, appsession.CookieName(app), []byte("no handle")))
	f.Fuzz(func(t *testing.T, value string) {
		_, err := r.Open(t.Context(), app, value)
		if value == cookie && err != nil || value != cookie && !errors.Is(err, appsession.ErrNone) {
			t.Errorf("%q: %v", value, err)
		}
	})
}
