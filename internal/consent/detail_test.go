package consent_test

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-iam/holdfast/internal/flow"
	"github.com/holdfast-iam/holdfast/internal/request"
	"github.com/holdfast-iam/holdfast/internal/store"
)

const orderType = `{"type":"order","title":"Order goods for you","words":["May {actions}","Up to {limit.value} {limit.currency} in one order"],
	"schema":{"properties":{"actions":{},"limit":{},"note":{}}}}`

// ask begins a request with details and nothing else, for a resource or any.
func (w *world) ask(details string, resources ...string) *flow.Interaction {
	w.t.Helper()
	i := w.keeper.New(&request.Authorization{
		ClientID: "shop", RedirectURI: "https://shop.example/cb", Resources: resources, Details: json.RawMessage(details),
	}, "")
	rec := httptest.NewRecorder()
	if err := w.keeper.Begin(rec, httptest.NewRequest("GET", "/", nil), i); err != nil {
		w.t.Fatal(err)
	}
	w.keep(rec.Result())
	return i
}

// RFC 9396 §4, §12: the person sees all that is asked for, and what comes from the client cannot look like our own words.
func TestRFC9396_4_DetailsInWords(t *testing.T) {
	w := newWorld(t)
	w.signIn("alice")
	_, body := w.get(w.ask(`[
		{"type":"order","actions":["read","<b>write</b>"],"limit":{"value":50,"currency":"EUR"},"locations":["https://api.example.com/orders"]},
		{"type":"order","limit":{"value":3},"note":"a\u202eb"},
		{"type":"gone","what":"x"}]`))
	for _, text := range []string{
		"<strong>Order goods for you</strong>", "<p>May <bdi>read, &lt;b&gt;write&lt;/b&gt;</bdi></p>",
		"<p>Up to <bdi>50</bdi> <bdi>EUR</bdi> in one order</p>", `<p class="at">Valid at <span class="tag">Orders</span></p></div></li>`,
		"<dt><bdi>limit.value</bdi></dt><dd><bdi>3</bdi></dd>", "<dt><bdi>note</bdi></dt><dd><bdi>a�b</bdi></dd>",
		"<strong>gone</strong>", "<dt><bdi>what</bdi></dt><dd><bdi>x</bdi></dd>",
		// It is for any API of the client, and the page names them.
		"Stock &amp; Store",
	} {
		if !strings.Contains(body, text) {
			t.Errorf("the page lacks %q", text)
		}
	}
	if t.Failed() {
		t.Log(body)
	}
}

func TestDetailsAreRemembered(t *testing.T) {
	w := newWorld(t)
	w.signIn("alice")
	const text = `[{"actions":["read"],"type":"order"}]`
	if res, _ := w.post(w.ask(text), "alice", "allow"); res.StatusCode != 303 {
		t.Fatalf("status %d", res.StatusCode)
	}
	c, _ := w.consent("alice")
	want := map[string][]string{"https://api.example.com/orders": nil, "https://api.example.com/stock": nil}
	if d := cmp.Diff(want, c.Allowed); d != "" || string(c.Details) != text {
		t.Errorf("details %s, allowed %s", c.Details, d)
	}
	w.write(func(tx *store.Tx) error {
		records, err := tx.Audits(store.AuditFilter{Action: "consent.grant"})
		if len(records) != 1 || string(records[0].Detail) != `{"resources":["https://api.example.com/orders","https://api.example.com/stock"],"authorization_details_types":["order"]}` {
			t.Errorf("audit %+v", records)
		}
		return err
	})
}

func TestDetailsAtOneAPI(t *testing.T) {
	w := newWorld(t)
	w.signIn("alice")
	i := w.ask(`[{"type":"order"}]`, "https://api.example.com/orders")
	if _, body := w.get(i); strings.Contains(body, "Stock") || !strings.Contains(body, ">Orders<") {
		t.Errorf("the page names another API: %s", body)
	}
}
