package admin_test

import (
	"fmt"
	"testing"

	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
)

// TestAuditOfTwoDatabases has acts recorded in turn in the database and in that of sessions.
func TestAuditOfTwoDatabases(t *testing.T) {
	b := single(t)
	sessions := storetest.Open(t).For(b.DB.Tenant())
	for i := range 6 {
		db := []*store.DB{b.DB, sessions}[i%2]
		err := db.Write(t.Context(), func(tx *store.Tx) error {
			return tx.AddAudit(store.AuditRecord{Action: "test", ObjectID: fmt.Sprint(i), Outcome: "success"})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	query := func(path string) (ids string) {
		t.Helper()
		var list struct {
			Items []struct {
				ID string `json:"object_id"`
			}
		}
		b.call(200, "GET", "/admin/v1/audit?action=test"+path, "").into(&list)
		for _, r := range list.Items {
			ids += r.ID
		}
		return ids
	}
	if got := query(""); got != "420" {
		t.Errorf("of one: %s", got)
	}
	b.Sessions = sessions
	for path, want := range map[string]string{"": "543210", "&limit=6": "543210", "&limit=3": "543", "&since=2999-01-01T00:00:00Z": ""} {
		if got := query(path); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	b.call(400, "GET", "/admin/v1/audit?limit=0", "")
}
