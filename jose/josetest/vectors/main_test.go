package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/holdfast-iam/holdfast/jose"
)

// The vectors of the specifications themselves; those without a wish are right, and refused by policy, or are spoilt.
func TestVectorsOfTheSpecifications(t *testing.T) {
	questions, err := os.ReadFile("testdata/rfc.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := run(bytes.NewReader(questions), &out); err != nil {
		t.Fatal(err)
	}
	asked, answers := strings.Split(strings.TrimSpace(string(questions)), "\n"), strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(asked) != len(answers) {
		t.Fatalf("%d questions, %d answers", len(asked), len(answers))
	}
	for i := range asked {
		var q struct {
			Name string  `json:"name"`
			Want *string `json:"want"`
		}
		if err := json.Unmarshal([]byte(asked[i]), &q); err != nil {
			t.Fatal(err)
		}
		var a answer
		if err := jose.Unmarshal([]byte(answers[i]), &a); err != nil {
			t.Fatal(err)
		}
		switch {
		case q.Want == nil:
			if a.Valid || a.Payload != nil || a.Error == "" {
				t.Errorf("%s: %s", q.Name, answers[i])
			}
		case !a.Valid || a.Payload == nil || a.Error != "":
			t.Errorf("%s: %s", q.Name, answers[i])
		default:
			if payload, err := base64.RawURLEncoding.DecodeString(*a.Payload); err != nil || string(payload) != *q.Want {
				t.Errorf("%s: %q, %v", q.Name, payload, err)
			}
		}
	}
}

// An RSA key, a nested token and an empty payload, which the vectors above do not have.
func TestWhatTheVectorsLack(t *testing.T) {
	own, err := jose.GenerateEncryptionKey(jose.RSAOAEP256)
	if err != nil {
		t.Fatal(err)
	}
	signing, err := jose.GenerateKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	s, err := jose.NewSigner(signing)
	if err != nil {
		t.Fatal(err)
	}
	e, err := jose.NewEncrypter(own.Public(), jose.RSAOAEP256, jose.A256CBCHS512)
	if err != nil {
		t.Fatal(err)
	}
	empty, err := e.Encrypt("", nil)
	if err != nil {
		t.Fatal(err)
	}
	nested, err := e.Nest(s, "JWT", struct{}{})
	if err != nil {
		t.Fatal(err)
	}
	key, err := json.Marshal(own)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(token string) string {
		return `{"alg":"RSA-OAEP-256","key":` + string(key) + `,"jwe":"` + token + `"}` + "\n"
	}
	var out bytes.Buffer
	if err := run(strings.NewReader(ask(empty)+ask(nested)), &out); err != nil {
		t.Fatal(err)
	}
	first, second, _ := strings.Cut(strings.TrimSpace(out.String()), "\n")
	if first != `{"valid":true,"payload":""}` {
		t.Errorf("empty: %s", first)
	}
	var a answer
	if err := json.Unmarshal([]byte(second), &a); err != nil || !a.Valid {
		t.Fatalf("nested: %s, %v", second, err)
	}
	token, err := base64.RawURLEncoding.DecodeString(*a.Payload)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := jose.Verify(string(token), []jose.Alg{jose.ES256}, signing.Public()); err != nil {
		t.Errorf("nested: %v", err)
	}
}

func TestQuestionsThatAreNone(t *testing.T) {
	for name, line := range map[string]string{
		"no JSON": "ES256", "neither": `{"alg":"ES256","key":{}}`, "both": `{"alg":"ES256","key":{},"jws":"","jwe":""}`,
		"alg twice": `{"alg":"ES256","alg":"ES256","key":{},"jws":""}`, "longer": `{"alg":"` + strings.Repeat("x", maxLine) + `"}`,
	} {
		var out bytes.Buffer
		if err := run(strings.NewReader(line+"\n"), &out); err == nil || out.Len() > 0 {
			t.Errorf("%s: %v, %s", name, err, out.String())
		}
	}
}
