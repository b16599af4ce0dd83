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

func TestAnotherSpellingIsNoOtherAccount(t *testing.T) {
	for _, name := range []string{"Alice", "ALICE", "aLiCe"} {
		if limit.Account(name) != limit.Account("alice") {
			t.Errorf("%s is counted apart", name)
		}
	}
}

func TestPasswordsOfANetworkDoNotBlockItsPasskeys(t *testing.T) {
	f := &limit.Failures{DB: storetest.Open(t), Now: time.Now}
	for n := range 60 {
		if err := f.FailNow(t.Context(), limit.Address("192.0.2.0/24")); err != nil {
			t.Fatal(err)
		}
		if d := f.WaitHere(limit.Address("192.0.2.0/24")); n < 50 && d > 0 {
			t.Fatalf("%d failures of a network cost %v", n+1, d)
		}
	}
	if f.WaitHere(limit.Address("192.0.2.0/24")) == 0 {
		t.Error("60 failures of a network cost nothing")
	}
	if d := f.WaitHere(limit.Passkeys("192.0.2.0/24")); d != 0 {
		t.Errorf("its passkeys wait %v", d)
	}
}

func TestRate(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	r := &limit.Rate{Every: time.Minute, Burst: 3, Now: func() time.Time { return now }}
	for n := range 3 {
		if !r.Allow("alice") {
			t.Errorf("number %d is not allowed", n+1)
		}
	}
	if r.Allow("alice") {
		t.Error("a fourth is allowed")
	}
	if !r.Allow("bob") {
		t.Error("bob has to wait for alice")
	}
	now = now.Add(time.Minute)
	if !r.Allow("alice") || r.Allow("alice") {
		t.Error("after a minute it is not exactly one more")
	}
}
