package audit_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast-iam/holdfast/internal/audit"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
)

func observation(tenant, client, prefix, code string) audit.Record {
	return audit.Record{Tenant: tenant, AuditRecord: store.AuditRecord{Action: "token.refused", Client: client, AddressPrefix: prefix, Code: code}}
}

// start runs a trail and returns what ends it and waits.
func start(t *testing.T, trail *audit.Trail) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { trail.Run(ctx); close(done) }()
	return func() { cancel(); <-done }
}

func TestObservationsAreWrittenWithinASecond(t *testing.T) {
	db := storetest.Open(t)
	trail := &audit.Trail{DB: db, Now: time.Now}
	defer start(t, trail)()
	trail.Observe(observation("acme", "shop", "192.0.2.0/24", "invalid_client"))
	for end := time.Now().Add(time.Second); len(records(t, db.For("acme"), store.AuditFilter{})) == 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not written within a second")
		}
	}
	if n := len(records(t, db.For("beta"), store.AuditFilter{})); n != 0 {
		t.Error("an observation crossed tenants")
	}
}

func TestShutdownWritesWhatIsLeft(t *testing.T) {
	db := storetest.Open(t)
	trail := &audit.Trail{DB: db, Now: time.Now}
	stop := start(t, trail)
	for i := range 600 { // more than one batch
		trail.Observe(observation("acme", fmt.Sprint("c", i), "", "invalid_client"))
	}
	stop()
	if n := len(records(t, db.For("acme"), store.AuditFilter{Limit: 1000})); n != 600 {
		t.Errorf("%d of 600 records", n)
	}
}

func TestFloodIsAggregated(t *testing.T) {
	db := storetest.Open(t)
	trail := &audit.Trail{DB: db, Now: time.Now}
	const floods = 10_000
	for range floods {
		trail.Observe(observation("acme", "shop", "192.0.2.0/24", "invalid_client"))
	}
	trail.Observe(observation("acme", "shop", "198.51.100.0/24", "invalid_client"))
	trail.Observe(observation("acme", "shop", "192.0.2.0/24", "invalid_grant"))
	trail.Observe(observation("acme", "bank", "192.0.2.0/24", "invalid_client"))
	trail.Observe(observation("beta", "shop", "192.0.2.0/24", "invalid_client"))
	start(t, trail)()

	sum := 0
	got := records(t, db.For("acme"), store.AuditFilter{Client: "shop"})
	for _, r := range got {
		if r.AddressPrefix != "192.0.2.0/24" || r.Code != "invalid_client" {
			continue
		}
		detail := struct{ Count int }{1}
		if r.Detail != nil {
			if err := json.Unmarshal(r.Detail, &detail); err != nil {
				t.Fatal(err)
			}
		}
		sum += detail.Count
	}
	if sum != floods || len(got) > 10 {
		t.Errorf("%d records that stand for %d of %d", len(got), sum, floods)
	}
	if len(got) < 3 || len(records(t, db.For("acme"), store.AuditFilter{Client: "bank"})) != 1 || len(records(t, db.For("beta"), store.AuditFilter{})) != 1 {
		t.Error("the flood swallowed other records")
	}
	if trail.Dropped() != 0 {
		t.Errorf("%d dropped", trail.Dropped())
	}
}

func TestQueueIsBoundedAndDropsAreCounted(t *testing.T) {
	db := storetest.Open(t)
	trail := &audit.Trail{DB: db, Now: time.Now}
	const n = 5000
	for i := range n {
		trail.Observe(observation("acme", fmt.Sprint("c", i), "", "invalid_client"))
	}
	start(t, trail)()
	kept := len(records(t, db.For("acme"), store.AuditFilter{Limit: n}))
	if kept == 0 || kept > 2048 || uint64(kept)+trail.Dropped() != n {
		t.Errorf("%d kept, %d dropped of %d", kept, trail.Dropped(), n)
	}
}

func TestFailedWritesAreCounted(t *testing.T) {
	gone, err := store.Open(t.Context(), storetest.SQLiteURL(t), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := gone.Close(); err != nil {
		t.Fatal(err)
	}
	trail := &audit.Trail{DB: gone, Now: time.Now}
	trail.Observe(observation("acme", "shop", "", "x"))
	start(t, trail)()
	if trail.Dropped() != 1 {
		t.Errorf("%d dropped", trail.Dropped())
	}
}

func TestNoTrailDropsEverything(*testing.T) {
	var trail *audit.Trail
	trail.Observe(audit.Record{})
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
