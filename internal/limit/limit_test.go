package limit_test

import (
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/limit"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
)

func TestDelaysGrowAndAreShared(t *testing.T) {
	db := storetest.Open(t)
	one := &limit.Failures{DB: db, Now: time.Now}
	other := &limit.Failures{DB: db, Now: time.Now}
	alice, bob := limit.Account("alice"), limit.Account("bob")
	for range 5 {
		if err := one.FailNow(t.Context(), alice); err != nil {
			t.Fatal(err)
		}
	}
	if d, err := one.Wait(t.Context(), alice); err != nil || d != 0 {
		t.Fatalf("five mistakes cost %v, %v", d, err)
	}
	var last time.Duration
	for n := range 4 {
		if err := one.FailNow(t.Context(), alice); err != nil {
			t.Fatal(err)
		}
		d := one.WaitHere(alice)
		if d <= last {
			t.Errorf("failure %d: wait %v after %v", 6+n, d, last)
		}
		last = d
	}
	if d := other.WaitHere(alice); d != 0 {
		t.Errorf("the other node knows already: %v", d)
	}
	if d, err := other.Wait(t.Context(), alice); err != nil || d < 2*time.Second {
		t.Errorf("the other node waits %v, %v", d, err)
	}
	if d, err := other.Wait(t.Context(), bob); err != nil || d != 0 {
		t.Errorf("bob waits %v, %v", d, err)
	}
	err := one.DB.Write(t.Context(), func(tx *store.Tx) error { return one.Clear(tx, alice) })
	if err != nil {
		t.Fatal(err)
	}
	if d, err := one.Wait(t.Context(), alice); err != nil || d != 0 {
		t.Errorf("after a success: %v, %v", d, err)
	}
}

func TestDelaysStopGrowing(t *testing.T) {
	f := &limit.Failures{DB: storetest.Open(t), Now: time.Now}
	for range 60 {
		if err := f.FailNow(t.Context(), limit.Client("c")); err != nil {
			t.Fatal(err)
		}
	}
	if d := f.WaitHere(limit.Client("c")); d > 15*time.Minute {
		t.Errorf("wait %v: nobody is locked out for good", d)
	}
}
