package resource_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/resource"
	"github.com/holdfast-iam/holdfast/resource/resourcetest"
)

const (
	audience = "https://api.example.com/shop"
	orders   = "https://api.example.com/shop/orders"
)

var start = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

func TestForgeries(t *testing.T) {
	i := resourcetest.NewIssuer(t, resourcetest.NewClock(start).Now)
	reached := 0
	h := i.Verifier(audience).HandlerFunc(resource.Scopes("orders.read"), func(w http.ResponseWriter, _ *http.Request) { reached++ })
	resourcetest.Attack(t, h, i, resourcetest.Target{
		URL: orders, Audience: audience, Claims: resourcetest.Claims{"scope": "orders.read orders.write"},
	})
	if reached != 3 { // the two right requests, and the one that was repeated
		t.Errorf("the handler was reached %d times", reached)
	}
}

// forgetful finds every proof fresh.
type forgetful struct{}

func (forgetful) Claim(context.Context, string, time.Time) (bool, error) { return true, nil }
