package clients_test

import (
	"crypto/x509"
	"encoding/json"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/ca"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/oauth"
)

func TestRFC8705_2_1_Certificate(t *testing.T) {
	r, p := newRig(t), parties()
	for _, c := range []struct {
		name, client string
		peer         web.Peer
		cause        string
	}{
		{"right", "tls", web.Peer{Certificate: p.leaf, Chain: p.middle}, ""},
		{"without its intermediate", "tls", web.Peer{Certificate: p.brief}, "not trusted"},
		{"of an authority that is not ours", "tls", web.Peer{Certificate: p.foreign, Chain: p.middle}, "not trusted"},
		{"of its own making", "tls", web.Peer{Certificate: p.selfMade}, "not trusted"},
		{"of another name", "tls-else", web.Peer{Certificate: p.leaf, Chain: p.middle}, "not the registered one"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := r.try(offer{form: form("client_id", c.client), peer: c.peer})
			if c.cause == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			refused(t, err, oauth.InvalidClient, c.cause)
		})
	}
}

// The verdict on a chain is remembered; whether its certificates are still in their time is not.
func TestExpiryIsCheckedPerRequest(t *testing.T) {
	r, p := newRig(t), parties()
	try := func(peer web.Peer) error {
		_, _, err := r.try(offer{form: form("client_id", "tls"), peer: peer})
		return err
	}
	brief := web.Peer{Certificate: p.brief, Chain: p.middle}
	if err := try(brief); err != nil {
		t.Fatal(err)
	}
	if err := try(web.Peer{Certificate: p.brief}); err != nil {
		t.Errorf("the verdict was not remembered: %v", err)
	}
	r.now = p.brief.NotAfter.Add(time.Second)
	refused(t, try(brief), oauth.InvalidClient, "expired")

	r.now = p.middle[0].NotAfter.Add(-time.Second)
	p.leaf.NotAfter = p.middle[0].NotAfter.Add(time.Hour)
	defer func(at time.Time) { p.leaf.NotAfter = at }(start.AddDate(0, 1, 0))
	leaf := web.Peer{Certificate: p.leaf, Chain: p.middle}
	if err := try(leaf); err != nil {
		t.Fatal(err)
	}
	r.now = p.middle[0].NotAfter.Add(time.Second)
	refused(t, try(leaf), oauth.InvalidClient, "not trusted")
}

// A verdict is about one client as it is now.
func TestVerdictEndsWithTheRegistration(t *testing.T) {
	r, p := newRig(t), parties()
	try := func(client string) error {
		_, _, err := r.try(offer{form: form("client_id", client), peer: web.Peer{Certificate: p.leaf, Chain: p.middle}})
		return err
	}
	if err := try("tls"); err != nil {
		t.Fatal(err)
	}
	refused(t, try("tls-else"), oauth.InvalidClient, "not the registered one")
	r.write(t, func(tx *store.Tx) error {
		_, err := objects.Import(tx, r.Ring, objects.ManagedByFile, []objects.Document{{Kind: objects.KindClient, Name: "tls", Body: json.RawMessage(
			`{"client_id": "tls", "token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_san_dns": "other.example", "grant_types": ["client_credentials"], "scope": "read"}`)}})
		return err
	})
	r.Registry.Invalidate(objects.KindClient, "tls")
	refused(t, try("tls"), oauth.InvalidClient, "not the registered one")
}

func TestNoAuthorityNoTrust(t *testing.T) {
	r, p := newRig(t), parties()
	for name, roots := range map[string]*x509.CertPool{"none": nil, "others": x509.NewCertPool()} {
		r.Roots = roots
		_, _, err := r.try(offer{form: form("client_id", "tls"), peer: web.Peer{Certificate: p.leaf, Chain: p.middle}})
		t.Run(name, func(t *testing.T) { refused(t, err, oauth.InvalidClient, "") })
	}
}

func TestRFC8705_2_2_SelfSigned(t *testing.T) {
	r, p := newRig(t), parties()
	try := func(c *x509.Certificate) error {
		_, _, err := r.try(offer{form: form("client_id", "self"), peer: web.Peer{Certificate: c}})
		return err
	}
	if err := try(p.selfMade); err != nil {
		t.Fatal(err)
	}
	refused(t, try(p.leaf), oauth.InvalidClient, "not the registered one")
	r.now = p.selfMade.NotAfter.Add(time.Second)
	refused(t, try(p.selfMade), oauth.InvalidClient, "expired")
}

func TestRevokedCertificate(t *testing.T) {
	r, p := newRig(t), parties()
	try := func() error {
		_, _, err := r.try(offer{form: form("client_id", "tls"), peer: web.Peer{Certificate: p.leaf, Chain: p.middle}})
		return err
	}
	if err := try(); err != nil {
		t.Fatal(err)
	}
	r.Revoked = func(x5t string) bool { return x5t == ca.Thumbprint(p.leaf) }
	refused(t, try(), oauth.InvalidClient, "revoked")
}
