package authn_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/authn"
	"github.com/holdfast-iam/holdfast/internal/session"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/passkey"
	"github.com/holdfast-iam/holdfast/passkey/passkeytest"
)

func TestRFC8176_2_PasskeyFactors(t *testing.T) {
	for _, c := range []struct {
		synced bool
		amr    []string
	}{{false, []string{"hwk", "user"}}, {true, []string{"swk", "user"}}} {
		r, a := newRig(t), &passkeytest.Authenticator{Origin: origin, Synced: c.synced}
		k := r.register(t, a)
		state, response := r.answer(t, a, "place")
		p, err := r.Passkey(from(t, ""), "place", state, response)
		if err != nil || p.Account.ID != r.alice.ID {
			t.Fatalf("%+v, %v", p, err)
		}
		f, err := r.use(p)
		if err != nil || f.Kind != session.Passkey || f.PasskeyID != k.ID || f.DeviceBound == c.synced || !slices.Equal(f.AMR, c.amr) {
			t.Errorf("factor %+v, %v", f, err)
		}
		r.read(t, func(tx *store.Tx) error {
			k, err := tx.Passkey(k.ID)
			if !k.LastUsedAt.Equal(r.now) {
				t.Errorf("last used at %v", k.LastUsedAt)
			}
			return err
		})
	}
}

func TestChallengesAreForOnePlaceKindAndTime(t *testing.T) {
	r, a := newRig(t), &passkeytest.Authenticator{Origin: origin}
	r.register(t, a)
	state, response := r.answer(t, a, "place")
	made, err := r.Passkeys.BeginRegistration(t.Context(), &r.alice, "place")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string][2]string{
		"another place":           {"other", state},
		"of a registration":       {"place", made.State},
		"of nothing":              {"place", ""},
		"shortened":               {"place", state[:len(state)-4]},
		"of our own making":       {"place", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"},
		"without separate places": {"", state},
	} {
		if _, err := r.Passkey(from(t, ""), c[0], c[1], response); !errors.Is(err, authn.ErrFailed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := r.Passkeys.CheckRegistration(t.Context(), &r.alice, "place", state, response); !errors.Is(err, authn.ErrFailed) {
		t.Errorf("a login as a registration: %v", err)
	}
	if p, err := r.Passkey(from(t, ""), "place", state, response); err != nil {
		t.Errorf("after all that: %v", err)
	} else if _, err := r.use(p); err != nil {
		t.Error(err)
	}
	state, response = r.answer(t, a, "place")
	r.now = r.now.Add(passkey.Life)
	if _, err := r.Passkey(from(t, ""), "place", state, response); !errors.Is(err, authn.ErrFailed) {
		t.Errorf("late: %v", err)
	}
}

func TestChallengesServeOnce(t *testing.T) {
	r, a := newRig(t), &passkeytest.Authenticator{Origin: origin}
	r.register(t, a)
	state, response := r.answer(t, a, "place")
	first, err := r.Passkey(from(t, ""), "place", state, response)
	if err != nil {
		t.Fatal(err)
	}
	// Base64 has more than one way to write the same bytes.
	second, err := r.Passkey(from(t, ""), "place", state[:10]+"\n"+state[10:], response)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.use(first); err != nil {
		t.Error(err)
	}
	if _, err := r.use(second); !errors.Is(err, authn.ErrFailed) {
		t.Errorf("the second use: %v", err)
	}

	state, response = r.answer(t, a, "place")
	forged := strings.Replace(response, `"type":"public-key"`, `"type":"public"`, 1)
	if _, err := r.Passkey(from(t, ""), "place", state, forged); !errors.Is(err, authn.ErrFailed) {
		t.Fatal(err)
	}
	p, err := r.Passkey(from(t, ""), "place", state, response)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.use(p); !errors.Is(err, authn.ErrFailed) {
		t.Errorf("the right answer after a wrong one: %v", err)
	}
}

func TestFailedCeremoniesAreSlowedDown(t *testing.T) {
	r, a := newRig(t), &passkeytest.Authenticator{Origin: "https://evil.example"}
	r.register(t, &passkeytest.Authenticator{Origin: origin})
	if _, err := a.Create([]byte(`{"challenge":"AAAA","rp":{"id":"holdfast.localhost"},"user":{"id":"AAAA"}}`)); err != nil {
		t.Fatal(err)
	}
	ctx := from(t, "192.0.2.0/24")
	for range 51 {
		state, response := r.answer(t, a, "place")
		if _, err := r.Passkey(ctx, "place", state, response); !errors.Is(err, authn.ErrFailed) {
			t.Fatal(err)
		}
	}
	state, response := r.answer(t, a, "place")
	if _, err := r.Passkey(ctx, "place", state, response); errors.Is(err, authn.ErrFailed) {
		t.Error("the 52nd failure of a network is as quick as the first")
	} else if _, slow := errors.AsType[*authn.SlowError](err); !slow {
		t.Error(err)
	}
	if _, err := r.Password(ctx, "alice", "correct horse"); err != nil {
		t.Errorf("passwords have to wait for passkeys: %v", err)
	}
	if _, err := r.Passkey(from(t, "198.51.100.0/24"), "place", state, response); !errors.Is(err, authn.ErrFailed) {
		t.Errorf("another network: %v", err)
	}
}

func TestDeclinedCeremonies(t *testing.T) {
	r := newRig(t)
	_, err := r.Passkey(from(t, ""), "place", "", `{"error":"NotAllowedError"}`)
	if e, ok := errors.AsType[*authn.DeclinedError](err); !ok || e.Name != "NotAllowedError" {
		t.Errorf("login: %v", err)
	}
	_, err = r.Passkeys.CheckRegistration(t.Context(), &r.alice, "place", "", `{"error":"InvalidStateError"}`)
	if e, ok := errors.AsType[*authn.DeclinedError](err); !ok || e.Name != "InvalidStateError" {
		t.Errorf("registration: %v", err)
	}
}

func TestPasskeyProofsAreWorthNothingAfterAChange(t *testing.T) {
	for name, change := range map[string]func(*store.Tx, store.Passkey) error{
		"deleted":         func(tx *store.Tx, k store.Passkey) error { return tx.DeletePasskey(k.AccountID, k.ID) },
		"account deleted": func(tx *store.Tx, k store.Passkey) error { return tx.DeleteAccount(k.AccountID) },
		"used by a clone": func(tx *store.Tx, k store.Passkey) error { k.SignCount += 100; return tx.UsePasskey(k) },
		"synced": func(tx *store.Tx, k store.Passkey) error {
			k.Flags |= passkey.FlagBackupEligible
			return tx.UsePasskey(k)
		},
		"account disabled": func(tx *store.Tx, k store.Passkey) error {
			a, err := tx.Account(k.AccountID)
			a.Disabled = true
			return errors.Join(err, tx.PutAccount(a))
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, a := newRig(t), &passkeytest.Authenticator{Origin: origin, Counter: 7}
			k := r.register(t, a)
			state, response := r.answer(t, a, "place")
			p, err := r.Passkey(from(t, ""), "place", state, response)
			if err != nil {
				t.Fatal(err)
			}
			r.write(t, func(tx *store.Tx) error { return change(tx, k) })
			if _, err := r.use(p); !errors.Is(err, authn.ErrFailed) {
				t.Errorf("in the write: %v", err)
			}
			state, response = r.answer(t, a, "place")
			if _, err := r.Passkey(from(t, ""), "place", state, response); !errors.Is(err, authn.ErrFailed) {
				t.Errorf("before it: %v", err)
			}
		})
	}
}

func TestAKeyThatBeginsToBeSyncedIsTold(t *testing.T) {
	r, a := newRig(t), &passkeytest.Authenticator{Origin: origin}
	k := r.register(t, a)
	a.Synced = true
	for n := range 2 {
		state, response := r.answer(t, a, "place")
		p, err := r.Passkey(from(t, ""), "place", state, response)
		if err != nil {
			t.Fatal(err)
		}
		if f, err := r.use(p); err != nil || f.DeviceBound {
			t.Errorf("sign-in %d: %+v, %v", n, f, err)
		}
	}
	mails := r.mails(t)
	if len(mails) != 1 || !strings.Contains(mails[0], "alice@example.com\nA passkey of your account is now synced") || !strings.Contains(mails[0], "Laptop") {
		t.Errorf("mails %q", mails)
	}
	r.read(t, func(tx *store.Tx) error {
		acts, err := tx.Audits(store.AuditFilter{Action: "passkey.sync", Limit: 10})
		if len(acts) != 1 || acts[0].ObjectID != k.ID || acts[0].RequestID != "R1" {
			t.Errorf("acts %+v", acts)
		}
		return err
	})
	a.Synced = false
	state, response := r.answer(t, a, "place")
	if _, err := r.Passkey(from(t, ""), "place", state, response); !errors.Is(err, authn.ErrFailed) {
		t.Errorf("back to one device: %v", err)
	}
}

func TestWebAuthn_7_1_ACredentialIsAddedOnce(t *testing.T) {
	r, a := newRig(t), &passkeytest.Authenticator{Origin: origin}
	c, err := r.Passkeys.BeginRegistration(t.Context(), &r.alice, "place")
	if err != nil {
		t.Fatal(err)
	}
	response, err := a.Create([]byte(c.Options))
	if err != nil {
		t.Fatal(err)
	}
	made, err := r.Passkeys.CheckRegistration(t.Context(), &r.alice, "place", c.State, string(response))
	if err != nil {
		t.Fatal(err)
	}
	r.write(t, func(tx *store.Tx) error {
		k := made.Passkey
		k.AccountID = "mallory"
		return tx.AddPasskey(k)
	})
	r.write(t, func(tx *store.Tx) error {
		if err := made.Add(tx, "Laptop"); !errors.Is(err, authn.ErrFailed) {
			t.Errorf("a credential of somebody else: %v", err)
		}
		return nil
	})
	r.write(t, func(tx *store.Tx) error {
		if err := made.Add(tx, "Laptop"); !errors.Is(err, authn.ErrFailed) {
			t.Errorf("the challenge again: %v", err)
		}
		return nil
	})
}

func TestRegistrationIsForThePageThatBeganIt(t *testing.T) {
	r, a := newRig(t), &passkeytest.Authenticator{Origin: origin}
	c, err := r.Passkeys.BeginRegistration(t.Context(), &r.alice, "place")
	if err != nil {
		t.Fatal(err)
	}
	response, err := a.Create([]byte(c.Options))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Passkeys.CheckRegistration(t.Context(), &r.alice, "other", c.State, string(response)); !errors.Is(err, authn.ErrFailed) {
		t.Errorf("another place: %v", err)
	}
	bob := store.Account{ID: "bob", Username: "bob", UserHandle: []byte("bob's handle of some length .....")}
	if _, err := r.Passkeys.CheckRegistration(t.Context(), &bob, "place", c.State, string(response)); !errors.Is(err, authn.ErrFailed) {
		t.Errorf("another account: %v", err)
	}
	r.now = r.now.Add(5 * time.Minute)
	if _, err := r.Passkeys.CheckRegistration(t.Context(), &r.alice, "place", c.State, string(response)); !errors.Is(err, authn.ErrFailed) {
		t.Errorf("late: %v", err)
	}
}
