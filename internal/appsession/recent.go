package appsession

import (
	"sync"
	"time"
)

// recents are sessions that browsers carry and that this node is refreshing, or has refreshed a moment ago: whoever shows
// the cookies of before is given what has become of them. Nobody misses them after a restart but for that moment.
type recents struct {
	mu    sync.Mutex
	byID  map[string]*recent
	swept time.Time
}

type recent struct {
	Session
	until time.Time // it is remembered
}

// newest is v, or what this node has made of it since, with the lease there is.
func (r *recents) newest(v *Session, now time.Time) *Session {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.look(v, now)
}

// look orders what is shown and what is known by when it was refreshed: another node may have done so since.
func (r *recents) look(v *Session, now time.Time) *Session {
	next := *v
	next.Record.Refresher, next.Record.RefreshingUntil = "", time.Time{}
	known := r.byID[v.Record.ID]
	if known == nil || !now.Before(known.until) {
		return &next
	}
	switch known.Record.RefreshedAt.Compare(v.Record.RefreshedAt) {
	case 0:
		next.Record.Refresher, next.Record.RefreshingUntil = known.Record.Refresher, known.Record.RefreshingUntil
		next.Record.Version = max(next.Record.Version, known.Record.Version)
	case 1:
		next = known.Session
	}
	return &next
}

// lease makes holder the one of this node that refreshes v, unless there is one, or v has been refreshed.
func (r *recents) lease(v *Session, holder string, now, until time.Time) (*Session, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	leased := r.look(v, now)
	if busy := leased.Record.Refresher != "" && now.Before(leased.Record.RefreshingUntil); busy || leased.Record.Version != v.Record.Version {
		return nil, false
	}
	leased.Record.Refresher, leased.Record.RefreshingUntil = holder, until
	r.remember(leased, now, until)
	own := *leased
	return &own, true
}

func (r *recents) remember(v *Session, now, until time.Time) {
	if now.Sub(r.swept) >= Grace || now.Before(r.swept) {
		r.swept = now
		for id, known := range r.byID {
			if !now.Before(known.until) {
				delete(r.byID, id)
			}
		}
	}
	if r.byID == nil {
		r.byID = map[string]*recent{}
	}
	r.byID[v.Record.ID] = &recent{*v, until}
}

// held finds the entry that v has leased; nil: no longer.
func (r *recents) held(v *Session) *recent {
	if known := r.byID[v.Record.ID]; known != nil && v.Record.Refresher != "" && known.Record.Refresher == v.Record.Refresher {
		return known
	}
	return nil
}

// holds says whether the lease of v is still good. One that has run out may be that of another node.
func (r *recents) holds(v *Session, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.held(v) != nil && now.Before(v.Record.RefreshingUntil)
}

// put has next take the place of v, and ends the lease.
func (r *recents) put(v, next *Session, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.held(v) != nil {
		r.remember(next, now, now.Add(Grace))
	}
}

// release ends the lease of v. That it has been tried is seen by the version.
func (r *recents) release(v *Session, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if known := r.held(v); known != nil {
		tried := known.Session
		tried.Record.Refresher, tried.Record.RefreshingUntil = "", time.Time{}
		tried.Record.Version++
		r.remember(&tried, now, now.Add(Grace))
	}
}

// forget ends it as if nothing had been tried.
func (r *recents) forget(v *Session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.held(v) != nil {
		delete(r.byID, v.Record.ID)
	}
}
