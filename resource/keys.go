package resource

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/holdfast-iam/holdfast/jose"
)

// Bounds on the fetching of keys. What an issuer says with max-age counts between minLife and maxLife.
const (
	minLife      = time.Minute
	maxLife      = 15 * time.Minute
	defaultLife  = 5 * time.Minute
	cooldown     = time.Minute      // between two fetches because of keys nobody has heard of
	retryAfter   = 10 * time.Second // after a fetch that failed
	fetchTimeout = 10 * time.Second
)

// source has the keys of one issuer. They are fetched again in the background after three quarters of their life; who
// comes when they are over waits for that fetch, and uses the old keys for a bounded time where it fails. Whatever callers
// send, there is one fetch at a time, one for unknown keys in a minute, and none for a bad signature.
type source struct {
	ctx    context.Context // that of New: ends with the verifier
	issuer string
	jwks   string // configured URL; "" where the metadata say
	client *http.Client
	now    func() time.Time
	stale  time.Duration

	mu      sync.Mutex
	set     jose.Set
	fetched time.Time // zero before the first success
	life    time.Duration
	failed  time.Time // of the last fetch; zero if it succeeded
	err     error     // of the last fetch
	asked   time.Time // last fetch for an unknown key
	flight  *flight   // nil where nothing is being fetched

	found   string // jwks_uri of the metadata; touched by the flight only
	foundAt time.Time
}

type flight struct{ done chan struct{} }

func newSource(ctx context.Context, issuer string, c Config) *source {
	return &source{
		ctx: ctx, issuer: issuer, jwks: c.JWKS[issuer], now: c.Now, stale: c.MaxStale,
		client: &http.Client{Transport: c.Transport, CheckRedirect: sameHost},
	}
}

// find lists the keys that may have made a signature. A key that is not there is looked for at the issuer, once in a
// while. A token without kid is for issuers with one key (OpenID Connect Core §10.1): trying all of them is work that the
// caller would choose.
func (s *source) find(ctx context.Context, kid string, alg jose.Alg) ([]jose.Key, error) {
	set, err := s.current(ctx)
	if err != nil {
		return nil, err
	}
	found := set.Find(kid, alg)
	if len(found) == 0 {
		found = s.renewed(ctx).Find(kid, alg)
	}
	if kid == "" && len(found) > 1 {
		return nil, errors.New("kid is missing and the issuer has several keys")
	}
	return found, nil
}

// current gives the keys, fetching them where there are none that may be used. Every error is an ErrUnavailable.
func (s *source) current(ctx context.Context) (jose.Set, error) {
	s.mu.Lock()
	age, usable := s.age()
	var f *flight
	if !usable || age >= s.life*3/4 {
		f = s.fetch()
	}
	set, wait := s.set, !usable || age >= s.life && s.failed.IsZero()
	s.mu.Unlock()
	if !wait {
		return set, nil
	}
	f.wait(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, usable := s.age(); !usable {
		return jose.Set{}, fmt.Errorf("%w: keys of the issuer: %w", ErrUnavailable, errors.Join(ctx.Err(), s.err))
	}
	return s.set, nil
}

// age says how old the keys are, and whether they may be used at all. A clock that was set back makes them due.
func (s *source) age() (time.Duration, bool) {
	if s.fetched.IsZero() {
		return 0, false
	}
	age := s.now().Sub(s.fetched)
	if age < 0 {
		age = s.life
	}
	return age, age < s.life+s.stale
}

// renewed fetches the keys again unless that was done for the same reason a moment ago.
func (s *source) renewed(ctx context.Context) jose.Set {
	s.mu.Lock()
	var f *flight
	if now := s.now(); s.asked.IsZero() || now.Sub(s.asked) >= cooldown || now.Before(s.asked) {
		s.asked = now
		f = s.fetch()
	}
	s.mu.Unlock()
	f.wait(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.set
}

// fetch joins the flight there is or starts one; nil shortly after one that failed. The caller holds mu.
func (s *source) fetch() *flight {
	if s.flight == nil {
		if !s.failed.IsZero() && s.now().Sub(s.failed).Abs() < retryAfter {
			return nil
		}
		s.flight = &flight{done: make(chan struct{})}
		go s.run(s.flight)
	}
	return s.flight
}

func (s *source) run(f *flight) {
	ctx, cancel := context.WithTimeout(s.ctx, fetchTimeout)
	defer cancel()
	set, life, err := s.load(ctx)
	s.mu.Lock()
	if s.err = err; err == nil {
		s.set, s.life, s.fetched, s.failed = set, life, s.now(), time.Time{}
	} else {
		s.failed = s.now()
	}
	s.flight = nil
	s.mu.Unlock()
	close(f.done)
}

func (f *flight) wait(ctx context.Context) {
	if f == nil {
		return
	}
	select {
	case <-f.done:
	case <-ctx.Done():
	}
}
