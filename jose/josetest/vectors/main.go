// Command vectors puts outside test vectors to package jose: one question per line of JSON on standard input, one answer
// per line on standard output, in the same order.
//
//	{"alg":"ES256","key":{…JWK…},"jws":"…"}         {"valid":true,"payload":"…base64url…"}
//	{"alg":"ECDH-ES","key":{…private JWK…},"jwe":"…"}   {"valid":false,"error":"…"}
//
// It is for tests and for nothing else: it reads symmetric keys as JWKs (RFC 7518 §6.4), which the package never does. Of
// a direct key, alg or the JWK's own alg names the content algorithm. Other members of a question are left alone. It
// knows no RFC of its own: what is valid is what package jose takes.
package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/holdfast-iam/holdfast/jose"
)

const maxLine = 1 << 20 // bytes; a key, a token of twice the length that jose reads, and the notes of a vector set

type question struct {
	Alg string          `json:"alg"`
	Key json.RawMessage `json:"key"`
	JWS *string         `json:"jws"`
	JWE *string         `json:"jwe"`
}

type answer struct {
	Valid   bool    `json:"valid"`
	Payload *string `json:"payload,omitempty"`
	Error   string  `json:"error,omitempty"`
}

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "vectors:", err)
		os.Exit(1)
	}
}

// run fails where there is no question to answer, which is not the same as a token that is not valid.
func run(in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLine)
	for n := 1; lines.Scan(); n++ {
		var q question
		if err := jose.Unmarshal(lines.Bytes(), &q); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		if (q.JWS == nil) == (q.JWE == nil) {
			return fmt.Errorf("line %d: a question has jws or jwe", n)
		}
		text, err := json.Marshal(answerTo(&q))
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		if _, err := fmt.Fprintf(out, "%s\n", text); err != nil {
			return err
		}
	}
	return lines.Err()
}

func answerTo(q *question) answer {
	read := q.decrypt
	if q.JWS != nil {
		read = q.verify
	}
	payload, err := read()
	if err != nil {
		return answer{Error: err.Error()}
	}
	text := base64.RawURLEncoding.EncodeToString(payload)
	return answer{Valid: true, Payload: &text}
}

func (q *question) verify() ([]byte, error) {
	var token *jose.Token
	if mac := jose.MAC(q.Alg); mac.Supported() {
		s, err := q.shared("sig", q.Alg)
		if err != nil {
			return nil, err
		}
		secret, err := jose.NewSecret(s.value)
		if err != nil {
			return nil, err
		}
		token, err = jose.VerifyMAC(*q.JWS, []jose.MAC{mac}, secret)
		if err != nil {
			return nil, err
		}
		return token.Payload, nil
	}
	key, err := jose.ParseKey(q.Key)
	if err != nil {
		return nil, err
	}
	token, err = jose.Verify(*q.JWS, []jose.Alg{jose.Alg(q.Alg)}, key)
	if err != nil {
		return nil, err
	}
	return token.Payload, nil
}

func (q *question) decrypt() ([]byte, error) {
	alg, key, err := q.decryptionKey()
	if err != nil {
		return nil, err
	}
	d := jose.Decrypter{
		Algs:     []jose.KeyAlg{alg},
		Contents: []jose.ContentAlg{jose.A128CBCHS256, jose.A256CBCHS512, jose.A128GCM, jose.A256GCM},
		Keys:     []jose.EncryptionKey{key},
	}
	if nested, err := d.Unnest(*q.JWE); err == nil {
		return []byte(nested.JWS), nil
	}
	m, err := d.Decrypt(*q.JWE)
	if err != nil {
		return nil, err
	}
	return m.Content, nil
}

func (q *question) decryptionKey() (jose.KeyAlg, jose.EncryptionKey, error) {
	alg := jose.KeyAlg(q.Alg)
	switch {
	case alg == jose.A128KW || alg == jose.A256KW:
		s, err := q.shared("enc", q.Alg)
		if err != nil {
			return "", jose.EncryptionKey{}, err
		}
		key, err := jose.WrapKey(s.value, alg)
		return alg, key.WithID(s.id), err
	case alg == jose.Direct || jose.ContentAlg(alg).Supported():
		s, err := q.shared("enc", "A128CBC-HS256", "A256CBC-HS512", "A128GCM", "A256GCM")
		if err != nil {
			return "", jose.EncryptionKey{}, err
		}
		content := jose.ContentAlg(q.Alg)
		if alg == jose.Direct {
			content = jose.ContentAlg(s.alg)
		}
		key, err := jose.DirectKey(s.value, content)
		return jose.Direct, key.WithID(s.id), err
	default:
		key, err := jose.ParseEncryptionKey(q.Key)
		return alg, key, err
	}
}

// symmetric is a JWK of type oct.
type symmetric struct {
	id, alg string
	value   []byte
}

// shared reads the key as a symmetric one that may have this use and one of these algorithms.
func (q *question) shared(use string, algs ...string) (symmetric, error) {
	var doc struct {
		Kty string `json:"kty"`
		K   string `json:"k"`
		Kid string `json:"kid"`
		Alg string `json:"alg"`
		Use string `json:"use"`
	}
	if err := jose.Unmarshal(q.Key, &doc); err != nil {
		return symmetric{}, err
	}
	switch {
	case doc.Kty != "oct":
		return symmetric{}, errors.New("vectors: the key is not symmetric")
	case doc.Use != "" && doc.Use != use:
		return symmetric{}, errors.New("vectors: the key is for another use")
	case doc.Alg != "" && !slices.Contains(algs, doc.Alg):
		return symmetric{}, errors.New("vectors: the key is for another algorithm")
	}
	value, err := base64.RawURLEncoding.Strict().DecodeString(doc.K)
	if err != nil {
		return symmetric{}, fmt.Errorf("vectors: k: %w", err)
	}
	return symmetric{id: doc.Kid, alg: doc.Alg, value: value}, nil
}
