package tokens_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/tokens"
	"github.com/holdfast-iam/holdfast/oauth"
)

// floor measures what an operation cannot do without, in the same run, so that results of different machines compare.
func floor(b *testing.B, fn func()) float64 {
	b.Helper()
	const rounds = 2000
	before := cpu()
	for range rounds {
		fn()
	}
	return float64(cpu()-before) / rounds
}

// over runs an operation and reports how many times the floor it takes.
func over(b *testing.B, floor float64, once func()) {
	b.Helper()
	b.ReportAllocs()
	before, rounds := cpu(), 0
	for b.Loop() {
		once()
		rounds++
	}
	b.ReportMetric(float64(cpu()-before)/float64(rounds)/floor, "x-floor")
}

// cpu is the time that this process has computed: what others do on the machine does not count.
func cpu() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func bareES256() (sign, verify func()) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	sum := sha256.Sum256([]byte("a token"))
	sig, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
	if err != nil {
		panic(err)
	}
	return func() { _, _ = ecdsa.SignASN1(rand.Reader, key, sum[:]) }, func() { ecdsa.VerifyASN1(&key.PublicKey, sum[:], sig) }
}

func plan(r *rig, g *store.Grant) tokens.Plan {
	return tokens.Plan{
		Client: client(), API: api(), Subject: "alice", Scope: []string{"openid", "read"}, Grant: g, IssuedAt: r.now(),
		Binding: oauth.Confirmation{JKT: "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"},
	}
}

func BenchmarkMintJWT(b *testing.B) {
	r := newRig(b, tokens.Lifetimes{})
	p := plan(r, r.grant(b, false))
	sign, _ := bareES256()
	bare := floor(b, sign)
	over(b, bare, func() {
		if _, err := r.minter.Mint(r.minter.Access(p)); err != nil {
			b.Fatal(err)
		}
	})
}

func BenchmarkMintIDToken(b *testing.B) {
	r := newRig(b, tokens.Lifetimes{})
	p := tokens.IDPlan{Client: client(), Grant: r.grant(b, false), Subject: "alice", Nonce: "n", Access: "token", IssuedAt: r.now()}
	sign, _ := bareES256()
	bare := floor(b, sign)
	over(b, bare, func() {
		if _, err := r.minter.IDToken(b.Context(), p); err != nil {
			b.Fatal(err)
		}
	})
}

func BenchmarkInspect(b *testing.B) {
	for name, tc := range map[string]struct {
		format string
		known  bool
		floor  func(r *rig) func()
	}{
		"JWT known":    {objects.FormatJWT, true, func(*rig) func() { _, verify := bareES256(); return verify }},
		"JWT new":      {objects.FormatJWT, false, func(*rig) func() { _, verify := bareES256(); return verify }},
		"opaque known": {objects.FormatOpaque, true, (*rig).bareRead},
		"opaque new":   {objects.FormatOpaque, false, (*rig).bareRead},
	} {
		b.Run(name, func(b *testing.B) {
			r := newRig(b, tokens.Lifetimes{})
			r.follow(b) // without it the memory is not asked
			p := plan(r, r.grant(b, false))
			p.Client.AccessTokenFormat = tc.format
			token, _ := r.mint(b, p)
			bare := floor(b, tc.floor(r))
			over(b, bare, func() {
				if !tc.known {
					r.minter.Forget()
				}
				if !r.active(b, token) {
					b.Fatal("not active")
				}
			})
		})
	}
}

// bareRead is one indexed read.
func (r *rig) bareRead() func() {
	return func() {
		_ = r.db.Read(context.Background(), func(tx *store.Tx) error { _, err := tx.Setting("pairwise_key"); return err })
	}
}
