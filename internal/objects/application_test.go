package objects_test

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
	"github.com/holdfast-iam/holdfast/jose"
)

func appKey(t testing.TB) (key jose.Key, jwk json.RawMessage) {
	t.Helper()
	key, err := jose.GenerateKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	if jwk, err = key.MarshalJSON(); err != nil {
		t.Fatal(err)
	}
	return key, jwk
}

func application(jwk json.RawMessage, edit func(map[string]any)) objects.Document {
	members := map[string]any{
		"name": "demo", "client_id": "spa", "key": jwk, "origins": []string{"https://app.example:8443"},
		"redirect_uri": "https://app.example:8443/callback",
	}
	if edit != nil {
		edit(members)
	}
	maps.DeleteFunc(members, func(_ string, v any) bool { return v == nil })
	body, _ := json.Marshal(members)
	return objects.Document{Kind: objects.KindApplication, Body: body}
}

func TestApplicationIsChecked(t *testing.T) {
	_, jwk := appKey(t)
	set := func(name string, v any) func(map[string]any) { return func(m map[string]any) { m[name] = v } }
	for name, tc := range map[string]struct {
		edit func(map[string]any)
		path string // "": accepted
	}{
		"right":        {nil, ""},
		"with hyphens": {set("name", "back-office-2"), ""},
		"__Host-":      {set("cookie_prefix", "__Host-"), ""},
		"server":       {set("session_storage", "server"), ""},
		"stateless":    {set("session_storage", "stateless"), ""},
		"nowhere":      {set("session_storage", "none"), "session_storage"},
		"a loopback page": {func(m map[string]any) {
			m["origins"], m["redirect_uri"] = []string{"http://localhost:3000"}, "http://localhost:3000/"
		}, ""},
		"extra parameters":              {set("extra_parameters", []string{"login_hint", "prompt", "max_age"}), ""},
		"no name":                       {set("name", nil), "name"},
		"upper case":                    {set("name", "Demo"), "name"},
		"a dot":                         {set("name", "demo.x"), "name"},
		"could be a login of another":   {set("name", "demo-l-abcdefgh"), "name"},
		"could be a session of another": {set("name", "demo-s"), "name"},
		"too long":                      {set("name", strings.Repeat("a", 33)), "name"},
		"no client":                     {set("client_id", nil), "client_id"},
		"no key":                        {set("key", nil), "key"},
		"a public key":                  {set("key", json.RawMessage(`{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`)), "key"},
		"a shared secret":               {set("key", json.RawMessage(`{"kty":"oct","k":"AAAA"}`)), "key"},
		"no origin":                     {set("origins", nil), "origins"},
		"an origin with a path":         {set("origins", []string{"https://app.example:8443/"}), "origins[0]"},
		"an origin with a default port": {set("origins", []string{"https://app.example:443"}), "origins[0]"},
		"an origin in upper case":       {set("origins", []string{"https://App.example:8443"}), "origins[0]"},
		"null":                          {set("origins", []string{"null"}), "origins[0]"},
		"a wildcard":                    {set("origins", []string{"*"}), "origins[0]"},
		"a plain origin":                {set("origins", []string{"http://app.example"}), "origins[0]"},
		"twice":                         {set("origins", []string{"https://app.example:8443", "https://app.example:8443"}), "origins[1]"},
		"a page of another origin":      {set("redirect_uri", "https://app.example/callback"), "redirect_uri"},
		"a page with a like origin":     {set("redirect_uri", "https://app.example.evil.example:8443/"), "redirect_uri"},
		"a foreign issuer without TLS":  {set("issuer", "http://login.other.example"), "issuer"},
		"RFC9700 redirect_uri":          {set("extra_parameters", []string{"redirect_uri"}), "extra_parameters[0]"},
		"client_id":                     {set("extra_parameters", []string{"client_id"}), "extra_parameters[0]"},
		"client_assertion":              {set("extra_parameters", []string{"client_assertion"}), "extra_parameters[0]"},
		"response_type":                 {set("extra_parameters", []string{"response_type"}), "extra_parameters[0]"},
		"code_challenge_method":         {set("extra_parameters", []string{"code_challenge_method"}), "extra_parameters[0]"},
		"request_uri":                   {set("extra_parameters", []string{"request_uri"}), "extra_parameters[0]"},
		"state":                         {set("extra_parameters", []string{"prompt", "state"}), "extra_parameters[1]"},
		"nonce":                         {set("extra_parameters", []string{"nonce"}), "extra_parameters[0]"},
		"a parameter in upper case":     {set("extra_parameters", []string{"Request"}), "extra_parameters[0]"},
		"a cookie without a prefix":     {set("cookie_prefix", "none"), ""},
		"a cookie with another prefix":  {set("cookie_prefix", "th-"), "cookie_prefix"},
		"a header that proves nothing":  {set("custom_header", "accept"), "custom_header"},
		"a header that is none":         {set("custom_header", "X Y"), "custom_header"},
		"idle longer than absolute":     {func(m map[string]any) { m["idle"], m["absolute"] = 7200, 3600 }, "idle"},
		"absolute of a year":            {set("absolute", 365*24*3600), "absolute"},
	} {
		t.Run(name, func(t *testing.T) {
			var paths []string
			for _, p := range objects.Validate(application(jwk, tc.edit)) {
				if !p.Warning {
					paths = append(paths, p.Path)
				}
			}
			// What has no origin has no page of it either, which is said too.
			if tc.path == "" && len(paths) > 0 || tc.path != "" && (len(paths) == 0 || paths[0] != tc.path) {
				t.Errorf("problems at %q, want %q", paths, tc.path)
			}
		})
	}
}

func TestKeyOfApplicationIsSealed(t *testing.T) {
	db, ring := storetest.Open(t).For("acme"), keys.NewRing()
	key, jwk := appKey(t)
	_, other := appKey(t)
	apply := func(d objects.Document) (r objects.Report) {
		t.Helper()
		if err := db.Write(t.Context(), func(tx *store.Tx) (err error) {
			r, err = objects.Import(tx, ring, objects.ManagedByFile, []objects.Document{d})
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return r
	}
	load := func() (o store.Object, app *objects.Application) {
		t.Helper()
		err := db.Read(t.Context(), func(tx *store.Tx) (err error) {
			o, err = tx.Object(objects.KindApplication, "demo")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if app, err = objects.New(db).Application(t.Context(), "demo"); err != nil {
			t.Fatal(err)
		}
		return o, app
	}
	is := func(app *objects.Application, want jose.Key) {
		t.Helper()
		if k, err := app.SigningKey(ring); err != nil || k.Thumbprint() != want.Thumbprint() || !k.IsPrivate() {
			t.Errorf("key %v, %v", k, err)
		}
	}
	if r := apply(application(jwk, nil)); len(r.Created) != 1 {
		t.Errorf("first: %+v", r)
	}
	o, app := load()
	is(app, key)
	var private struct{ D string }
	if err := json.Unmarshal(jwk, &private); err != nil || private.D == "" || strings.Contains(string(o.Body), private.D) {
		t.Error("the private key is stored as it is")
	}
	if app.CookiePrefix != "__Host-Http-" || app.CustomHeader != "token-handler-version" || app.Scope != "openid" || app.Idle != 8*3600 || app.Absolute != 24*3600 || app.Stateless() {
		t.Errorf("defaults %+v", app)
	}
	shown, err := objects.Public(o)
	if err != nil || strings.Contains(string(shown), "sealed_key") || strings.Contains(string(shown), `"d"`) || !strings.Contains(string(shown), "public_key") {
		t.Errorf("shown %s, %v", shown, err)
	}

	for what, d := range map[string]objects.Document{"the same": application(jwk, nil), "without a key": application(nil, func(m map[string]any) { delete(m, "key") })} {
		if r := apply(d); len(r.Unchanged) != 1 {
			t.Errorf("%s: %+v", what, r)
		}
	}
	if r := apply(application(other, nil)); len(r.Updated) != 1 {
		t.Errorf("another key: %+v", r)
	}
	apply(application(jwk, nil))

	testKeyOpensNowhereElse(t, ring, app)
}

// TestChosenWeaknessesOfApplicationsAreSaid reads what is said of documents that are accepted.
func TestChosenWeaknessesOfApplicationsAreSaid(t *testing.T) {
	_, jwk := appKey(t)
	for member, value := range map[string]any{"session_storage": "stateless", "allow_bearer_tokens": true, "cookie_prefix": "none"} {
		problems := objects.Validate(application(jwk, func(m map[string]any) { m[member] = value }))
		if len(problems) != 1 || !problems[0].Warning || problems[0].Path != member || problems[0].Remedy == "" {
			t.Errorf("%s: %v", member, problems)
		}
	}
}

// TestCookieNames has a tenant share cookies with the hosts of a domain, with which no prefix goes together.
func TestCookieNames(t *testing.T) {
	db, ring := storetest.Open(t).For("acme"), keys.NewRing()
	_, jwk := appKey(t)
	for _, tc := range []struct{ prefix, domain, name string }{
		{"", "", "__Host-Http-hf-demo-s"}, {"__Host-", "", "__Host-hf-demo-s"}, {"none", "", "hf-demo-s"},
		{"", "app.example", "hf-demo-s"}, {"__Host-", "app.example", "hf-demo-s"},
	} {
		d := application(jwk, func(m map[string]any) { m["cookie_prefix"] = tc.prefix })
		if err := db.Write(t.Context(), func(tx *store.Tx) error {
			_, err := objects.Import(tx, ring, objects.ManagedByFile, []objects.Document{d})
			return err
		}); err != nil {
			t.Fatal(err)
		}
		r := objects.New(db)
		r.CookieDomain = tc.domain
		app, err := r.Application(t.Context(), "demo")
		if err != nil || app.CookieName("s") != tc.name || app.CookieDomain != tc.domain {
			t.Errorf("%+v: %s, %s, %v", tc, app.CookieName("s"), app.CookieDomain, err)
		}
	}
}

// testKeyOpensNowhereElse copies the sealed key to another place.
func testKeyOpensNowhereElse(t *testing.T, ring *keys.Ring, app *objects.Application) {
	renamed := *app
	renamed.Name = "other"
	if _, err := renamed.SigningKey(ring); err == nil {
		t.Error("the key opens for another application")
	}
	if _, err := app.SigningKey(keys.NewRing()); err == nil {
		t.Error("the key opens with another ring")
	}
}

func TestApplicationAllows(t *testing.T) {
	app := objects.Application{Origins: []string{"https://app.example"}, ExtraParameters: []string{"prompt", "state"}}
	for name, want := range map[string]bool{"scope": true, "prompt": true, "login_hint": false, "state": false, "redirect_uri": false, "request": false, "client_secret": false} {
		if app.AllowsParameter(name) != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
	for origin, want := range map[string]bool{"https://app.example": true, "https://app.example:443": false, "https://APP.example": false, "": false, "null": false, "https://app.example.evil": false} {
		if app.AllowsOrigin(origin) != want {
			t.Errorf("%s: %v", origin, !want)
		}
	}
}
