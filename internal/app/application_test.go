package app

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/jose"
)

// TestCheckNamesWhatIsChosenForApplications has two applications, of which one is as it should be.
func TestCheckNamesWhatIsChosenForApplications(t *testing.T) {
	text := strings.NewReplacer("hosts: [login.test]", "hosts: [login.test, api.login.test]", `issuer: "https://login.test"}`,
		`issuer: "https://login.test", token_handler: {url: "https://api.login.test/apps"}}`).Replace(config)
	r := start(t, text)
	weak := map[string]any{"allow_bearer_tokens": true, "session_storage": "stateless", "cookie_prefix": "none"}
	for name, members := range map[string]map[string]any{"weak": weak, "sound": {}} {
		key, err := jose.GenerateKey(jose.ES256)
		if err != nil {
			t.Fatal(err)
		}
		members["name"], members["client_id"], members["key"] = name, name, key
		members["origins"], members["redirect_uri"] = []string{"https://app.test"}, "https://app.test/"
		body, err := json.Marshal(members)
		if err != nil {
			t.Fatal(err)
		}
		err = r.app.DB.For("main").Write(t.Context(), func(tx *store.Tx) error {
			_, err := objects.Import(tx, r.app.Ring, objects.ManagedByFile, []objects.Document{{Kind: objects.KindApplication, Body: body}})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	check := func() string {
		t.Helper()
		text, err := said(t, func(c *Console) error { return Check(t.Context(), c, r.file) })
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	named := check()
	for _, member := range []string{"allow_bearer_tokens", "session_storage stateless", "cookie_prefix none"} {
		if !strings.Contains(named, "main: application weak: "+member+": ") {
			t.Errorf("%s is not named in\n%s", member, named)
		}
	}
	if strings.Contains(named, "sound") || !strings.Contains(named, "main: 0 clients, 3 chosen weaknesses") {
		t.Errorf("said\n%s", named)
	}
	r.write("holdfast.yaml", strings.Replace(text, "/apps\"}", "/apps\", cookie_domain: login.test}", 1))
	if named := check(); !strings.Contains(named, "main: token_handler.cookie_domain: every host below login.test") || strings.Contains(named, "cookie_prefix") {
		t.Errorf("said\n%s", named)
	}
}
