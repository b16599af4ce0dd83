package appsession_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/appsession"
	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
	"github.com/holdfast-iam/holdfast/jose"
)

const origin = "https://app.example"

func application(name string) *objects.Application {
	return &objects.Application{
		Name: name, ClientID: "client-" + name, Issuer: "https://login.example", Origins: []string{origin, "https://second.example"},
		CookiePrefix: "__Host-Http-", CustomHeader: "token-handler-version", Idle: 3600, Absolute: 7200,
	}
}

// rig is a tenant with a clock that stands still.
type rig struct {
	*appsession.Sessions
	mu  sync.Mutex
	now time.Time
}

func newRig(t testing.TB) *rig {
	r := &rig{now: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)}
	db := storetest.Open(t, store.Options{Now: r.clock}).For("acme")
	r.Sessions = &appsession.Sessions{DB: db, Ring: keys.NewRing(), Now: r.clock}
	return r
}

func (r *rig) clock() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

func (r *rig) sleep(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now = r.now.Add(d)
}

func (r *rig) tokens(t testing.TB) appsession.Tokens {
	t.Helper()
	key, err := jose.GenerateKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	return appsession.Tokens{
		AccessToken: "access-token-of-alice", TokenType: "DPoP", Scope: "openid read", AccessExpiresAt: r.clock().Add(5 * time.Minute),
		RefreshToken: "refresh-token-of-alice", IDToken: "id-token-of-alice", IDClaims: json.RawMessage(`{"sub":"alice"}`), Key: key,
	}
}

// begin begins a session and returns it with the value of its cookie.
func (r *rig) begin(t testing.TB, app *objects.Application) (s *appsession.Session, cookie string) {
	t.Helper()
	tokens := r.tokens(t)
	err := r.DB.Write(t.Context(), func(tx *store.Tx) (err error) {
		s, err = r.New(tx, app, store.AppSession{Issuer: app.Issuer, Subject: "alice", SID: "sid"}, tokens)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	r.SetCookie(w, app, s)
	return s, w.Result().Cookies()[0].Value
}

func request(method string, headers ...string) *http.Request {
	r := httptest.NewRequest(method, "https://api.example/apps/demo/session", nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}
