package request_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/request"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
)

// desk is a database with one person, one session and one pushed request.
type desk struct {
	db      *store.DB
	ring    *keys.Ring
	session store.Session
}

func newDesk(t *testing.T, db *store.DB) *desk {
	t.Helper()
	d := &desk{db: db.For("acme"), ring: keys.NewRing()}
	err := d.db.Write(t.Context(), func(tx *store.Tx) error {
		if err := tx.AddAccount(store.Account{ID: "alice", Username: "alice", UserHandle: []byte("h"), Claims: json.RawMessage(`{}`)}); err != nil {
			return err
		}
		d.session = store.Session{
			ID: "s1", AccountID: "alice", AuthTime: tx.Now.Add(-time.Minute), ACR: "phr", AMR: []string{"hwk", "user"},
			CreatedAt: tx.Now, IdleUntil: tx.Now.Add(time.Hour), ExpiresAt: tx.Now.Add(2 * time.Hour),
		}
		if err := tx.AddSession(d.session); err != nil {
			return err
		}
		return tx.AddPushedRequest(store.PushedRequest{
			ID: "p1", ClientID: "app", Params: json.RawMessage(`{}`), OpenUntil: tx.Now.Add(time.Minute), PurgeAt: tx.Now.Add(time.Hour),
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *desk) completion(interaction, pushed string) request.Completion {
	return request.Completion{
		Request: &request.Authorization{
			ClientID: "app", RedirectURI: callback, Scope: []string{"openid"}, Resources: []string{orders}, Nonce: "n",
			CodeChallenge: challenge, DPoPJKT: "j", State: "not kept",
		},
		Session: &d.session, SessionIdle: 3 * time.Hour, Interaction: interaction, InteractionUntil: time.Now().Add(time.Hour),
		Pushed: pushed, RequestID: "r1", AddressPrefix: "192.0.2.0/24", Lifetime: time.Minute, Ring: d.ring,
	}
}

// complete does as the authorization endpoint: ErrSpent commits.
func (d *desk) complete(t *testing.T, c request.Completion) (string, error) {
	t.Helper()
	var code string
	var result error
	err := d.db.Write(t.Context(), func(tx *store.Tx) (err error) {
		code, result = request.Complete(tx, c)
		if errors.Is(result, request.ErrSpent) {
			return nil
		}
		return result
	})
	if result == nil {
		result = err
	}
	return code, result
}

func TestComplete(t *testing.T) {
	storetest.Engines(t, func(t *testing.T, db *store.DB) {
		d := newDesk(t, db)
		code, err := d.complete(t, d.completion("i1", "p1"))
		if err != nil {
			t.Fatal(err)
		}
		id, secret, ok := keys.SplitHandle(code)
		if !ok {
			t.Fatalf("code %q", code)
		}
		err = d.db.Read(t.Context(), func(tx *store.Tx) error {
			c, err := tx.Code(id)
			if err != nil {
				return err
			}
			if !d.ring.Matches(c.SecretHash, secret) || c.ExpiresAt.Sub(c.IssuedAt) != time.Minute || !c.SpentAt.IsZero() {
				t.Errorf("code %+v", c)
			}
			want := store.Authorization{
				ClientID: "app", AccountID: "alice", SessionID: "s1", RedirectURI: callback, Nonce: "n", CodeChallenge: challenge,
				ACR: "phr", AMR: []string{"hwk", "user"}, Scope: []string{"openid"}, Resources: []string{orders}, DPoPJKT: "j",
				AuthTime: d.session.AuthTime,
			}
			if diff := cmp.Diff(want, c.Auth); diff != "" {
				t.Error(diff)
			}
			s, err := tx.Session("s1")
			if !s.IdleUntil.After(d.session.IdleUntil.Add(time.Hour)) {
				t.Errorf("the session was not used: %v", s.IdleUntil)
			}
			acts, errActs := tx.Audits(store.AuditFilter{Action: "code.issue"})
			if len(acts) != 1 || acts[0].ActorID != "alice" || acts[0].ObjectID != id || acts[0].RequestID != "r1" {
				t.Errorf("acts %+v", acts)
			}
			return errors.Join(err, errActs)
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// Once means once: the interaction and the pushed request each have one answer, and what a loser spent stays spent.
func TestCompleteOnce(t *testing.T) {
	storetest.Engines(t, func(t *testing.T, db *store.DB) {
		d := newDesk(t, db)
		for _, c := range []struct {
			name, interaction, pushed string
			want                      error
		}{
			{"the first", "i1", "p1", nil},
			{"the interaction again", "i1", "", request.ErrSpent},
			{"the pushed request by another interaction", "i2", "p1", request.ErrSpent},
			{"the interaction that has lost", "i2", "", request.ErrSpent},
			{"a pushed request that is gone", "i3", "p9", request.ErrSpent},
			{"single sign-on", "", "", nil},
			{"single sign-on again", "", "", nil},
			{"single sign-on of a request that was answered", "", "p1", request.ErrSpent},
		} {
			code, err := d.complete(t, d.completion(c.interaction, c.pushed))
			if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) || (code != "") != (c.want == nil) {
				t.Errorf("%s: code %q, %v", c.name, code, err)
			}
		}
	})
}

func TestCompleteNeedsALiveSession(t *testing.T) {
	for name, end := range map[string]func(*store.Tx) error{
		"ended": func(tx *store.Tx) error { return tx.EndSession("s1") },
		"account disabled": func(tx *store.Tx) error {
			a, err := tx.Account("alice")
			if err != nil {
				return err
			}
			a.Disabled = true
			return tx.PutAccount(a)
		},
		"account deleted": func(tx *store.Tx) error { return tx.DeleteAccount("alice") },
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, storetest.Open(t))
			if err := d.db.Write(t.Context(), end); err != nil {
				t.Fatal(err)
			}
			code, err := d.complete(t, d.completion("i1", "p1"))
			if !errors.Is(err, request.ErrEnded) || code != "" {
				t.Fatalf("code %q, %v", code, err)
			}
			err = d.db.Read(t.Context(), func(tx *store.Tx) error {
				p, err := tx.PushedRequest("p1")
				if !p.SpentAt.IsZero() {
					t.Error("the pushed request was spent for nothing")
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}
