package login_test

import (
	"testing"

	"github.com/holdfast-iam/holdfast/internal/authn/authntest"
	"github.com/holdfast-iam/holdfast/internal/login"
	"github.com/holdfast-iam/holdfast/internal/objects"
)

const (
	issuer   = authntest.URL
	right    = authntest.Password
	agent    = authntest.Agent
	callback = "https://app.example/cb"
)

type page = authntest.Page

// world is one issuer with the room for signing in.
type world struct{ *authntest.Issuer }

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{authntest.New(t)}
	(&login.Endpoints{
		DB: w.DB, Registry: objects.New(w.DB), Sessions: w.Sessions, Keeper: w.Keeper, Decider: w.Decider, Pages: w.Pages, Passwords: w.Passwords,
		Passkeys: w.Passkeys, Failures: w.Failures, Trail: w.Trail, Now: w.Now,
	}).Mount(w.Mux.ServeMux)
	return w
}

// browser is one that knows its world.
type browser struct {
	*authntest.Browser
	*world
}

func (w *world) browser() *browser { return &browser{w.Browser(), w} }
