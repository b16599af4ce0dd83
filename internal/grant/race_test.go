package grant_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
	"github.com/holdfast-iam/holdfast/internal/tokens"
)

func cutHandle(handle string) (id, secret string, ok bool) { return strings.Cut(handle, ".") }

// contend sends a request from many at once and counts the successes.
func contend(t *testing.T, n *tenant, try func() answer) (won int) {
	t.Helper()
	const contenders = 32
	answers := make([]answer, contenders)
	var all sync.WaitGroup
	for i := range contenders {
		all.Go(func() { answers[i] = try() })
	}
	all.Wait()
	for _, a := range answers {
		if a.status == 200 {
			won++
		} else {
			want(t, a, 400, a.str("error"))
		}
	}
	return won
}

func TestOnceMeansOnce(t *testing.T) {
	storetest.Engines(t, func(t *testing.T, db *store.DB) {
		n := installOn(t, db, tokens.Lifetimes{}).acme
		k := newKey(t)
		t.Run("code", func(t *testing.T) {
			code := n.code(t, "native")
			if won := contend(t, n, func() answer { return n.post(t, codeForm("native", code), k.proof()) }); won != 1 {
				t.Errorf("%d redeemed one code", won)
			}
		})
		t.Run("unbound refresh token", func(t *testing.T) {
			token := bearer(t, n).str("refresh_token")
			if won := contend(t, n, func() answer { return n.post(t, refreshForm("", token), withBasic("bearer", secret)) }); won != 1 {
				t.Errorf("%d used one refresh token", won)
			}
		})
		t.Run("proof", func(t *testing.T) {
			once := k.proofWith(set("jti", newJTI()))
			if won := contend(t, n, func() answer { return n.post(t, withSecret("machine"), once) }); won != 1 {
				t.Errorf("%d used one proof", won)
			}
		})
		t.Run("bound refresh token", func(t *testing.T) {
			token := ok(t, n.post(t, codeForm("native", n.code(t, "native")), k.proof())).str("refresh_token")
			if won := contend(t, n, func() answer { return n.post(t, refreshForm("native", token), k.proof()) }); won != 32 {
				t.Errorf("%d of 32 could use a bound refresh token", won)
			}
		})
	})
}
