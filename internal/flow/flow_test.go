package flow_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-iam/holdfast/internal/flow"
	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/request"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/oauth"
)

// browser keeps cookies as one does.
type browser map[string]string

func (b browser) request() *http.Request {
	r := httptest.NewRequest("GET", "https://login.example/x", nil)
	for name, value := range b {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	return r
}

// take stores what a response sets, and requires the attributes without which __Host- names are refused.
func (b browser) take(t testing.TB, w *httptest.ResponseRecorder) {
	t.Helper()
	for _, c := range w.Result().Cookies() {
		if !strings.HasPrefix(c.Name, web.InteractionCookie) || len(c.Name) != len(web.InteractionCookie)+8 {
			t.Errorf("cookie %s", c.Name)
		}
		if !c.Secure || !c.HttpOnly || c.Path != "/" || c.Domain != "" || c.SameSite != http.SameSiteLaxMode {
			t.Errorf("attributes of %s", c.Raw)
		}
		if c.MaxAge < 0 {
			delete(b, c.Name)
			continue
		}
		if c.MaxAge != int(flow.Lifetime/time.Second) {
			t.Errorf("lives %d s", c.MaxAge)
		}
		b[c.Name] = c.Value
	}
}

type rig struct {
	root       *store.DB
	ring       *keys.Ring
	now        time.Time
	acme, beta *flow.Keeper
}

func newRig(t testing.TB) *rig {
	t.Helper()
	r := &rig{now: start, ring: keys.NewRing()}
	clock := func() time.Time { return r.now }
	r.root = storetest.Open(t, store.Options{Now: clock})
	r.acme = &flow.Keeper{DB: r.root.For("acme"), Sealer: r.ring, Now: clock}
	r.beta = &flow.Keeper{DB: r.root.For("beta"), Sealer: r.ring, Now: clock, Base: "/beta"}
	return r
}

func begin(t testing.TB, k *flow.Keeper, b browser, i *flow.Interaction) *flow.Interaction {
	t.Helper()
	w := httptest.NewRecorder()
	if err := k.Begin(w, b.request(), i); err != nil {
		t.Fatal(err)
	}
	b.take(t, w)
	return i
}

func authorization() *request.Authorization {
	return &request.Authorization{ClientID: "app", RedirectURI: "https://app.example/cb", Scope: []string{"openid"}, CodeChallenge: "c", State: "s"}
}

func TestInteractionTravelsInTheBrowser(t *testing.T) {
	r, b := newRig(t), browser{}
	i := begin(t, r.acme, b, r.acme.New(authorization(), ""))
	for _, value := range b {
		if strings.Contains(value, "app") {
			t.Error("the cookie can be read")
		}
	}
	got, err := r.acme.Open(b.request(), i.ID)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(i, got); d != "" {
		t.Error(d)
	}
	got.ConsentAt, got.Refused = r.now, oauth.AccessDenied
	w := httptest.NewRecorder()
	if err := r.acme.Save(w, got); err != nil {
		t.Fatal(err)
	}
	b.take(t, w)
	again, err := r.acme.Open(b.request(), i.ID)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(got, again); d != "" || len(b) != 1 {
		t.Error(d, len(b))
	}
	w = httptest.NewRecorder()
	r.acme.End(w, i)
	b.take(t, w)
	if _, err := r.acme.Open(b.request(), i.ID); !isNone(err) {
		t.Errorf("after its end: %v", err)
	}
}

func isNone(err error) bool {
	e, ok := errors.AsType[*oauth.Error](err)
	return ok && e.Code == flow.ErrNone.Code && e.Detail == flow.ErrNone.Detail
}

func TestOpenRefuses(t *testing.T) {
	r, b := newRig(t), browser{}
	i := begin(t, r.acme, b, r.acme.New(authorization(), ""))
	name, value := "", ""
	for n, v := range b {
		name, value = n, v
	}
	other := begin(t, r.acme, browser{}, r.acme.New(authorization(), ""))
	shifted := web.InteractionCookie + other.ID[:8]
	last := byte('A')
	if value[len(value)/2] == last {
		last = 'B'
	}
	for _, c := range []struct {
		what   string
		keeper *flow.Keeper
		b      browser
		id     string
	}{
		{"another browser", r.acme, browser{}, i.ID},
		{"another id", r.acme, b, other.ID},
		{"an id that begins alike", r.acme, b, i.ID[:8] + "AAAAAAAAAAAAAA"},
		{"a short id", r.acme, b, i.ID[:7]},
		{"no id", r.acme, b, ""},
		{"changed bytes", r.acme, browser{name: value[:len(value)/2] + string(last) + value[len(value)/2+1:]}, i.ID},
		{"another name", r.acme, browser{shifted: value}, other.ID},
		{"another tenant on the same host", r.beta, b, i.ID},
	} {
		t.Run(c.what, func(t *testing.T) {
			if _, err := c.keeper.Open(c.b.request(), c.id); !isNone(err) {
				t.Errorf("got %v", err)
			}
		})
	}
	r.now = start.Add(flow.Lifetime)
	if _, err := r.acme.Open(b.request(), i.ID); !isNone(err) {
		t.Errorf("after its time: %v", err)
	}
}

// Five at most, the oldest goes; tenants that share a host share the five; what cannot be opened goes first.
func TestFiveInteractions(t *testing.T) {
	r, b := newRig(t), browser{web.InteractionCookie + "AAAAAAAA": "rubbish"}
	var all []*flow.Interaction
	for n := range 7 {
		k := r.acme
		if n == 3 {
			k = r.beta
		}
		all = append(all, begin(t, k, b, k.New(authorization(), "")))
		r.now = r.now.Add(time.Second)
	}
	if len(b) != 5 {
		t.Errorf("%d cookies", len(b))
	}
	for n, i := range all {
		k := r.acme
		if n == 3 {
			k = r.beta
		}
		if _, err := k.Open(b.request(), i.ID); (err == nil) != (n >= 2) {
			t.Errorf("interaction %d: %v", n, err)
		}
	}
}

func TestTooLargeForACookie(t *testing.T) {
	r := newRig(t)
	a := authorization()
	a.State = strings.Repeat("s", 2600)
	err := r.acme.Begin(httptest.NewRecorder(), browser{}.request(), r.acme.New(a, ""))
	if e, ok := errors.AsType[*oauth.Error](err); !ok || e.Code != oauth.InvalidRequest || !strings.Contains(e.Detail, "PAR") {
		t.Errorf("got %v", err)
	}
	if err := r.acme.Begin(httptest.NewRecorder(), browser{}.request(), r.acme.New(a, "pushed")); err != nil {
		t.Errorf("pushed: %v", err)
	}
}

func TestPushedRequestStaysInTheStore(t *testing.T) {
	r, b := newRig(t), browser{}
	a := authorization()
	params, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	write := func(fn func(*store.Tx) error) {
		t.Helper()
		if err := r.acme.DB.Write(t.Context(), fn); err != nil {
			t.Fatal(err)
		}
	}
	add := func(id string) {
		write(func(tx *store.Tx) error {
			return tx.AddPushedRequest(store.PushedRequest{
				ID: id, ClientID: "app", Params: params, OpenUntil: start.Add(time.Minute), PurgeAt: start.Add(31 * time.Minute),
			})
		})
	}
	add("p1")
	i := begin(t, r.acme, b, r.acme.New(a, "p1"))
	r.now = start.Add(20 * time.Minute) // long after it could be opened anew
	got, err := r.acme.Open(b.request(), i.ID)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(i, got); d != "" {
		t.Error(d)
	}
	write(func(tx *store.Tx) error { return tx.SpendPushedRequest("p1") })
	if _, err := r.acme.Open(b.request(), i.ID); !isNone(err) {
		t.Errorf("after its answer: %v", err)
	}
	gone := begin(t, r.acme, b, r.acme.New(a, "p2"))
	if _, err := r.acme.Open(b.request(), gone.ID); !isNone(err) {
		t.Errorf("without a row: %v", err)
	}
}

func TestURLs(t *testing.T) {
	r := newRig(t)
	i := &flow.Interaction{ID: "abcdefgh-_"}
	for want, got := range map[string]string{
		"/login?i=abcdefgh-_":               r.acme.LoginURL(i),
		"/beta/login/consent?i=abcdefgh-_":  r.beta.ConsentURL(i),
		"/beta/authorize/next?i=abcdefgh-_": r.beta.NextURL(i),
		"/beta/account":                     r.beta.AccountURL(),
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func FuzzOpen(f *testing.F) {
	r := newRig(f)
	f.Add("abcdefghijkl", "", []byte(`{"n":"acme","i":"abcdefghijkl","q":{"c":"app"},"t":"2030-01-02T03:04:05Z"}`))
	f.Add("abcdefgh", "x", []byte(nil))
	f.Add("", "", []byte(`{}`))
	f.Add("abcdefgh", "", []byte(`{"n":"acme","i":"","p":"p","t":"2030-01-02T03:04:05Z"}`))
	f.Add("abcdefgh", "", []byte(`{"n":"acme","i":"abcdefgh","p":"\u0000","t":"9999-01-02T03:04:05Z","c":1}`))
	f.Fuzz(func(t *testing.T, id, value string, plain []byte) {
		name := web.InteractionCookie + id[:min(8, len(id))]
		genuine := value == ""
		if genuine {
			value = r.ring.SealText(name, plain)
		}
		q := httptest.NewRequest("GET", "https://login.example/x", nil)
		q.Header.Set("Cookie", name+"="+value)
		i, err := r.acme.Open(q, id)
		if err == nil && (!genuine || i.ID != id || i.Request == nil && i.Return == "") {
			t.Fatalf("opened %+v", i)
		}
		if err := r.acme.Begin(httptest.NewRecorder(), q, r.acme.NewAccount()); err != nil {
			t.Fatal(err)
		}
	})
}
