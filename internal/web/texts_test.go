package web_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"strings"
	"testing"
)

// TestTexts holds that the catalogue has each text once, and none that nobody shows.
func TestTexts(t *testing.T) {
	data, err := os.ReadFile("texts/en.json")
	if err != nil {
		t.Fatal(err)
	}
	var used strings.Builder
	err = fs.WalkDir(os.DirFS(".."), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(name, "_test.go") || !strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, ".html") {
			return err
		}
		source, err := os.ReadFile("../" + name)
		used.Write(source)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	decoder := json.NewDecoder(strings.NewReader(string(data)))
	if _, err := decoder.Token(); err != nil {
		t.Fatal(err)
	}
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			t.Fatal(err)
		}
		text, err := decoder.Token()
		if err != nil {
			t.Fatal(err)
		}
		name, _ := key.(string)
		if seen[name] || text == "" {
			t.Errorf("%s is there twice or empty", name)
		}
		seen[name] = true
		if !strings.Contains(used.String(), `"`+name+`"`) && !strings.HasPrefix(name, "passkey.title_") {
			t.Errorf("nobody shows %s", name)
		}
	}
}
