package app

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/keys/signertest"
	"github.com/holdfast-iam/holdfast/jose"
)

// external is a signer with a key for ES256 and the configuration of a tenant that uses it.
func external(t *testing.T) (text, socket string, k jose.Key) {
	t.Helper()
	k, err := jose.GenerateKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(k.CryptoSigner().Public())
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "es256.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	socket = signertest.Signer{Keys: map[string]jose.Key{"hsm": k}, UID: uint32(os.Geteuid())}.Start(t)
	signer := `, keys: {signer: {socket: ` + socket + `, keys: [{algorithm: ES256, name: hsm, public_key: ` + file + `}]}}}`
	return strings.TrimSuffix(config, "}\n") + signer + "\n", socket, k
}

func TestTokensAreSignedByTheExternalSigner(t *testing.T) {
	text, socket, k := external(t)
	r := start(t, text)
	r.bring("main")
	token, _ := r.token("https://login.test").json(t)["access_token"].(string)
	set, err := jose.ParseSet([]byte(r.get(r.client(), "https://login.test/jwks").text))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := jose.Verify(token, []jose.Alg{jose.ES256}, set.Keys...); err != nil {
		t.Errorf("by the key set: %v", err)
	}
	if _, err := jose.Verify(token, []jose.Alg{jose.ES256}, k.Public().WithID(k.Thumbprint())); err != nil {
		t.Errorf("by the signer's key: %v", err)
	}

	if err := os.Rename(socket, socket+".away"); err != nil {
		t.Fatal(err)
	}
	got := r.token("https://login.test")
	if got.status != 503 || got.json(t)["error"] != "server_error" {
		t.Errorf("without the signer: %d %s", got.status, got.text)
	}
	record := r.log.wait(t, "request", "level", "ERROR", "route", "POST /token")
	if cause, _ := record["cause"].(string); !strings.Contains(cause, "the external signer did not sign") || !strings.Contains(cause, socket) {
		t.Errorf("logged %v", record)
	}
	if err := os.Rename(socket+".away", socket); err != nil {
		t.Fatal(err)
	}
	if got := r.token("https://login.test").status; got != 200 {
		t.Errorf("with the signer again: %d", got)
	}
	var out bytes.Buffer
	if err := Check(t.Context(), &Console{Out: &out, Err: &out}, r.file); err != nil || !strings.Contains(out.String(), "main: ES256 is signed by the external signer at "+socket+" with its key hsm\n") {
		t.Errorf("check: %v\n%s", err, out.String())
	}
}

func TestStartNeedsTheExternalSigner(t *testing.T) {
	text, socket, _ := external(t)
	dir := t.TempDir()
	if _, err := keys.CreateRing(filepath.Join(dir, "ring.json")); err != nil {
		t.Fatal(err)
	}
	open := func(text string) error {
		c, err := parseConfig(filepath.Join(dir, "holdfast.yaml"), []byte(text))
		if err != nil {
			return err
		}
		a, err := Open(t.Context(), c, slog.New(slog.DiscardHandler))
		if err == nil {
			err = a.Close()
		}
		return err
	}
	if err := open(strings.Replace(text, "name: hsm", "name: other", 1)); err == nil || !strings.Contains(err.Error(), "tenant main: try the external key other for ES256") {
		t.Errorf("a key that the signer does not have: %v", err)
	}
	if err := open(strings.Replace(text, "signer: {", "signer: {user: \"12345\", ", 1)); err == nil || !strings.Contains(err.Error(), "instead of 12345") {
		t.Errorf("a signer of somebody else: %v", err)
	}
	if err := open(text); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(socket); err != nil {
		t.Fatal(err)
	}
	if err := open(text); err == nil || !strings.Contains(err.Error(), "start the signer, or correct keys.signer") || !strings.Contains(err.Error(), socket) {
		t.Errorf("no signer: %v", err)
	}
	if err := open(config); err == nil || !strings.Contains(err.Error(), "none is configured") {
		t.Errorf("forgotten in the configuration: %v", err)
	}
}

func TestSignerMistakes(t *testing.T) {
	for _, c := range []struct{ signer, path string }{
		{`keys: [{algorithm: ES256, name: a, public_key: ring.json}]`, "socket"},
		{`socket: s, user: nobody-of-that-name`, "user"},
		{`socket: s, keys: [{algorithm: EdDSA, name: a, public_key: ring.json}]`, "keys[0].algorithm"},
		{`socket: s, keys: [{algorithm: RS256, name: a, public_key: ring.json}]`, "keys[0].algorithm"},
		{`socket: s, keys: [{algorithm: ES256, public_key: ring.json}]`, "keys[0].name"},
		{`socket: s, keys: [{algorithm: ES256, name: a, public_key: ring.json}]`, "keys[0].public_key"},
		{`socket: s, keys: [{algorithm: ES256, name: a}]`, "keys[0].public_key"},
		{`socket: s, keys: [{algorithm: ES256, name: a}, {algorithm: ES256, name: b}]`, "keys[1].algorithm"},
	} {
		text := strings.TrimSuffix(sound, "}\n") + ", signing_algorithms: [ES256], keys: {signer: {" + c.signer + "}}}\n"
		_, err := parseConfig(filepath.Join(folder(t), "holdfast.yaml"), []byte(text))
		problems, _ := errors.AsType[Problems](err)
		found := false
		for _, p := range problems {
			found = found || p.Path == "tenants[0].keys.signer."+c.path && p.Line > 0
		}
		if !found {
			t.Errorf("%s: %v", c.signer, err)
		}
	}
}
