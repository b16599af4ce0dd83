package admin_test

import (
	"strings"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/store"
)

type userAnswer struct {
	ID, Username string
	Disabled     bool
	HasPassword  bool `json:"has_password"`
	Claims       map[string]any
	Version      int64
}

func (b *bench) account(id string) (a store.Account) {
	b.t.Helper()
	err := b.DB.Read(b.t.Context(), func(tx *store.Tx) (err error) {
		a, err = tx.Account(id)
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return a
}

// signIn gives a person a session and a grant.
func (b *bench) signIn(account string) (session, grant string) {
	b.t.Helper()
	session, grant = store.NewID(), store.NewID()
	err := b.DB.Write(b.t.Context(), func(tx *store.Tx) error {
		later := tx.Now.Add(time.Hour)
		if err := tx.AddSession(store.Session{ID: session, SecretHash: "x", AccountID: account, CreatedAt: tx.Now, IdleUntil: later, ExpiresAt: later}); err != nil {
			return err
		}
		return tx.AddGrant(store.Grant{ID: grant, Auth: store.Authorization{ClientID: "web", AccountID: account}, CreatedAt: tx.Now, ExpiresAt: later})
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return session, grant
}

// ended says whether session and grant have ended.
func (b *bench) ended(session, grant string) bool {
	b.t.Helper()
	var s store.Session
	var g store.Grant
	err := b.DB.Read(b.t.Context(), func(tx *store.Tx) (err error) {
		if s, err = tx.Session(session); err == nil {
			g, err = tx.Grant(grant)
		}
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return !s.EndedAt.IsZero() && !g.RevokedAt.IsZero()
}

func TestUsers(t *testing.T) {
	b := single(t)
	const users = "/admin/v1/users"
	w := b.call(201, "POST", users, `{"username": "alice", "password": "correct horse", "email": "a@example.com", "email_verified": true}`)
	var alice userAnswer
	w.into(&alice)
	if !alice.HasPassword || alice.Claims["email_verified"] != true || strings.Contains(w.Body.String(), "hash:") || w.Header().Get("Location") != adminURL+users+"/"+alice.ID {
		t.Fatalf("%v %s", w.Header(), w.Body)
	}
	b.call(409, "POST", users, `{"username": "Alice"}`)
	b.call(422, "POST", users, `{"username": "bob", "email_verified": "yes"}`)
	b.call(422, "POST", users, `{"username": "bob", "password_hash": "$2b$10$abcdefghijklmnopqrstuv"}`)
	one := users + "/" + alice.ID

	w = b.call(200, "GET", one, "")
	if w.Header().Get("ETag") != `"1"` {
		t.Errorf("ETag %s", w.Header().Get("ETag"))
	}
	b.call(428, "PUT", one, `{"username": "alice"}`)
	b.call(412, "PUT", one, `{"username": "alice"}`, "If-Match", `"7"`)
	b.call(422, "PUT", one, `{"username": "alice", "password": "battery staple"}`, "If-Match", `"1"`)
	w = b.call(200, "PUT", one, `{"username": "alice", "name": "Alice"}`, "If-Match", `"1"`)
	if w.Header().Get("ETag") != `"2"` || b.account(alice.ID).PasswordHash != "hash:correct horse" {
		t.Errorf("ETag %s, %+v", w.Header().Get("ETag"), b.account(alice.ID))
	}
	b.call(400, "PUT", one+"/password", `{"password": "short"}`)
	b.call(204, "PUT", one+"/password", `{"password": "battery staple"}`)
	if got := b.account(alice.ID); got.PasswordHash != "hash:battery staple" || got.PasswordChangedAt.IsZero() {
		t.Errorf("account %+v", got)
	}
	b.call(428, "DELETE", one, "")
	b.call(204, "DELETE", one, "", "If-Match", `"3"`)
	b.call(404, "GET", one, "")
	if got := b.records("users.set_password"); len(got) != 1 || got[0].ObjectID != alice.ID || strings.Contains(string(got[0].Detail)+got[0].Reason, "battery") {
		t.Errorf("records %+v", got)
	}
}

func TestWhatEndsSessionsAndGrants(t *testing.T) {
	for _, test := range []struct {
		name, method, path, body string
		headers                  []string
		ends                     bool
	}{
		{"ending sessions", "DELETE", "/sessions", "", nil, true},
		{"another password", "PUT", "/password", `{"password": "battery staple"}`, nil, true},
		{"disabling", "PUT", "", `{"username": "alice", "disabled": true}`, []string{"If-Match", "*"}, true},
		{"deleting", "DELETE", "", "", []string{"If-Match", "*"}, true},
		{"another name", "PUT", "", `{"username": "alice", "name": "Alice"}`, []string{"If-Match", "*"}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := single(t)
			var alice userAnswer
			b.call(201, "POST", "/admin/v1/users", `{"username": "alice"}`).into(&alice)
			session, grant := b.signIn(alice.ID)
			if w := b.do(b.request(test.method, "/admin/v1/users/"+alice.ID+test.path, test.body, test.headers...)); w.Code >= 300 {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			if got := b.ended(session, grant); got != test.ends {
				t.Errorf("ended: %v", got)
			}
		})
	}
}

func TestImportUsers(t *testing.T) {
	b := single(t)
	batch := `{"documents": [{"username": "alice", "password": "correct horse"}, {"username": "bob"}]}`
	var report struct{ Created, Unchanged []string }
	b.call(200, "POST", "/admin/v1/users/import", batch).into(&report)
	if len(report.Created) != 2 {
		t.Errorf("%+v", report)
	}
	report.Created = nil
	b.call(200, "POST", "/admin/v1/users/import", batch).into(&report)
	if len(report.Created) != 0 || len(report.Unchanged) != 2 {
		t.Errorf("%+v", report)
	}
	b.call(422, "POST", "/admin/v1/users/import", `{"documents": [{"username": "carol"}, {}]}`)
	b.call(400, "POST", "/admin/v1/users/import", `{"documents": 1}`)
	var list struct{ Items []userAnswer }
	b.call(200, "GET", "/admin/v1/users?username=ALICE", "").into(&list)
	if len(list.Items) != 1 || list.Items[0].Username != "alice" {
		t.Errorf("%+v", list)
	}
	b.call(200, "GET", "/admin/v1/users", "").into(&list)
	if len(list.Items) != 2 {
		t.Errorf("%+v", list)
	}
}
