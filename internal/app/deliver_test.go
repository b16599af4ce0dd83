package app

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/holdfast-iam/holdfast/internal/keys"
)

var secrets = regexp.MustCompile(`: [A-Za-z0-9_-]{43}\n`)

// TestBothWaysSayTheSame compares what bringing objects in through a server says with what it says without one.
func TestBothWaysSayTheSame(t *testing.T) {
	r := start(t, config)
	alone := t.TempDir()
	if _, err := keys.CreateRing(filepath.Join(alone, "ring.json")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(alone, "holdfast.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	for _, step := range []struct{ name, text string }{
		{"created", things + "---\nkind: client\nclient_id: gen\nredirect_uris: [\"https://a.test/c\"]\ngenerate_client_secret: true\n"},
		{"unchanged", things},
		{"updated", strings.Replace(things, "orders.read]", "orders.read, orders.write]", 1)},
		{"unknown kind", "kind: pear\nname: a\n"},
		{"several problems", "kind: client\nclient_id: a\nredirect_uris: [x]\nx_unknown: 1\n---\nkind: api\n---\nkind: user\nusername: bob\n"},
		{"twice", "kind: user\nusername: bob\n---\nkind: user\nusername: BOB\n"},
		{"people after things", "kind: scope\nname: s\n---\nkind: user\npassword: x\n"},
		{"notices", "kind: client\nclient_id: n\nredirect_uris: [\"https://n.test/c\"]\ntoken_endpoint_auth_method: none\ntos_uri: https://n.test/tos\nunheard_of: 1\n"},
	} {
		t.Run(step.name, func(t *testing.T) {
			if err := os.WriteFile(filepath.Join(folder, "o.yaml"), []byte(step.text), 0o600); err != nil {
				t.Fatal(err)
			}
			said := func(file, way string) string {
				var out, notes bytes.Buffer
				err := Apply(t.Context(), &Console{Out: &out, Err: &notes}, file, "", folder)
				first, rest, _ := strings.Cut(notes.String(), "\n")
				if !strings.HasPrefix(first, "note: "+way) {
					t.Errorf("took another way: %s", first)
				}
				text := secrets.ReplaceAllString(out.String(), ": …\n") + rest
				if err != nil {
					text += "error: " + err.Error()
				}
				return text
			}
			through, into := said(r.file, "through the server"), said(filepath.Join(alone, "holdfast.yaml"), "into the database")
			if through != into || through == "" {
				t.Errorf("through the server:\n%s\ninto the database:\n%s", through, into)
			}
		})
	}
}

func TestASocketThatAnswersWrong(t *testing.T) {
	for name, answer := range map[string]string{
		"did not answer":                "",
		"read the answer of the server": "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n[",
		"refused with status 500: it broke; its log has more under request id r1": "HTTP/1.1 500 No\r\nContent-Length: 37\r\n\r\n" + `{"detail":"it broke","instance":"r1"}`,
	} {
		t.Run(name, func(t *testing.T) {
			dir, err := os.MkdirTemp("", "hf")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.RemoveAll(dir) })
			l, err := net.Listen("unix", filepath.Join(dir, "s"))
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					_, _ = conn.Read(make([]byte, 4096)) // a look only reads nothing
					_, _ = conn.Write([]byte(answer))
					_ = conn.Close()
				}
			}()
			s, err := callServer(t.Context(), filepath.Join(dir, "s"))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.post(t.Context(), "/", 1); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("got %v", err)
			}
		})
	}
}
