package passkey_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

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
		"origin of the party": func(a *passkeytest.Authenticator) { a.Origin = "https://holdfast.localhost:8443" },
		"another port":        func(a *passkeytest.Authenticator) { a.Origin = "https://login.holdfast.localhost:9999" },
		"plain HTTP":          func(a *passkeytest.Authenticator) { a.Origin = "http://login.holdfast.localhost:8443" },
		"origin with a path":  func(a *passkeytest.Authenticator) { a.Origin = origin + "/login" },
		"origin in capitals":  func(a *passkeytest.Authenticator) { a.Origin = "https://LOGIN.holdfast.localhost:8443" },
		"no origin":           func(a *passkeytest.Authenticator) { a.Origin = "" },
		"frame of another":    func(a *passkeytest.Authenticator) { a.CrossOrigin = true },
		"ceremony type":       func(a *passkeytest.Authenticator) { a.Type = "webauthn.create" },
		"rp id":               func(a *passkeytest.Authenticator) { a.RPID = "evil.localhost" },
		"rp id of the origin": func(a *passkeytest.Authenticator) { a.RPID = "login.holdfast.localhost" },
		"challenge":           func(a *passkeytest.Authenticator) { a.Challenge = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" },
		"user verification":   func(a *passkeytest.Authenticator) { a.SkipVerification = true },
		"user presence":       func(a *passkeytest.Authenticator) { a.SkipPresence = true },
		"backup flags":        func(a *passkeytest.Authenticator) { a.BackedUpOnly = true },
		"user handle":         func(a *passkeytest.Authenticator) { a.Handle = []byte("mallory") },
		"no user handle":      func(a *passkeytest.Authenticator) { a.Handle = []byte{} },
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

func TestWebAuthn_7_1_EachWrongPointIsRefused(t *testing.T) {
	for name, a := range map[string]*passkeytest.Authenticator{
		"origin":            {Origin: "https://evil.holdfast.localhost:8443"},
		"rp id":             {Origin: origin, RPID: "evil.localhost"},
		"challenge":         {Origin: origin, Challenge: "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"},
		"ceremony type":     {Origin: origin, Type: "webauthn.get"},
		"frame of another":  {Origin: origin, CrossOrigin: true},
		"user verification": {Origin: origin, SkipVerification: true},
		"user presence":     {Origin: origin, SkipPresence: true},
		"backup flags":      {Origin: origin, BackedUpOnly: true},
		"not discoverable":  {Origin: origin, NotResident: true},
	} {
		t.Run(name, func(t *testing.T) {
			rp := party(t)
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
		})
	}
}

func TestWebAuthn_7_1_RegistrationIsForOneUser(t *testing.T) {
	rp, a := party(t), &passkeytest.Authenticator{Origin: origin}
	options, state, err := rp.BeginRegistration(user(), now)
	if err != nil {
		t.Fatal(err)
	}
	response, err := a.Create(options)
	if err != nil {
		t.Fatal(err)
	}
	other := passkey.User{Handle: bytes.Repeat([]byte{8}, 32), Name: "mallory"}
	if _, err := rp.FinishRegistration(other, state, response, now); !errors.Is(err, passkey.ErrResponse) {
		t.Errorf("got %v", err)
	}
}

// The options are what browsers act on: nothing weaker may slip in with a new release of the library.
func TestWebAuthn_5_4_Options(t *testing.T) {
	rp, a := party(t), &passkeytest.Authenticator{Origin: origin}
	u := register(t, rp, a)
	created, _, err := rp.BeginRegistration(u, now)
	if err != nil {
		t.Fatal(err)
	}
	got, _, err := rp.BeginLogin(now)
	if err != nil {
		t.Fatal(err)
	}
	id := base64.RawURLEncoding.EncodeToString(u.Passkeys[0].ID)
	handle := base64.RawURLEncoding.EncodeToString(u.Handle)
	for _, c := range []struct {
		options json.RawMessage
		want    string
	}{
		{created, `{"rp":{"name":"Holdfast","id":"holdfast.localhost"},"user":{"name":"alice","displayName":"Alice","id":"` + handle + `"},
			"pubKeyCredParams":[{"type":"public-key","alg":-7},{"type":"public-key","alg":-257},{"type":"public-key","alg":-8}],
			"authenticatorSelection":{"requireResidentKey":true,"residentKey":"required","userVerification":"required"},
			"excludeCredentials":[{"type":"public-key","id":"` + id + `","transports":["internal"]}],
			"attestation":"none","extensions":{"credProps":true},"timeout":300000}`},
		{got, `{"rpId":"holdfast.localhost","userVerification":"required","timeout":300000}`},
	} {
		var have, want map[string]any
		if err := errors.Join(json.Unmarshal(c.options, &have), json.Unmarshal([]byte(c.want), &want)); err != nil {
			t.Fatal(err)
		}
		challenge, err := base64.RawURLEncoding.DecodeString(fmt.Sprint(have["challenge"]))
		if err != nil || len(challenge) != 32 {
			t.Errorf("challenge of %d bytes, %v", len(challenge), err)
		}
		delete(have, "challenge")
		if diff := cmp.Diff(want, have); diff != "" {
			t.Error(diff)
		}
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
	if u.Passkeys[0].BackupEligible() {
		t.Error("the caller's own value was changed")
	}
	u.Passkeys[0].Flags = got.Flags
	if got, err := login(t, rp, a, u); err != nil || got.BackupEligibleChanged {
		t.Errorf("the second time: %+v, %v", got, err)
	}
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
	for name, next := range map[string]uint32{"back": 3, "the same": got.SignCount - 1, "none": 0} {
		a.Counter = next
		if _, err := login(t, rp, a, u); !errors.Is(err, passkey.ErrCloned) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	a.Counter = got.SignCount
	if _, err := login(t, rp, a, u); err != nil {
		t.Errorf("on: %v", err)
	}
}

func TestCountersOfSyncedPasskeysDoNotCount(t *testing.T) {
	rp, a := party(t), &passkeytest.Authenticator{Origin: origin, Counter: 5, Synced: true}
	u := register(t, rp, a)
	u.Passkeys[0].SignCount = 9
	if _, err := login(t, rp, a, u); err != nil {
		t.Error(err)
	}
}

func TestUnknownPasskey(t *testing.T) {
	rp, a := party(t), &passkeytest.Authenticator{Origin: origin}
	register(t, rp, a)
	options, state, err := rp.BeginLogin(now)
	if err != nil {
		t.Fatal(err)
	}
	response, err := a.Get(options)
	if err != nil {
		t.Fatal(err)
	}
	nobody := func([]byte, []byte) (passkey.User, error) { return passkey.User{}, passkey.ErrUnknown }
	if _, err := rp.FinishLogin(state, response, now, nobody); !errors.Is(err, passkey.ErrUnknown) {
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
