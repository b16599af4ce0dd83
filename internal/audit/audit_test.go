package audit_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/holdfast-iam/holdfast/internal/audit"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
)

func records(t *testing.T, db *store.DB, f store.AuditFilter) (list []store.AuditRecord) {
	t.Helper()
	err := db.Read(t.Context(), func(tx *store.Tx) (err error) {
		list, err = tx.Audits(f)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestActsShareTheFateOfTheirTransaction(t *testing.T) {
	storetest.Engines(t, func(t *testing.T, root *store.DB) {
		db := root.For("acme")
		undone := errors.New("undone")
		err := db.Write(t.Context(), func(tx *store.Tx) error {
			return errors.Join(audit.Add(tx, audit.Record{AuditRecord: store.AuditRecord{Action: "a"}}), undone)
		})
		if !errors.Is(err, undone) {
			t.Fatal(err)
		}
		if got := records(t, db, store.AuditFilter{}); len(got) != 0 {
			t.Errorf("an act that was rolled back left %d records", len(got))
		}
		err = db.Write(t.Context(), func(tx *store.Tx) error {
			return audit.Add(tx, audit.Record{AuditRecord: store.AuditRecord{Action: "b", Client: "shop"}})
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := records(t, db, store.AuditFilter{Client: "shop"}); len(got) != 1 || got[0].Action != "b" {
			t.Errorf("records %+v", got)
		}
		if got := records(t, root.For("beta"), store.AuditFilter{}); len(got) != 0 {
			t.Error("a record crossed tenants")
		}
	})
}

func TestRecordsHoldNoSecrets(t *testing.T) {
	db := storetest.Open(t).For("acme")
	handle := "Zk3vXb0cTn6uQeRt1yUiOp.M8nB7vC6xZ5lK4jH3gF2dS1aP0oI9uY8tR7eW6qQ5aZ4"
	jwt := "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJodHRwczovL2xvZ2luIn0.MEUCIQDf0aBcDeFgHiJkLmNoPqRsTuVwXyZ"
	r := store.AuditRecord{Action: "a", Reason: "token " + handle + " and " + jwt + " are of another client", Client: strings.Repeat("x", 9000) + "\n"}
	if err := db.Write(t.Context(), func(tx *store.Tx) error { return audit.Add(tx, audit.Record{AuditRecord: r}) }); err != nil {
		t.Fatal(err)
	}
	got := records(t, db, store.AuditFilter{})[0]
	if got.Reason != "token [hidden] and [hidden] are of another client" {
		t.Errorf("reason %q", got.Reason)
	}
	if len(got.Client) > 256 {
		t.Errorf("a client of %d bytes", len(got.Client))
	}
}

func TestAllowDecidesAndRecords(t *testing.T) {
	tests := []struct {
		name    string
		who     audit.Actor
		action  string
		allowed bool
	}{
		{"write scope", audit.Actor{Scopes: []string{"admin.clients.write"}}, "clients.put", true},
		{"read scope", audit.Actor{Scopes: []string{"admin.clients.read"}}, "clients.list", true},
		{"read is not write", audit.Actor{Scopes: []string{"admin.clients.read"}}, "clients.put", false},
		{"write is not read", audit.Actor{Scopes: []string{"admin.clients.write"}}, "clients.read", false},
		{"another noun", audit.Actor{Scopes: []string{"admin.users.write"}}, "clients.put", false},
		{"a part of the scope", audit.Actor{Scopes: []string{"admin.clients", "admin", "clients.write", ""}}, "clients.put", false},
		{"nothing", audit.Actor{}, "clients.put", false},
		{"an unknown verb is a write", audit.Actor{Scopes: []string{"admin.keys.read"}}, "keys.rotate", false},
		{"the operator of the machine", audit.Actor{All: true}, "keys.rotate", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			db := storetest.Open(t).For("acme")
			test.who.Kind, test.who.ID, test.who.RequestID = audit.ActorAdmin, "alice", "r1"
			var denied error
			err := db.Write(t.Context(), func(tx *store.Tx) error {
				if denied = audit.Allow(tx, test.who, test.action, "client", "shop"); errors.Is(denied, audit.ErrDenied) {
					return nil
				}
				return denied
			})
			if err != nil || errors.Is(denied, audit.ErrDenied) == test.allowed {
				t.Fatalf("allowed: %v, error: %v", denied, err)
			}
			got := records(t, db, store.AuditFilter{RequestID: "r1"})
			if len(got) != 1 || got[0].ActorID != "alice" || got[0].Action != test.action || got[0].ObjectID != "shop" {
				t.Fatalf("records %+v", got)
			}
			if (got[0].Outcome == audit.Success) != test.allowed {
				t.Errorf("outcome %s", got[0].Outcome)
			}
		})
	}
}
