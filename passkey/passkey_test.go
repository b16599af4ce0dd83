package passkey_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/passkey"
	"github.com/holdfast-iam/holdfast/passkey/passkeytest"
)

const (
	rpID   = "holdfast.localhost"
	origin = "https://login.holdfast.localhost:8443"
)

var now = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

func party(t testing.TB) *passkey.RP {
	t.Helper()
	rp, err := passkey.New(passkey.Party{ID: rpID, Name: "Holdfast", Origins: []string{origin}})
	if err != nil {
		t.Fatal(err)
	}
	return rp
}

func user() passkey.User {
	return passkey.User{Handle: bytes.Repeat([]byte{7}, 32), Name: "alice", DisplayName: "Alice"}
}

// register makes a passkey with the authenticator and returns its owner.
func register(t testing.TB, rp *passkey.RP, a *passkeytest.Authenticator) passkey.User {
	t.Helper()
	u := user()
	options, state, err := rp.BeginRegistration(u, now)
	if err != nil {
		t.Fatal(err)
	}
	response, err := a.Create(options)
	if err != nil {
		t.Fatal(err)
	}
	c, err := rp.FinishRegistration(u, state, response, now)
	if err != nil {
		t.Fatal(err)
	}
	u.Passkeys = append(u.Passkeys, c)
	return u
}

func login(t testing.TB, rp *passkey.RP, a *passkeytest.Authenticator, u passkey.User) (passkey.Assertion, error) {
	t.Helper()
	options, state, err := rp.BeginLogin(now)
	if err != nil {
		t.Fatal(err)
	}
	response, err := a.Get(options)
	if err != nil {
		t.Fatal(err)
	}
	return rp.FinishLogin(state, response, now, func([]byte, []byte) (passkey.User, error) { return u, nil })
}

func TestRegisterAndSignIn(t *testing.T) {
	rp, a := party(t), &passkeytest.Authenticator{Origin: origin}
	u := register(t, rp, a)
	if u.Passkeys[0].RPID != rpID || u.Passkeys[0].BackupEligible() {
		t.Errorf("stored %+v", u.Passkeys[0])
	}
	got, err := login(t, rp, a, u)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.UserHandle, u.Handle) || !bytes.Equal(got.CredentialID, u.Passkeys[0].ID) || !got.DeviceBound {
		t.Errorf("got %+v", got)
	}
	options, _, err := rp.BeginRegistration(u, now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Create(options); err == nil {
		t.Error("the authenticator was not excluded")
	}
}

func TestWebAuthn_7_2_EachWrongPointIsRefused(t *testing.T) {
	for name, spoil := range map[string]func(*passkeytest.Authenticator){
		"origin of a sibling": func(a *passkeytest.Authenticator) { a.Origin = "https://evil.holdfast.localhost:8443" },
		"another port":        func(a *passkeytest.Authenticator) { a.Origin = "https://login.holdfast.localhost:9999" },
		"rp id":               func(a *passkeytest.Authenticator) { a.RPID = "evil.localhost" },
		"challenge":           func(a *passkeytest.Authenticator) { a.Challenge = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" },
		"user verification":   func(a *passkeytest.Authenticator) { a.SkipVerification = true },
		"signature": func(a *passkeytest.Authenticator) {
			if err := a.ForgeKey(); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			rp, a := party(t), &passkeytest.Authenticator{Origin: origin}
			u := register(t, rp, a)
			spoil(a)
			if _, err := login(t, rp, a, u); !errors.Is(err, passkey.ErrResponse) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestWebAuthn_7_1_RegistrationVerifiesTheUser(t *testing.T) {
	rp, a := party(t), &passkeytest.Authenticator{Origin: origin, SkipVerification: true}
	options, state, err := rp.BeginRegistration(user(), now)
	if err != nil {
		t.Fatal(err)
	}
	response, err := a.Create(options)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rp.FinishRegistration(user(), state, response, now); !errors.Is(err, passkey.ErrResponse) {
		t.Errorf("got %v", err)
	}
}

func TestCeremoniesExpireAndDoNotMix(t *testing.T) {
	rp, a := party(t), &passkeytest.Authenticator{Origin: origin}
	u := register(t, rp, a)
	options, state, err := rp.BeginLogin(now)
	if err != nil {
		t.Fatal(err)
	}
	response, err := a.Get(options)
	if err != nil {
		t.Fatal(err)
	}
	find := func([]byte, []byte) (passkey.User, error) { return u, nil }
	if _, err := rp.FinishLogin(state, response, now.Add(passkey.Life), find); !errors.Is(err, passkey.ErrState) {
		t.Errorf("late: %v", err)
	}
	if _, err := rp.FinishRegistration(u, state, response, now); !errors.Is(err, passkey.ErrState) {
		t.Errorf("state of a login for a registration: %v", err)
	}
	_, other, err := rp.BeginLogin(now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rp.FinishLogin(other, response, now, find); !errors.Is(err, passkey.ErrResponse) {
		t.Errorf("answer to another challenge: %v", err)
	}
}

func TestBackupEligibility(t *testing.T) {
	rp, a := party(t), &passkeytest.Authenticator{Origin: origin}
	u := register(t, rp, a)
	a.Synced = true
	got, err := login(t, rp, a, u)
	if err != nil || !got.BackupEligibleChanged || got.DeviceBound {
		t.Errorf("0 to 1: %+v, %v", got, err)
	}
	u.Passkeys[0].Flags = got.Flags
	a.Synced = false
	if _, err := login(t, rp, a, u); !errors.Is(err, passkey.ErrResponse) {
		t.Errorf("1 to 0: %v", err)
	}
}

func TestCounterGoingBack(t *testing.T) {
	rp, a := party(t), &passkeytest.Authenticator{Origin: origin, Counter: 5}
	u := register(t, rp, a)
	got, err := login(t, rp, a, u)
	if err != nil {
		t.Fatal(err)
	}
	u.Passkeys[0].SignCount = got.SignCount
	a.Counter = 3
	if _, err := login(t, rp, a, u); !errors.Is(err, passkey.ErrCloned) {
		t.Errorf("got %v", err)
	}
}

func FuzzFinishLogin(f *testing.F) {
	rp, a := party(f), &passkeytest.Authenticator{Origin: origin}
	u := register(f, rp, a)
	options, state, err := rp.BeginLogin(now)
	if err != nil {
		f.Fatal(err)
	}
	response, err := a.Get(options)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(response)
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = rp.FinishLogin(state, data, now, func([]byte, []byte) (passkey.User, error) { return u, nil }) // must not crash
	})
}

func FuzzFinishRegistration(f *testing.F) {
	rp, a := party(f), &passkeytest.Authenticator{Origin: origin}
	options, state, err := rp.BeginRegistration(user(), now)
	if err != nil {
		f.Fatal(err)
	}
	response, err := a.Create(options)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(response)
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = rp.FinishRegistration(user(), state, data, now) // must not crash
	})
}
