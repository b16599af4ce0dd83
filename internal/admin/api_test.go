package admin_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
)

func newBody(s string) io.Reader { return strings.NewReader(s) }

const webClient = `{"client_id": "web", "redirect_uris": ["https://a.example/"], "generate_client_secret": true}`

type objectAnswer struct {
	Kind, Name   string
	Revision     int64
	ManagedBy    string `json:"managed_by"`
	Body         json.RawMessage
	ClientSecret string `json:"client_secret"`
	Notices      objects.Problems
}

func TestClients(t *testing.T) {
	b := single(t)
	w := b.call(201, "PUT", path+"/web", webClient, "If-None-Match", "*")
	var made objectAnswer
	w.into(&made)
	if w.Header().Get("ETag") != `"1"` || len(made.ClientSecret) < 43 || made.ManagedBy != "admin" || strings.Contains(w.Body.String(), "hash") {
		t.Fatalf("%v %s", w.Header(), w.Body)
	}
	w = b.call(200, "GET", path+"/web", "")
	var read objectAnswer
	w.into(&read)
	if w.Header().Get("ETag") != `"1"` || read.ClientSecret != "" || read.Name != "web" || strings.Contains(w.Body.String(), "hash") {
		t.Errorf("%v %s", w.Header(), w.Body)
	}
	// What was read can be written back, and keeps its secret.
	w = b.call(200, "PUT", path+"/web", string(read.Body), "If-Match", `"1"`)
	if w.Header().Get("ETag") != `"2"` {
		t.Errorf("ETag %s", w.Header().Get("ETag"))
	}
	var rotated objectAnswer
	b.call(200, "POST", path+"/web/secret", `{"keep_seconds": 60}`).into(&rotated)
	c := b.client("web")
	if len(c.Secrets) != 2 || !b.Ring.Matches(c.Secrets[0].Hash, rotated.ClientSecret) || !b.Ring.Matches(c.Secrets[1].Hash, made.ClientSecret) {
		t.Errorf("secrets %+v", c.Secrets)
	}
	b.call(400, "POST", path+"/web/secret", `{"keep_seconds": -1}`)
	b.call(400, "POST", path+"/web/secret", `{"keep": 1}`)
	b.call(404, "POST", path+"/none/secret", `{}`)
	b.call(412, "POST", path+"/web/secret", `{}`, "If-Match", `"1"`)
	b.call(204, "DELETE", path+"/web", "", "If-Match", `"3"`)
	b.call(404, "GET", path+"/web", "")
	b.call(404, "DELETE", path+"/web", "", "If-Match", "*")
	if got := b.records("clients.delete"); len(got) != 1 || got[0].ObjectID != "web" || got[0].ObjectKind != "client" {
		t.Errorf("records %+v", got)
	}
}

func (b *bench) client(id string) *objects.Client {
	b.t.Helper()
	c, err := objects.New(b.DB).Client(b.t.Context(), id)
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

func TestRFC9110_13_1_Preconditions(t *testing.T) {
	b := single(t)
	url := "/admin/v1/objects/scope/read"
	body := `{"name": "read"}`
	b.call(428, "PUT", url, body)
	b.call(412, "PUT", url, body, "If-Match", `"1"`)
	b.call(412, "PUT", url, body, "If-Match", "*")
	b.call(201, "PUT", url, body, "If-None-Match", "*")
	b.call(412, "PUT", url, body, "If-None-Match", "*")
	b.call(428, "PUT", url, body)
	b.call(428, "DELETE", url, "")
	b.call(412, "PUT", url, body, "If-Match", `"2"`)
	b.call(412, "DELETE", url, "", "If-Match", `"2"`)
	b.call(200, "PUT", url, body, "If-Match", `"1"`)
	b.call(200, "PUT", url, body, "If-Match", "*")
	for _, bad := range []string{`1`, `W/"1"`, `"x"`, `"01"`, `"0"`, `"1", "2"`, `""`} {
		b.call(400, "PUT", url, body, "If-Match", bad)
	}
	b.call(400, "PUT", url, body, "If-None-Match", `"1"`)
	b.call(400, "PUT", url, body, "If-None-Match", "*", "If-Match", `"1"`)
	b.call(204, "DELETE", url, "", "If-Match", `"3"`)
}

func TestRFC9457_ProblemsOfDocuments(t *testing.T) {
	b := single(t)
	w := b.call(422, "PUT", path+"/web", `{"redirect_uris": ["http://a.example/"], "grant_types": ["magic"]}`, "If-None-Match", "*")
	var got struct {
		Status           int
		Title, Type      string
		Instance, Detail string
		Problems         objects.Problems
	}
	w.into(&got)
	if got.Status != 422 || got.Type != "about:blank" || got.Title == "" || got.Instance != "r-1" || len(got.Problems) < 3 {
		t.Errorf("%s", w.Body)
	}
	for _, p := range got.Problems {
		if p.What == "" || p.Remedy == "" {
			t.Errorf("%+v", p)
		}
	}
	b.call(415, "PUT", path+"/web", webClient, "If-None-Match", "*", "Content-Type", "text/plain")
	b.call(404, "GET", "/admin/v1/nothing", "")
	b.call(405, "DELETE", path, "")
	b.call(400, "GET", path+"?colour=red", "")
	b.call(400, "GET", path+"?limit=501", "")
	b.call(404, "GET", "/admin/v1/clients/none", "")
}

// A preview shows claims of people, so whoever asks for one is on record, and the person with it.
func TestTokenPreview(t *testing.T) {
	b := single(t)
	const at = "/admin/v1/token-preview"
	w := b.call(200, "POST", at, `{"client_id":"web","user":"bob","scope":"openid"}`)
	if got := w.Body.String(); !strings.Contains(got, `"access_token":{"sub":"bob"}`) {
		t.Errorf("%s", got)
	}
	b.call(400, "POST", at, `{"client_id":"other"}`)
	b.call(400, "POST", at, `{}`)
	b.call(400, "POST", at, `{"client_id":"web","password":"x"}`)
	seen := map[string]bool{}
	for _, r := range b.records("tokens.preview") {
		seen[r.ObjectKind+" "+r.ObjectID+" by "+r.ActorID+" "+r.Outcome] = true
	}
	if !seen["client web by alice success"] || !seen["user bob by alice success"] {
		t.Errorf("records %v", seen)
	}
	b.tokens[b.token] = b.dpopToken("admin.clients.read", "admin.tokens.write")
	b.call(403, "POST", at, `{"client_id":"web"}`)
}

// The sector of a client is read before it is stored, one by one and in a batch.
func TestOIDCRegistration_5_SectorOfAClient(t *testing.T) {
	b := single(t)
	client := func(sector, redirect string) string {
		return `{"client_id":"p","subject_type":"pairwise","generate_client_secret":true,"sector_identifier_uri":"` + sector + `","redirect_uris":["` + redirect + `"]}`
	}
	const uri, listed = "https://sector.example/uris", "https://b.example/cb"
	b.call(422, "PUT", path+"/p", client(uri, "https://c.example/cb"), "If-None-Match", "*")
	b.call(422, "PUT", path+"/p", client("https://else.example/", listed), "If-None-Match", "*")
	b.call(201, "PUT", path+"/p", client(uri, listed), "If-None-Match", "*")
	b.call(204, "DELETE", path+"/p", "", "If-Match", "*")
	b.call(422, "POST", "/admin/v1/apply", `{"documents":[{"kind":"client","body":`+client(uri, "https://c.example/cb")+`}]}`)
	b.call(200, "POST", "/admin/v1/apply", `{"documents":[{"kind":"client","body":`+client(uri, listed)+`}]}`)
}

func TestObjectsOfOtherOwnersAndKinds(t *testing.T) {
	b := single(t)
	b.call(200, "POST", "/admin/v1/apply", `{"managed_by": "file", "documents": [{"kind": "scope", "body": {"name": "read"}}]}`)
	b.call(409, "PUT", "/admin/v1/objects/scope/read", `{"name": "read"}`, "If-Match", "*")
	b.call(409, "DELETE", "/admin/v1/objects/scope/read", "", "If-Match", "*")
	b.tokens[b.token].Scope = append(b.tokens[b.token].Scope, "admin.policys.read", "admin.policys.write")
	b.call(404, "GET", "/admin/v1/objects/policy", "")
	b.call(422, "PUT", "/admin/v1/objects/policy/x", `{}`, "If-None-Match", "*")
	resource := url.PathEscape("https://api.example.com/v1")
	b.call(201, "PUT", "/admin/v1/objects/api/"+resource, `{"scopes": ["read"]}`, "If-None-Match", "*")
	var got objectAnswer
	b.call(200, "GET", "/admin/v1/objects/api/"+resource, "").into(&got)
	if got.Name != "https://api.example.com/v1" {
		t.Errorf("%+v", got)
	}
}

func TestApplyIsIdempotentAndWhole(t *testing.T) {
	b := single(t)
	batch := `{"documents": [{"kind": "client", "body": ` + webClient + `}, {"kind": "scope", "name": "read", "body": {"colour": 1}}]}`
	var report struct {
		Created, Unchanged []string
		Secrets            map[string]string
		Notices            objects.Problems
	}
	b.call(200, "POST", "/admin/v1/apply", batch).into(&report)
	if !slices.Equal(report.Created, []string{"client/web", "scope/read"}) || len(report.Secrets["web"]) < 43 || len(report.Notices) != 1 {
		t.Errorf("%+v", report)
	}
	report.Created = nil
	b.call(200, "POST", "/admin/v1/apply", batch).into(&report)
	if len(report.Created) != 0 || len(report.Unchanged) != 2 {
		t.Errorf("%+v", report)
	}
	b.call(422, "POST", "/admin/v1/apply", `{"documents": [{"kind": "scope", "body": {"name": "new"}}, {"kind": "scope", "body": {}}]}`)
	b.call(404, "GET", "/admin/v1/objects/scope/new", "")
	b.call(400, "POST", "/admin/v1/apply", `{"managed_by": "partner", "documents": [{"kind": "scope", "body": {"name": "new"}}]}`)
	if got := b.records("scopes.put"); len(got) != 1 || got[0].ObjectID != "read" {
		t.Errorf("records %+v", got)
	}
}

func TestListsArePaged(t *testing.T) {
	b := single(t)
	for _, name := range []string{"a", "b", "c"} {
		b.call(201, "PUT", "/admin/v1/objects/scope/"+name, `{}`, "If-None-Match", "*")
	}
	var names []string
	after := ""
	for {
		var page struct {
			Items []objectAnswer
			Next  string
		}
		b.call(200, "GET", "/admin/v1/objects/scope?limit=2&after="+after, "").into(&page)
		for _, o := range page.Items {
			names = append(names, o.Name)
		}
		if after = page.Next; after == "" {
			break
		}
	}
	if !slices.Equal(names, []string{"a", "b", "c"}) {
		t.Errorf("names %v", names)
	}
	if w := b.call(200, "GET", "/admin/v1/objects/api", ""); !strings.Contains(w.Body.String(), `"items":[]`) {
		t.Errorf("%s", w.Body)
	}
}

func TestKeys(t *testing.T) {
	b := single(t)
	b.call(204, "POST", "/admin/v1/keys/rotate", `{"alg": "ES256"}`)
	var list struct {
		Items []struct{ State, Alg, ID string }
	}
	w := b.call(200, "GET", "/admin/v1/keys", "")
	w.into(&list)
	if len(list.Items) != 2 || strings.Contains(w.Body.String(), `"d"`) {
		t.Errorf("%s", w.Body)
	}
	b.call(204, "POST", "/admin/v1/keys/rotate", `{"alg": "ES256", "compromised": true}`)
	if n := len(b.Signing.PublicKeys()); n != 1 {
		t.Errorf("%d keys are published after a compromise", n)
	}
	b.call(400, "POST", "/admin/v1/keys/rotate", `{"alg": "RS256"}`)
	b.call(400, "POST", "/admin/v1/keys/rotate", `{}`)
	if got := b.records("keys.rotate"); len(got) != 2 {
		t.Errorf("records %+v", got)
	}
}

func TestAuditQuery(t *testing.T) {
	b := single(t)
	b.call(201, "PUT", "/admin/v1/objects/scope/read", `{}`, "If-None-Match", "*")
	var list struct {
		Items []struct {
			Action  string
			ActorID string `json:"actor_id"`
			At      time.Time
		}
	}
	b.call(200, "GET", "/admin/v1/audit?action=scopes.put&request_id=r-1&client=cli", "").into(&list)
	if len(list.Items) != 1 || list.Items[0].ActorID != "alice" || list.Items[0].At.IsZero() {
		t.Errorf("%+v", list)
	}
	b.call(200, "GET", "/admin/v1/audit?since="+url.QueryEscape(time.Now().Add(time.Hour).Format(time.RFC3339)), "").into(&list)
	if len(list.Items) != 0 {
		t.Errorf("%+v", list)
	}
	b.call(400, "GET", "/admin/v1/audit?since=yesterday", "")
}

func TestOpenAPIDescribesEveryRoute(t *testing.T) {
	b := single(t)
	w := b.do(b.request("GET", "/admin/v1/openapi.json", "", "Authorization", "", "DPoP", ""))
	var d struct {
		OpenAPI string
		Paths   map[string]map[string]struct {
			OperationID string
			Description string
		}
	}
	w.into(&d)
	if d.OpenAPI != "3.1.0" || len(d.Paths) < 14 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	ids := map[string]bool{}
	for path, methods := range d.Paths {
		for method, m := range methods {
			if ids[m.OperationID] && m.OperationID != "" {
				t.Errorf("%s is used twice", m.OperationID)
			}
			ids[m.OperationID] = true
			concrete := strings.NewReplacer("{kind}", "scope", "{id}", "x").Replace(path)
			if w := b.do(b.request(strings.ToUpper(method), "/admin/v1"+concrete, "", "Authorization", "")); w.Code != http.StatusUnauthorized {
				t.Errorf("%s %s without a token: %d", method, path, w.Code)
			}
			if !strings.Contains(m.Description, "admin.") {
				t.Errorf("%s %s does not say what it needs", method, path)
			}
		}
	}
}

func TestNothingCrossesTenants(t *testing.T) {
	storetest.Engines(t, func(t *testing.T, root *store.DB) {
		acme, beta := newBench(t, root, "acme"), newBench(t, root, "beta")
		acme.call(201, "PUT", path+"/web", webClient, "If-None-Match", "*")
		w := acme.call(201, "POST", "/admin/v1/users", `{"username": "alice", "password": "correct horse"}`)
		user := w.Header().Get("Location")[len(adminURL):]
		acme.call(200, "GET", user, "")

		beta.call(404, "GET", path+"/web", "")
		beta.call(404, "DELETE", path+"/web", "", "If-Match", "*")
		beta.call(404, "POST", path+"/web/secret", `{}`)
		beta.call(404, "GET", user, "")
		beta.call(404, "PUT", user+"/password", `{"password": "battery staple"}`)
		beta.call(404, "DELETE", user+"/sessions", "")
		beta.call(404, "DELETE", user, "", "If-Match", "*")
		for _, list := range []string{path, "/admin/v1/users", "/admin/v1/users?username=alice"} {
			if w := beta.call(200, "GET", list, ""); !strings.Contains(w.Body.String(), `"items":[]`) {
				t.Errorf("%s: %s", list, w.Body)
			}
		}
		if got := beta.records("clients.put"); len(got) != 0 {
			t.Errorf("records of the other tenant: %+v", got)
		}
		var ours, theirs struct{ Items []struct{ ID string } }
		acme.call(200, "GET", "/admin/v1/keys", "").into(&ours)
		beta.call(200, "GET", "/admin/v1/keys", "").into(&theirs)
		if len(ours.Items) != 1 || len(theirs.Items) != 1 || ours.Items[0].ID == theirs.Items[0].ID {
			t.Errorf("keys %+v and %+v", ours, theirs)
		}
		beta.token = acme.token // is no token there
		beta.call(401, "GET", path, "")
		acme.call(200, "GET", path+"/web", "")
	})
}
