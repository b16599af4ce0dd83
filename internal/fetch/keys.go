package fetch

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/holdfast-iam/holdfast/jose"
)

const (
	minFresh = time.Minute      // a set is not read again sooner, whatever its owner says
	maxFresh = 15 * time.Minute // nor trusted longer, so that a withdrawn key is noticed
	maxStale = time.Hour        // after its time, while its owner does not answer
	coolDown = time.Minute      // between readings that an unknown kid has caused
	backOff  = 10 * time.Second // no reading after a failure
	maxSets  = 1000
)

// Keys reads the key sets of others (RFC 7517 §5) and keeps them for a while. It is safe for concurrent use.
type Keys struct {
	Client *Client
	Now    func() time.Time

	flight singleflight.Group
	mu     sync.Mutex
	sets   map[string]*keySet
}

// keySet is what is known of one address.
type keySet struct {
	set     jose.Set
	err     error     // of the last reading
	fresh   time.Time // until then without reading again
	stale   time.Time // until then if it cannot be read again
	retry   time.Time // no reading before, after a failure
	nextKid time.Time // no reading for an unknown kid before
	used    time.Time
}

// At returns the key set of an address. It is read again when its time is over, and for a kid that is not in it, but
// for such at most once a minute: so nobody can make us a tool by sending invented ones. kid may be "".
func (k *Keys) At(ctx context.Context, url, kid string) (jose.Set, error) {
	now := k.Now()
	known, need := k.look(url, kid, now)
	if !need {
		return known.result(now)
	}
	done := k.flight.DoChan(url, func() (any, error) {
		// What one caller gives up others may wait for: the time limit is the client's.
		return k.read(context.WithoutCancel(ctx), url), nil
	})
	select {
	case <-ctx.Done():
		return jose.Set{}, ctx.Err()
	case r := <-done:
		return r.Val.(keySet).result(now)
	}
}

// look returns what is known, and whether it needs to be read.
func (k *Keys) look(url, kid string, now time.Time) (known keySet, need bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	e := k.sets[url]
	if e == nil {
		return keySet{}, true
	}
	e.used = now
	switch {
	case now.Before(e.retry):
		return *e, false
	case !now.Before(e.fresh):
		return *e, true
	case kid == "" || slices.ContainsFunc(e.set.Keys, func(key jose.Key) bool { return key.ID() == kid }):
		return *e, false
	case now.Before(e.nextKid):
		return *e, false
	}
	e.nextKid = now.Add(coolDown)
	return *e, true
}

func (e keySet) result(now time.Time) (jose.Set, error) {
	if now.Before(e.stale) {
		return e.set, nil
	}
	if e.err == nil {
		return jose.Set{}, errors.New("fetch: the key set is too old")
	}
	return jose.Set{}, e.err
}

// read reads a set and remembers the outcome.
func (k *Keys) read(ctx context.Context, url string) keySet {
	set, fresh, err := k.fetch(ctx, url)
	now := k.Now()
	k.mu.Lock()
	defer k.mu.Unlock()
	e := k.sets[url]
	if e == nil {
		e = k.add(url)
	}
	e.used, e.err = now, err
	if err != nil {
		e.retry = now.Add(backOff)
		return *e
	}
	e.set, e.fresh, e.stale, e.retry = set, now.Add(fresh), now.Add(fresh+maxStale), time.Time{}
	return *e
}

func (k *Keys) fetch(ctx context.Context, url string) (jose.Set, time.Duration, error) {
	body, header, err := k.Client.Get(ctx, PurposeJWKS, url)
	if err != nil {
		return jose.Set{}, 0, err
	}
	set, err := jose.ParseSet(body)
	return set, freshFor(header), err
}

// add makes room for one address, at the cost of the one that was not asked for the longest time.
func (k *Keys) add(url string) *keySet {
	if k.sets == nil {
		k.sets = map[string]*keySet{}
	}
	if len(k.sets) >= maxSets {
		var oldest string
		for u, e := range k.sets {
			if oldest == "" || e.used.Before(k.sets[oldest].used) {
				oldest = u
			}
		}
		delete(k.sets, oldest)
	}
	e := new(keySet)
	k.sets[url] = e
	return e
}

// freshFor is max-age of RFC 9111 §5.2.2.1 within our bounds.
func freshFor(h http.Header) time.Duration {
	for directive := range strings.SplitSeq(h.Get("Cache-Control"), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		if !strings.EqualFold(name, "max-age") {
			continue
		}
		if seconds, err := strconv.ParseInt(strings.Trim(value, `"`), 10, 32); err == nil {
			return min(max(time.Duration(seconds)*time.Second, minFresh), maxFresh)
		}
	}
	return minFresh
}
