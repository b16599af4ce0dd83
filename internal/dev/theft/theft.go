// Package theft lets a visitor of the development landscape be the thief. It holds a table of replays: in each, the
// right holder uses a credential and is served, then somebody who has stolen it uses it from another position and is
// not. The page shows both, who has refused the thief, and what the audit says about why.
//
// Everything goes over the network like any other request. The package holds the keys of the landscape's demo clients,
// and so does not belong anywhere else.
package theft

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/jose"
)

// Client is a client of the landscape.
type Client struct {
	ID, Secret, RedirectURI string
	Key                     *jose.Signer // signs its assertions and, here, its DPoP proofs
}

// App is a browser application of the landscape.
type App struct{ Name, Origin, TokenHandler string }

// Theft knows the landscape and its right holders.
type Theft struct {
	Issuer, MTLSIssuer string
	API                string // a protected address, at the gateway's listener that asks for certificates
	WebAPI             string // the same for browsers
	Resource           string // that tokens for it are for
	Admin              string // another API

	// HTTP makes a client that trusts the landscape and finds its hosts, shows the certificate if there is one, keeps
	// cookies and follows no redirects.
	HTTP func(certificates ...tls.Certificate) *http.Client

	Certificate func() (tls.Certificate, error) // of the partner that authenticates by it
	Partner     Client                          // by certificate
	KeyPartner  Client                          // by assertion; its tokens are JWTs bound to a DPoP key
	Opaque      Client                          // by assertion; its tokens are opaque
	Web, Native Client                          // of people
	App, Other  App                             // of browsers: whose session is stolen, and another one
	Username    string
	Password    string

	// Audit finds the records of a request. They are written within a second.
	Audit func(ctx context.Context, requestID string) ([]store.AuditRecord, error)
	Now   func() time.Time
}

// Replay is one theft.
type Replay struct {
	ID   string
	What string // the thief's position
	Why  string // what holds
	run  func(*stage) error
}

// Credential is a kind of credential with its thefts.
type Credential struct {
	ID      string
	Name    string
	Text    string // what it is, and what a thief would hope for
	Replays []Replay
}

// Act is one request of a replay.
type Act struct {
	Thief     bool
	Does      string
	Method    string
	URL       string
	Hop       string   // who has answered
	Headers   []string // the telling ones, shortened
	Status    int
	Code      string // of the error
	Detail    string
	RequestID string
	Records   []store.AuditRecord
}

// Refused says that the answer gives nothing away.
func (a Act) Refused() bool { return a.Status >= 400 }

// Reason is why, by the audit.
func (a Act) Reason() string {
	for _, r := range a.Records {
		if r.Reason != "" {
			return r.Reason
		}
	}
	return ""
}

// Result is a replay that has been done.
type Result struct {
	Acts []Act
	Held bool // every holder was served, and every thief refused
	Err  error
}

// Replays lists everything there is to steal.
func Replays() []Credential {
	return []Credential{certificate, dpopBound, opaque, code, refresh, assertion, proof, cookie}
}

var errUnknown = errors.New("there is no such replay")

// Run does one replay and waits for what the audit says.
func (t *Theft) Run(ctx context.Context, id string) (*Result, error) {
	for _, c := range Replays() {
		for _, r := range c.Replays {
			if r.ID == id {
				return t.run(ctx, r), nil
			}
		}
	}
	return nil, errUnknown
}

// RunAll does every replay; credentials side by side, the replays of each one after the other.
func (t *Theft) RunAll(ctx context.Context) map[string]*Result {
	results, mu, wg := map[string]*Result{}, sync.Mutex{}, sync.WaitGroup{}
	for _, c := range Replays() {
		wg.Go(func() {
			for _, r := range c.Replays {
				result := t.run(ctx, r)
				mu.Lock()
				results[r.ID] = result
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return results
}

func (t *Theft) run(ctx context.Context, r Replay) *Result {
	s := &stage{Theft: t, ctx: ctx, nonces: map[string]string{}}
	defer s.close()
	err := r.run(s)
	result := &Result{Acts: s.acts, Err: err, Held: err == nil}
	thief := false
	for _, a := range s.acts {
		thief = thief || a.Thief
		if a.Thief != a.Refused() {
			result.Held = false
		}
	}
	result.Held = result.Held && thief
	if err := t.explain(ctx, result.Acts); err != nil && result.Err == nil {
		result.Err = err
	}
	return result
}

const auditTakes = 2 * time.Second

// explain adds what the audit says about the refusals.
func (t *Theft) explain(ctx context.Context, acts []Act) error {
	ctx, stop := context.WithTimeout(ctx, auditTakes)
	defer stop()
	for i := range acts {
		a := &acts[i]
		for a.Refused() && a.RequestID != "" && len(a.Records) == 0 {
			records, err := t.Audit(ctx, a.RequestID)
			if err != nil && ctx.Err() == nil {
				return fmt.Errorf("read the audit: %w", err)
			}
			a.Records = records
			if len(records) > 0 {
				break
			}
			select {
			case <-ctx.Done():
				return nil // the answer says enough
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
	return nil
}
