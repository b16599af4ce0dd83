// Package admin is the administration API of one issuer, under /admin/v1: clients and other objects, people,
// signing keys and the audit trail.
//
// One list of routes drives the mux, the decisions and the OpenAPI description at /admin/v1/openapi.json.
// Whoever calls proves it on every request: with a token of this issuer for the admin URL, bound by DPoP (RFC
// 9449 §7) or to a certificate (RFC 8705 §3), or as the user of the local socket. What changes something is
// decided and recorded in the transaction that changes it. Failures are problem details (RFC 9457), changes
// need the revision they start from (RFC 9110 §13.1, RFC 6585 §3). Health and metrics are not here.
package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-iam/holdfast/dpop"
	"github.com/holdfast-iam/holdfast/internal/audit"
	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/tokens"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/oauth"
)

// Endpoints is the administration API of one issuer.
type Endpoints struct {
	AdminURL string    // where it is reached, and the audience of its tokens; its path prefixes every route
	DB       *store.DB // of the tenant
	Sessions *store.DB // where else its acts are recorded, those of the token handler; nil: nowhere
	Ring     *keys.Ring
	Signing  *keys.Signing
	Nonces   *dpop.Nonces
	Trail    *audit.Trail
	Now      func() time.Time
	// Inspect reads an access token of this issuer. Error: *oauth.Error where it is none, has expired or was
	// revoked; any other where that could not be found out.
	Inspect func(ctx context.Context, token string) (*Token, error)
	// HashPassword makes the PHC string of a password. It is slow.
	HashPassword func(password string) (string, error)
	// Preview tells what a client would get, and issues nothing.
	Preview func(ctx context.Context, q tokens.Trial) (*tokens.Preview, error)
	// ReadSectors reads what documents refer to elsewhere. It may take long.
	ReadSectors func(ctx context.Context, docs []objects.Document) error
	// DevToken is a bearer token that may do everything. It exists in the test environment only; "": none.
	DevToken keys.Secret
}

// Token is what an access token says.
type Token struct {
	Subject, ClientID string
	Audience, Scope   []string
	Bound             oauth.Confirmation
}

const base = "/admin/v1"

// Mount adds the API for callers who come over the network.
func (e *Endpoints) Mount(mux *http.ServeMux) {
	e.mount(mux, e.path()+base, e.authenticate)
}

// MountLocal adds the API under a path for callers at a listener made by Listen, who need no token.
func (e *Endpoints) MountLocal(mux *http.ServeMux, prefix string) {
	e.mount(mux, prefix+base, func(r *http.Request) (audit.Actor, []store.Spend, error) {
		actor, err := localActor(r)
		return actor, nil, err
	})
}

// path is that of AdminURL.
func (e *Endpoints) path() string {
	u, err := url.Parse(e.AdminURL)
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(u.EscapedPath(), "/")
}

// who finds out who calls, and what must be spent for it.
type who func(*http.Request) (audit.Actor, []store.Spend, error)

func (e *Endpoints) mount(mux *http.ServeMux, prefix string, who who) {
	for _, rt := range routes {
		mux.Handle(rt.method+" "+prefix+rt.path, web.Through(door, e.handler(rt, who)))
	}
	mux.Handle("GET "+prefix+"/openapi.json", web.Through(door, e.description))
}

// handler is the pipeline: who, what, decide and do, answer.
func (e *Endpoints) handler(rt route, who who) web.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		web.EventOf(r.Context()).SetTenant(e.DB.Tenant())
		actor, spends, err := who(r)
		if err != nil {
			return err
		}
		q, err := parse(r, rt)
		if err != nil {
			return err
		}
		q.actor, q.spends = actor, spends
		if len(spends) > 0 && e.Nonces != nil {
			w.Header().Set("DPoP-Nonce", e.Nonces.Current(e.Now())) // for the next call (RFC 9449 §8.2)
		}
		a, err := e.serve(r.Context(), rt, q)
		if err != nil {
			return translate(err)
		}
		return a.write(w)
	}
}

func (e *Endpoints) serve(ctx context.Context, rt route, q *request) (a *answer, err error) {
	if rt.read != nil {
		return e.look(ctx, rt, q)
	}
	if rt.prepare != nil {
		if err := e.decideEarly(ctx, rt, q); err != nil {
			return nil, err
		}
		if err := rt.prepare(e, ctx, q); err != nil {
			return nil, e.refused(ctx, rt, q, err)
		}
	}
	if rt.gather != nil && q.allowed(rt) {
		if err := rt.gather(e, ctx, q); err != nil {
			return nil, e.refused(ctx, rt, q, err)
		}
	}
	if a, err = e.act(ctx, rt, q); err != nil {
		return nil, err
	}
	if rt.after != nil {
		return rt.after(e, ctx, q)
	}
	return a, nil
}

// look serves what changes nothing. It is an observation, not an act.
func (e *Endpoints) look(ctx context.Context, rt route, q *request) (*answer, error) {
	if err := e.decideEarly(ctx, rt, q); err != nil {
		return nil, err
	}
	if err := e.spend(ctx, q); err != nil {
		return nil, err
	}
	for _, what := range rt.actions(q) {
		e.observe(q.actor.Record(what.action, what.kind, what.id))
	}
	var a *answer
	err := e.DB.Read(ctx, func(tx *store.Tx) (err error) {
		a, err = rt.read(e, tx, q)
		return err
	})
	if err == nil && rt.kind == kindAudit {
		return e.addSessions(ctx, q, a)
	}
	return a, err
}

// act serves what changes something, in one transaction: it spends the proof, decides, records and does. A
// refusal for want of authority is committed with its record; any other error undoes everything.
func (e *Endpoints) act(ctx context.Context, rt route, q *request) (a *answer, err error) {
	var denied error
	err = e.DB.Write(ctx, func(tx *store.Tx) (err error) {
		a, denied = nil, nil
		if err := tx.Spend(q.spends...); err != nil {
			return spent(err)
		}
		for _, what := range rt.actions(q) {
			err := audit.Allow(tx, q.actor, what.action, what.kind, what.id)
			if errors.Is(err, audit.ErrDenied) {
				denied = insufficient(what.action)
				return nil
			}
			if err != nil {
				return err
			}
		}
		if rt.act != nil {
			a, err = rt.act(e, tx, q)
		}
		return err
	})
	switch {
	case err != nil:
		return nil, e.refused(ctx, rt, q, err)
	case denied != nil:
		return nil, denied
	}
	return a, nil
}

func (q *request) allowed(rt route) bool {
	return !slices.ContainsFunc(rt.actions(q), func(what action) bool { return !q.actor.May(what.action) })
}

// decideEarly refuses before anything slow is done, or where there is no transaction to decide in.
func (e *Endpoints) decideEarly(ctx context.Context, rt route, q *request) error {
	for _, what := range rt.actions(q) {
		if q.actor.May(what.action) {
			continue
		}
		r := q.actor.Record(what.action, what.kind, what.id)
		r.Outcome, r.Code = audit.Refused, string(oauth.InsufficientScope)
		e.observe(r)
		if err := e.spend(ctx, q); err != nil {
			return err
		}
		return insufficient(what.action)
	}
	return nil
}

// refused spends the proof of a request that was undone, and observes it.
func (e *Endpoints) refused(ctx context.Context, rt route, q *request, err error) error {
	if err := e.spend(ctx, q); err != nil {
		return err
	}
	visible := translate(err)
	for _, what := range rt.actions(q) {
		r := q.actor.Record(what.action, what.kind, what.id)
		r.Outcome, r.Code = audit.Failure, string(oauth.ServerError)
		if o, ok := errors.AsType[*oauth.Error](visible); ok {
			r.Outcome, r.Code, r.Reason = audit.Refused, string(o.Code), o.Detail
		}
		e.observe(r)
	}
	return err
}

func (e *Endpoints) spend(ctx context.Context, q *request) error {
	if len(q.spends) == 0 {
		return nil
	}
	if err := e.DB.Spend(ctx, q.spends...); err != nil {
		return spent(err)
	}
	return nil
}

// spent says of a proof that could not be spent what was wrong with it.
func spent(err error) error {
	if errors.Is(err, store.ErrTaken) {
		return oauth.Refuse(oauth.InvalidDPoPProof, "the DPoP proof has been used before").WithStatus(http.StatusUnauthorized)
	}
	return fmt.Errorf("spend proof: %w", err)
}

func (e *Endpoints) observe(r store.AuditRecord) {
	e.Trail.Observe(audit.Record{AuditRecord: r, Tenant: e.DB.Tenant()})
}
