package resourcetest_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/resource"
	"github.com/holdfast-iam/holdfast/resource/resourcetest"
)

// Each entry of the table is a request for the target that shows something, under a name of its own.
func TestForgeriesAreRequests(t *testing.T) {
	i := resourcetest.NewIssuer(t, nil)
	all := resourcetest.Forgeries(i, resourcetest.Target{URL: "https://api.example.com/orders", Audience: "https://api.example.com"})
	names := map[string]bool{}
	for _, f := range all {
		r := f.Request()
		if names[f.Name] || f.Status < 400 || r.Method != http.MethodGet || r.URL.Path != "/orders" {
			t.Errorf("%s: %+v", f.Name, f)
		}
		names[f.Name] = true
		if f.Code != "" && r.Header.Get("Authorization") == "" && !strings.Contains(r.URL.RawQuery, "ccess_token=ey") {
			t.Errorf("%s shows nothing", f.Name)
		}
	}
	if len(all) < 80 {
		t.Errorf("%d forgeries", len(all))
	}
}

// Ten lines show that an API is protected.
func ExampleAttack() {
	var t *testing.T // of the test
	issuer := resourcetest.NewIssuer(t, nil)
	v := issuer.Verifier("https://api.example.com")
	api := v.Handler(resource.Scopes("orders.read"), http.NotFoundHandler()) // yours
	resourcetest.Attack(t, api, issuer, resourcetest.Target{
		URL: "https://api.example.com/orders", Audience: "https://api.example.com", Claims: resourcetest.Claims{"scope": "orders.read"},
	})
}

func TestClockMovesOnlyWhenTold(t *testing.T) {
	c := resourcetest.NewClock(time.Unix(1, 0))
	if c.Advance(time.Second); !c.Now().Equal(time.Unix(2, 0)) {
		t.Error(c.Now())
	}
}
