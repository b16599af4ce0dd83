package authn_test

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-crypt/crypt/algorithm/argon2"

	"github.com/holdfast-iam/holdfast/internal/authn"
	"github.com/holdfast-iam/holdfast/internal/session"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/oauth"
)

func TestPasswords(t *testing.T) {
	p := passwords()
	hash := hashed(t, "correct horse")
	if !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("made %s", hash)
	}
	for _, c := range []struct {
		name    string
		account *store.Account
		typed   string
		want    bool
	}{
		{"right", &store.Account{PasswordHash: hash}, "correct horse", true},
		{"wrong", &store.Account{PasswordHash: hash}, "correct horses", false},
		{"empty", &store.Account{PasswordHash: hash}, "", false},
		{"too long", &store.Account{PasswordHash: hash}, strings.Repeat("a", 2000), false},
		{"disabled", &store.Account{PasswordHash: hash, Disabled: true}, "correct horse", false},
		{"no password", &store.Account{}, "", false},
		{"nobody", nil, "correct horse", false},
	} {
		if ok, renewed, err := p.Verify(t.Context(), c.account, c.typed); err != nil || ok != c.want || renewed != "" {
			t.Errorf("%s: %v, %q, %v", c.name, ok, renewed, err)
		}
	}
	for _, password := range []string{"", strings.Repeat("a", 1025)} {
		if _, err := p.Hash(password); err == nil {
			t.Errorf("a password of %d bytes is hashed", len(password))
		}
	}
}

// Whoever has no account must not be told apart by what the answer costs: both hash, with the memory that hashing takes.
func TestNobodyCostsAsMuchAsSomebody(t *testing.T) {
	p := passwords()
	for name, account := range map[string]*store.Account{
		"somebody": {PasswordHash: hashed(t, "correct horse")}, "nobody": nil, "no password": {}, "disabled": {PasswordHash: hashed(t, "x"), Disabled: true},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if ok, _, err := p.Verify(t.Context(), account, "wrong"); ok || err != nil {
			t.Errorf("%s: %v, %v", name, ok, err)
		}
		runtime.ReadMemStats(&after)
		if took := (after.TotalAlloc - before.TotalAlloc) >> 10; took < 19*1024 || took > 20*1024 {
			t.Errorf("%s: hashing took %d KiB", name, took)
		}
	}
}

// The hashes were made by crypt(3), OpenSSL and Python's hashlib.
func TestPasswordsFromElsewhereAreRenewed(t *testing.T) {
	for name, stored := range map[string]string{
		"bcrypt":        "$2b$10$abcdefghijklmnopqrstuu23JPZtHcGhwXSF41f93o/7vBdDut3Xu",
		"scrypt":        "$scrypt$ln=14,r=8,p=1$c2FsdHNhbHRzYWx0c2FsdA$1idRgu6ns74sljt005o5BblTKV7Jul0HPGT6aXWnXKY",
		"pbkdf2-sha256": "$pbkdf2-sha256$29000$c2FsdHNhbHRzYWx0c2FsdA$wdimsZz82dUhh09vxCX.tZ6CiAyYHJSfs9wD5qYnfzg",
		"pbkdf2-sha512": "$pbkdf2-sha512$10000$c2FsdHNhbHRzYWx0c2FsdA$AGs61lRh3fb6c4qTSxDVfWdmDeQlxN/WwYGQSl7MVVGpXev6okeE5BQKjvecIoyShRVHwHz9B/jaUXfl5ZXdAQ",
		"sha256-crypt":  "$5$saltstring$vc6YOOogU4kWVvwga8e9zTFgKcy4tb5LaPxIiPJzqEC",
		"sha512-crypt":  "$6$rounds=5000$saltstring$.r0X7ub5wGR2v4Xz7svCIozfnlorFh19V89t8KC9Umd81uGhFgsyTRNyzQDXDIm17fFcR9z3z7oBNdsyYBbtm/",
	} {
		t.Run(name, func(t *testing.T) {
			a := &store.Account{PasswordHash: stored}
			wrong := "correct horse" + strings.Repeat(" and more", 10) // longer than what bcrypt looks at
			if ok, renewed, err := passwords().Verify(t.Context(), a, wrong); ok || renewed != "" || err != nil {
				t.Errorf("another password: %v, %q, %v", ok, renewed, err)
			}
			ok, renewed, err := passwords().Verify(t.Context(), a, "correct horse")
			if err != nil || !ok || !strings.HasPrefix(renewed, "$argon2id$v=19$m=19456,t=2,p=1$") {
				t.Fatalf("%v, renewed %q, %v", ok, renewed, err)
			}
			if ok, again, err := passwords().Verify(t.Context(), &store.Account{PasswordHash: renewed}, "correct horse"); err != nil || !ok || again != "" {
				t.Errorf("renewed: %v, %q, %v", ok, again, err)
			}
		})
	}
}

func TestOnlyWeakerHashesAreRenewed(t *testing.T) {
	for _, c := range []struct {
		stored  string
		renewed bool
	}{
		{argon2id(t, 8*1024, 1), true},
		{argon2id(t, 64*1024, 3), false},
	} {
		ok, renewed, err := passwords().Verify(t.Context(), &store.Account{PasswordHash: c.stored}, "correct horse")
		if err != nil || !ok || (renewed != "") != c.renewed {
			t.Errorf("%.30s: %v, renewed %q, %v", c.stored, ok, renewed, err)
		}
	}
}

// argon2id makes the PHC string of "correct horse" at another cost.
func argon2id(t *testing.T, memoryKiB, passes int) string {
	t.Helper()
	h, err := argon2.New(argon2.WithVariantID(), argon2.WithMemoryInKiB(uint32(memoryKiB)), argon2.WithIterations(passes), argon2.WithParallelism(1))
	if err != nil {
		t.Fatal(err)
	}
	d, err := h.Hash("correct horse")
	if err != nil {
		t.Fatal(err)
	}
	return d.Encode()
}

func TestStoredHashThatCannotBeRead(t *testing.T) {
	a := &store.Account{PasswordHash: "plain text"}
	if ok, _, err := passwords().Verify(t.Context(), a, "plain text"); ok || err == nil {
		t.Errorf("%v, %v", ok, err)
	}
}

func TestTooManyAtOnceAreToldToComeBack(t *testing.T) {
	a := &store.Account{PasswordHash: hashed(t, "correct horse")}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var busy, gone atomic.Int32
	var all sync.WaitGroup
	for range 300 {
		all.Go(func() {
			_, _, err := passwords().Verify(ctx, a, "correct horse")
			switch e, refused := errors.AsType[*oauth.Error](err); {
			case refused && e.Code == oauth.TemporarilyUnavailable && e.HTTPStatus() == http.StatusServiceUnavailable:
				busy.Add(1)
				cancel() // those who wait have seen enough
			case errors.Is(err, context.Canceled):
				gone.Add(1)
			case err != nil:
				t.Error(err)
			}
		})
	}
	all.Wait()
	if busy.Load() == 0 || gone.Load() == 0 {
		t.Errorf("%d were told to come back, %d stopped waiting", busy.Load(), gone.Load())
	}
	if ok, _, err := passwords().Verify(t.Context(), a, "correct horse"); !ok || err != nil {
		t.Errorf("after the rush: %v, %v", ok, err)
	}
}

func TestPasswordAttempts(t *testing.T) {
	r := newRig(t)
	ctx := from(t, "192.0.2.0/24")
	p, err := r.Password(ctx, "aLICE", "correct horse")
	if err != nil || p.Account.ID != r.alice.ID {
		t.Fatalf("%+v, %v", p, err)
	}
	f, err := r.use(p)
	if err != nil || f.Kind != session.Password || len(f.AMR) != 1 || f.AMR[0] != "pwd" || !f.At.Equal(r.now) {
		t.Errorf("factor %+v, %v", f, err)
	}
	// Whoever it is about and whatever is wrong: one answer, and the same delays.
	for _, name := range []string{"alice", "nobody"} {
		for n := range 6 {
			if _, err := r.Password(ctx, name, "wrong"); !errors.Is(err, authn.ErrFailed) {
				t.Errorf("%s, try %d: %v", name, n, err)
			}
		}
		_, err := r.Password(ctx, strings.ToUpper(name), "correct horse")
		slow, ok := errors.AsType[*authn.SlowError](err)
		if !ok || slow.Wait != time.Second {
			t.Errorf("%s after six failures: %v", name, err)
		}
	}
	r.now = r.now.Add(time.Second)
	if p, err = r.Password(ctx, "alice", "correct horse"); err != nil {
		t.Fatalf("after waiting: %v", err)
	}
	if _, err := r.use(p); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Password(ctx, "alice", "wrong"); !errors.Is(err, authn.ErrFailed) {
		t.Errorf("the count was not cleared: %v", err)
	}
	for _, name := range []string{"", strings.Repeat("x", 10_000)} {
		if _, err := r.Password(ctx, name, "correct horse"); !errors.Is(err, authn.ErrFailed) {
			t.Errorf("a name of %d bytes: %v", len(name), err)
		}
	}
}

func TestPasswordProofsAreWorthNothingAfterAChange(t *testing.T) {
	for name, change := range map[string]func(*store.Tx, store.Account) error{
		"password": func(tx *store.Tx, a store.Account) error { a.PasswordHash = "another"; return tx.PutAccount(a) },
		"disabled": func(tx *store.Tx, a store.Account) error { a.Disabled = true; return tx.PutAccount(a) },
		"deleted":  func(tx *store.Tx, a store.Account) error { return tx.DeleteAccount(a.ID) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			p, err := r.Password(from(t, ""), "alice", "correct horse")
			if err != nil {
				t.Fatal(err)
			}
			r.write(t, func(tx *store.Tx) error {
				a, err := tx.Account(r.alice.ID)
				if err != nil {
					return err
				}
				return change(tx, a)
			})
			if _, err := r.use(p); !errors.Is(err, authn.ErrFailed) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAnOldHashIsReplacedInTheWriteOfTheSuccess(t *testing.T) {
	r := newRig(t)
	const old = "$5$saltstring$vc6YOOogU4kWVvwga8e9zTFgKcy4tb5LaPxIiPJzqEC"
	changed := r.now.Add(-time.Hour)
	r.write(t, func(tx *store.Tx) error {
		a, err := tx.Account(r.alice.ID)
		if err != nil {
			return err
		}
		a.PasswordHash, a.PasswordChangedAt = old, changed
		return tx.PutAccount(a)
	})
	p, err := r.Password(from(t, ""), "alice", "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.use(p); err != nil {
		t.Fatal(err)
	}
	r.read(t, func(tx *store.Tx) error {
		a, err := tx.Account(r.alice.ID)
		if !strings.HasPrefix(a.PasswordHash, "$argon2id$") || !a.PasswordChangedAt.Equal(changed) {
			t.Errorf("stored %s, changed at %v", a.PasswordHash, a.PasswordChangedAt)
		}
		return err
	})
}

func BenchmarkPassword(b *testing.B) {
	p := passwords()
	for b.Loop() {
		if _, err := p.Hash("correct horse"); err != nil {
			b.Fatal(err)
		}
	}
}
