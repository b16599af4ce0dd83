package objects_test

import (
	"encoding/json"
	"testing"

	"go.uber.org/goleak"

	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
)

const longSecret = "a-secret-of-thirty-two-characters"

func document(kind, body string) objects.Document {
	return objects.Document{Kind: kind, Body: json.RawMessage(body), Source: "clients.json:1"}
}

func importDocs(t *testing.T, db *store.DB, ring *keys.Ring, owner string, docs ...objects.Document) (r objects.Report, err error) {
	t.Helper()
	err = db.Write(t.Context(), func(tx *store.Tx) (err error) {
		r, err = objects.Import(tx, ring, owner, docs)
		return err
	})
	return r, err
}

func mustImport(t *testing.T, db *store.DB, ring *keys.Ring, owner string, docs ...objects.Document) objects.Report {
	t.Helper()
	r, err := importDocs(t, db, ring, owner, docs...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// publicJWK is a P-256 key without its private part.
const publicJWK = `{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}`

// privateJWK is the same with it (RFC 7515 appendix A.3).
const privateJWK = `{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}`

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
