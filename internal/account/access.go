package account

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/holdfast-iam/holdfast/internal/details"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/session"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/tokens"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/oauth"
)

// App is an application that has access, one row of the page.
type App struct {
	ID, Name, Since string
	Scopes, APIs    []string
	Details         []details.Words
}

// EndView asks whether an application shall lose its access.
type EndView struct{ ID, Name string }

var errNoAccess = oauth.Refuse(oauth.InvalidRequest, "this application has no access").WithStatus(http.StatusNotFound)

// apps puts into words what a person has allowed.
func (e *Endpoints) apps(ctx context.Context, allowed []store.Consent) ([]App, error) {
	list := make([]App, 0, len(allowed))
	for _, c := range allowed {
		name, err := e.appName(ctx, c.ClientID)
		if err != nil {
			return nil, err
		}
		apis, err := e.Registry.APIs(ctx, c.Resources)
		if err != nil {
			return nil, err
		}
		asked, err := details.Read(c.Details)
		if err != nil {
			return nil, err
		}
		a := App{ID: c.ClientID, Name: name, Since: e.date(c.GrantedAt)}
		for _, scope := range c.Scope {
			title, _ := e.Registry.ScopeWords(ctx, scope)
			a.Scopes = append(a.Scopes, title)
		}
		for _, api := range apis {
			a.APIs = append(a.APIs, api.Title())
		}
		for _, d := range asked {
			a.Details = append(a.Details, objects.Describe(apis, d))
		}
		list = append(list, a)
	}
	return list, nil
}

// appName is what people call a client, also one that is there no longer.
func (e *Endpoints) appName(ctx context.Context, id string) (string, error) {
	c, err := e.Registry.Client(ctx, id)
	switch {
	case errors.Is(err, objects.ErrNotFound):
		return id, nil
	case err != nil:
		return "", fmt.Errorf("load client: %w", err)
	case c.ClientName == "":
		return id, nil
	}
	return c.ClientName, nil
}

// beforeEnd is the step before an application may lose its access: a fresh proof of any kind, so that whoever finds a
// browser open breaks nothing.
func (e *Endpoints) beforeEnd(p *person) string {
	switch {
	case e.recent(p, session.Password) || e.recent(p, session.Passkey):
		return ""
	case len(p.passkeys) > 0:
		return stepVerify
	}
	return stepPassword
}

// askEnd shows which application would lose its access, after a fresh proof.
func (e *Endpoints) askEnd(w http.ResponseWriter, r *http.Request, p *person) error {
	params, err := web.Query(r)
	if err != nil {
		return err
	}
	id := params.Get("client")
	if step := e.beforeEnd(p); step != "" {
		return e.step(w, r, p, step, accessPath+id, "", http.StatusOK)
	}
	err = e.DB.Read(r.Context(), func(tx *store.Tx) error {
		c, err := tx.Consent(p.account.ID, id)
		if err == nil && !c.RevokedAt.IsZero() {
			return store.ErrNotFound
		}
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return errNoAccess
	}
	if err != nil {
		return fmt.Errorf("load consent: %w", err)
	}
	name, err := e.appName(r.Context(), id)
	if err != nil {
		return err
	}
	return e.Pages.Render(w, r, http.StatusOK, "end", EndView{id, name})
}

// end takes away the access of an application: what was allowed, and every token it has of this person.
func (e *Endpoints) end(w http.ResponseWriter, r *http.Request, p *person) error {
	form, err := web.Form(r)
	if err != nil {
		return err
	}
	id := form.Get("client")
	if step := e.beforeEnd(p); step != "" {
		return e.step(w, r, p, step, accessPath+id, "", http.StatusOK)
	}
	err = e.DB.Write(r.Context(), func(tx *store.Tx) error {
		if err := tokens.EndConsent(tx, p.account.ID, id); err != nil {
			return err
		}
		return e.act(tx, r, p, "consent.revoke", "client", id)
	})
	if errors.Is(err, store.ErrNotFound) {
		return errNoAccess
	}
	if err != nil {
		return fmt.Errorf("end access: %w", err)
	}
	return e.done(w, r, "account.access_ended")
}
