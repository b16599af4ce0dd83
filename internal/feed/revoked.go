package feed

import (
	"math"
	"time"

	"github.com/holdfast-iam/holdfast/internal/store"
)

// Subject is everything about a token whose revocation ends it. Empty members do not count.
type Subject struct {
	JTI, Grant, Session, Client string
	JKT, X5T                    string    // thumbprints it is bound to
	IssuedAt                    time.Time // zero: so old that every revocation meets it
}

// revoking are the kinds of event that Revoked asks about.
var revoking = map[string]bool{
	store.EventJTI: true, store.EventGrant: true, store.EventSession: true, store.EventClient: true,
	store.EventKey: true, store.EventCertificate: true,
}

// Revoked says whether a token of this tenant has been revoked: itself, or what it came from or is bound to
// at or after the time it was issued. It does no I/O and allocates nothing.
func (f *Feed) Revoked(tenant string, s Subject) bool {
	issued := s.IssuedAt.UnixMicro()
	if s.IssuedAt.IsZero() {
		issued = math.MinInt64
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	if len(f.live) == 0 {
		return false
	}
	return f.met(tenant, store.EventJTI, s.JTI, issued) ||
		f.met(tenant, store.EventGrant, s.Grant, issued) ||
		f.met(tenant, store.EventSession, s.Session, issued) ||
		f.met(tenant, store.EventClient, s.Client, issued) ||
		f.met(tenant, store.EventKey, s.JKT, issued) ||
		f.met(tenant, store.EventCertificate, s.X5T, issued)
}

func (f *Feed) met(tenant, kind, key string, issued int64) bool {
	if key == "" {
		return false
	}
	r, ok := f.live[what{tenant, kind, key}]
	return ok && issued <= r.before
}

// remember keeps the revocations among the news, and now and then drops those nobody needs to know any more.
func (f *Feed) remember(news []store.Event, now time.Time) {
	sweep := now.Before(f.swept) || now.Sub(f.swept) >= sweepAfter
	if len(news) == 0 && !sweep {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range news {
		if revoking[e.Kind] && e.ExpiresAt.After(now) {
			f.add(e)
		}
	}
	if sweep {
		f.sweep(now)
	}
}

// add keeps an event. Two about the same thing make one that reaches as far as either.
func (f *Feed) add(e store.Event) {
	k := what{e.Tenant, e.Kind, e.Key}
	r := revocation{before: math.MaxInt64, expires: e.ExpiresAt.UnixMicro()}
	if !e.NotBefore.IsZero() {
		r.before = e.NotBefore.UnixMicro()
	}
	if old, ok := f.live[k]; ok {
		r.before, r.expires = max(r.before, old.before), max(r.expires, old.expires)
	}
	f.live[k] = r
}

func (f *Feed) sweep(now time.Time) {
	f.swept = now
	at := now.UnixMicro()
	for k, r := range f.live {
		if r.expires <= at {
			delete(f.live, k)
		}
	}
}
