package objects

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/maypok86/otter/v2"

	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/jose"
)

const (
	cacheSize  = 50_000 // objects, decoded
	absentSize = 4_096  // names there is nothing of: anybody can ask for those, and shall not push others out
)

// Registry is the cached view of one tenant's objects. What it returns is shared and must not be changed.
// Subscribe Heard to the feed: nothing else tells it of a change, nor of something new.
type Registry struct {
	// Stale, where set, says that news of changes may be missing: everything is then read from the store.
	Stale func() bool
	// Algs are those the tenant signs with, its default first. Set them before anything is looked up.
	Algs []jose.Alg
	// CookieDomain is the Domain of the applications' cookies, "" for none. Set it before anything is looked up.
	CookieDomain string

	db     *store.DB
	cache  *otter.Cache[cacheKey, any]
	absent *otter.Cache[cacheKey, struct{}]
	// changes counts invalidations, so that what was read before one is not kept after it.
	changes atomic.Uint64
}

type cacheKey struct{ kind, name string }

// New makes the registry of the tenant of db.
func New(db *store.DB) *Registry {
	return &Registry{
		db:     db,
		cache:  otter.Must(&otter.Options[cacheKey, any]{MaximumSize: cacheSize}),
		absent: otter.Must(&otter.Options[cacheKey, struct{}]{MaximumSize: absentSize}),
	}
}

// Client finds a client. ErrNotFound: there is none.
func (r *Registry) Client(ctx context.Context, id string) (*Client, error) {
	return lookUp(ctx, r, KindClient, id, func(body json.RawMessage) (*Client, error) {
		c, err := decodeClient(body)
		if err == nil {
			c.offered = r.Algs
		}
		return c, err
	})
}

// API finds an API by its resource. ErrNotFound: there is none.
func (r *Registry) API(ctx context.Context, resource string) (*API, error) {
	return lookUp(ctx, r, KindAPI, resource, decodeAPI)
}

// Scope finds a scope, a standard one where the tenant does not describe it. ErrNotFound: there is none.
func (r *Registry) Scope(ctx context.Context, name string) (*Scope, error) {
	s, err := lookUp(ctx, r, KindScope, name, decode[Scope])
	if errors.Is(err, ErrNotFound) && builtin[name] != nil {
		return builtin[name], nil
	}
	return s, err
}

// Heard drops what an event of the feed says has changed. An event without a key is about everything.
func (r *Registry) Heard(e store.Event) {
	if e.Kind != store.EventObject {
		return
	}
	if e.Key == "" {
		r.changes.Add(1)
		r.cache.InvalidateAll()
		r.absent.InvalidateAll()
		return
	}
	if e.Tenant != r.db.Tenant() {
		return
	}
	if kind, name, ok := strings.Cut(e.Key, "/"); ok {
		r.Invalidate(kind, name)
	}
}

// Invalidate drops one object from the cache.
func (r *Registry) Invalidate(kind, name string) {
	r.changes.Add(1)
	r.drop(cacheKey{kind, name})
}

func (r *Registry) drop(key cacheKey) {
	r.cache.Invalidate(key)
	r.cache.Invalidate(cacheKey{kind: key.kind}) // the list of all
	r.absent.Invalidate(key)
}

func lookUp[T any](ctx context.Context, r *Registry, kind, name string, read func(json.RawMessage) (*T, error)) (*T, error) {
	return cached(r, cacheKey{kind, name}, func() (*T, error) { return load(ctx, r.db, kind, name, read) })
}

// cached finds in memory what is there, and else keeps what find returns.
func cached[T any](r *Registry, key cacheKey, find func() (*T, error)) (*T, error) {
	if r.Stale == nil || !r.Stale() {
		v, _ := r.cache.GetIfPresent(key)
		if t, ok := v.(*T); ok {
			return t, nil
		}
		if _, ok := r.absent.GetIfPresent(key); ok {
			return nil, ErrNotFound
		}
	}
	before := r.changes.Load()
	t, err := find()
	switch {
	case errors.Is(err, ErrNotFound):
		r.absent.Set(key, struct{}{})
	case err != nil:
		return nil, err
	default:
		r.cache.Set(key, t)
	}
	if r.changes.Load() != before {
		r.drop(key) // it may have changed while it was read
	}
	return t, err
}

func load[T any](ctx context.Context, db *store.DB, kind, name string, read func(json.RawMessage) (*T, error)) (*T, error) {
	var o store.Object
	err := db.Read(ctx, func(tx *store.Tx) (err error) {
		o, err = tx.Object(kind, name)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", kind, err)
	}
	t, err := read(o.Body)
	if err != nil {
		return nil, fmt.Errorf("read stored %s: %w", kind, err)
	}
	return t, nil
}

// loadAll reads all objects of a kind that find lists.
func loadAll[T any](ctx context.Context, db *store.DB, kind string, find func(*store.Tx) ([]store.Object, error), read func(json.RawMessage) (*T, error)) ([]*T, error) {
	var stored []store.Object
	err := db.Read(ctx, func(tx *store.Tx) (err error) {
		stored, err = find(tx)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("load all of %s: %w", kind, err)
	}
	all := make([]*T, len(stored))
	for i, o := range stored {
		if all[i], err = read(o.Body); err != nil {
			return nil, fmt.Errorf("read stored %s: %w", kind, err)
		}
	}
	return all, nil
}

// upTo lists so many objects of a kind.
func upTo(most int, kind string) func(*store.Tx) ([]store.Object, error) {
	return func(tx *store.Tx) ([]store.Object, error) { return tx.Objects(kind, "", most) }
}

func decode[T any](body json.RawMessage) (*T, error) {
	t := new(T)
	return t, json.Unmarshal(body, t)
}
