package objects_test

import (
	"slices"
	"testing"

	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
)

func TestAllowedOriginsAreChecked(t *testing.T) {
	for origin, want := range map[string][]string{
		"https://app.example.com":       nil,
		"https://app.example.com:8443":  nil,
		"http://127.0.0.1:3000":         nil,
		"http://app.example.com":        {"allowed_origins[0]"},
		"https://app.example.com/":      {"allowed_origins[0]"},
		"https://app.example.com:443":   {"allowed_origins[0]"},
		"https://*.example.com/*":       {"allowed_origins[0]"},
		"https://me@app.example.com":    {"allowed_origins[0]"},
		"HTTPS://app.example.com":       {"allowed_origins[0]"},
		"null":                          {"allowed_origins[0]"},
		"*":                             {"allowed_origins[0]"},
		"com.example.app://app.example": {"allowed_origins[0]"},
	} {
		if got := paths(objects.Validate(with(m{"allowed_origins": []string{origin}}))); !slices.Equal(got, want) {
			t.Errorf("%s: problems of %q, want %q", origin, got, want)
		}
	}
}

func TestOriginsFollowTheClients(t *testing.T) {
	const page = "https://app.example.com"
	db := storetest.Open(t).For("acme")
	r, other := objects.New(db), objects.New(storetest.Open(t).For("other"))
	allowed := func(r *objects.Registry) bool {
		ok, err := r.AllowsOrigin(t.Context(), page)
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	if allowed(r) {
		t.Error("an origin of nobody is allowed")
	}
	mustImport(t, db, keys.NewRing(), objects.ManagedByFile, with(m{"allowed_origins": []string{page}}))
	r.Heard(store.Event{Tenant: "acme", Kind: store.EventObject, Key: "client/web"})
	if !allowed(r) || allowed(other) {
		t.Error("the client's origin is not its tenant's and nobody else's")
	}
	mustImport(t, db, keys.NewRing(), objects.ManagedByFile, with(nil))
	r.Heard(store.Event{Tenant: "acme", Kind: store.EventObject, Key: "client/web"})
	if allowed(r) {
		t.Error("an origin outlives its registration")
	}
}
