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

	"github.com/holdfast-iam/holdfast/jose"
)

const (
	minFresh = time.Minute      // a set is not read again sooner, whatever its owner says
	maxFresh = 15 * time.Minute // nor trusted longer, so that a withdrawn key is noticed
	maxStale = time.Hour        // after its time, while its owner does not answer
	coolDown = time.Minute      // between readings that tokens have caused
	backOff  = 10 * time.Second // no reading after a failure
	maxSets  = 1000
)

// Keys reads the key sets of others (RFC 7517 §5) and keeps them for a while. It is safe for concurrent use.
type Keys struct {
	Client *Client
	Now    func() time.Time

	mu   sync.Mutex
	sets map[string]*keySet
}

// keySet is what is known of one address.
type keySet struct {
	set     jose.Set
	err     error         // of the last reading
	fresh   time.Time     // until then without reading again
	stale   time.Time     // until then if it cannot be read again
	retry   time.Time     // no reading before, after a failure
	next    time.Time     // no reading for a token before
	used    time.Time     // last
	reading chan struct{} // closed at the end of the reading that goes on; nil: none does
}

// At returns the key set of an address. It is read again when its time is over, and for a kid that is not in it, but
// for such at most once a minute: so nobody can make us a tool by sending invented ones. kid may be "".
func (k *Keys) At(ctx context.Context, url, kid string) (jose.Set, error) {
	set, _, err := k.get(ctx, url, func(known jose.Set) bool {
		return kid == "" || slices.ContainsFunc(known.Keys, func(key jose.Key) bool { return key.ID() == kid || key.ID() == "" })
	})
	return set, err
}

// Again is for a token that no key of At verifies although its kid is there, or where the token or the keys have none: the
// owner may have changed a key and not its name. Reading counts as for an unknown kid; read says whether there was one.
func (k *Keys) Again(ctx context.Context, url string) (set jose.Set, read bool, err error) {
	return k.get(ctx, url, func(jose.Set) bool { return false })
}

// get returns a set that is fresh and enough, if need be after a reading, which one caller begins and all wait for.
func (k *Keys) get(ctx context.Context, url string, enough func(jose.Set) bool) (set jose.Set, read bool, err error) {
	now := k.Now()
	k.mu.Lock()
	defer k.mu.Unlock()
	e := k.entry(url)
	e.used = now
	expired := !now.Before(e.fresh)
	if !expired && enough(e.set) {
		return e.result(now)
	}
	if e.reading == nil && e.mayRead(now, expired) {
		e.reading = make(chan struct{})
		// What one caller gives up others may wait for: the time limit is the client's.
		go k.read(context.WithoutCancel(ctx), url, e)
	}
	if e.reading == nil {
		return e.result(now)
	}
	done := e.reading
	k.mu.Unlock()
	select {
	case <-ctx.Done():
		k.mu.Lock()
		return jose.Set{}, false, ctx.Err()
	case <-done:
	}
	k.mu.Lock()
	set, _, err = e.result(now)
	return set, true, err
}

func (e *keySet) mayRead(now time.Time, expired bool) bool {
	switch {
	case now.Before(e.retry):
		return false
	case expired:
		return true
	case now.Before(e.next):
		return false
	}
	e.next = now.Add(coolDown)
	return true
}

func (e *keySet) result(now time.Time) (jose.Set, bool, error) {
	if now.Before(e.stale) {
		return e.set, false, nil
	}
	if e.err == nil {
		return jose.Set{}, false, errors.New("fetch: the key set is too old")
	}
	return jose.Set{}, false, e.err
}

// read reads a set and remembers the outcome. After a failure, tokens may cause a reading again as soon as time may.
func (k *Keys) read(ctx context.Context, url string, e *keySet) {
	set, fresh, err := k.fetch(ctx, url)
	now := k.Now()
	k.mu.Lock()
	defer k.mu.Unlock()
	close(e.reading)
	if e.reading, e.err = nil, err; err != nil {
		e.retry = now.Add(backOff)
		e.next = e.retry
		return
	}
	e.set, e.fresh, e.stale, e.retry = set, now.Add(fresh), now.Add(fresh+maxStale), time.Time{}
}

func (k *Keys) fetch(ctx context.Context, url string) (jose.Set, time.Duration, error) {
	body, header, err := k.Client.Get(ctx, PurposeJWKS, url)
	if err != nil {
		return jose.Set{}, 0, err
	}
	set, err := jose.ParseSet(body)
	return set, freshFor(header), err
}

// entry finds an address, or makes room for it at the cost of the one that was not asked for the longest time.
func (k *Keys) entry(url string) *keySet {
	if e := k.sets[url]; e != nil {
		return e
	}
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

// freshFor is what is left of max-age (RFC 9111 §5.2.2.1, §5.1) within our bounds; no-store and no-cache mean the least.
func freshFor(h http.Header) time.Duration {
	fresh := minFresh
	for directive := range strings.SplitSeq(strings.Join(h.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		switch strings.ToLower(name) {
		case "no-store", "no-cache":
			return minFresh
		case "max-age":
			fresh = seconds(value)
		}
	}
	return min(max(fresh-seconds(h.Get("Age")), minFresh), maxFresh)
}

// seconds is 0 for what is no number of them.
func seconds(text string) time.Duration {
	n, err := strconv.ParseUint(strings.Trim(text, `" `), 10, 31)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}
