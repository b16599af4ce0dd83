// Package consents decides whether a person has to be asked before a client gets what it asks for, and remembers the
// answer: per account and client the scopes at each API, and authorization details (RFC 9396). The page is in
// internal/consent.
package consents

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/holdfast-iam/holdfast/internal/details"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
)

// Asked is what a request wants.
type Asked struct {
	Scope, Resources []string
	Details          json.RawMessage
	Always           bool // whatever was allowed before
}

// Of says what a request means that names no API: all that the client may ask tokens for.
func (a Asked) Of(client *objects.Client) Asked {
	if len(a.Resources) == 0 {
		a.Resources = client.Resources
	}
	return a
}

// byAPI are the scopes at each API; a scope that no API is named for is at "".
func byAPI(scope, resources []string) map[string][]string {
	if len(resources) == 0 {
		resources = []string{""}
	}
	m := make(map[string][]string, len(resources))
	for _, r := range resources {
		m[r] = scope
	}
	return m
}

// allowed are the scopes at each API that a person has allowed. Earlier releases did not remember which were where.
func allowed(c *store.Consent) map[string][]string {
	if c.Allowed == nil && len(c.Scope) > 0 {
		return byAPI(c.Scope, c.Resources)
	}
	return c.Allowed
}

// Needed says whether to ask: always when the request insists, never for a first-party client, and otherwise when
// the request goes beyond what was allowed before: by a scope, by an API, by a scope at an API, by a detail.
func Needed(client *objects.Client, given *store.Consent, a Asked) bool {
	switch {
	case a.Always:
		return true
	case client.FirstParty:
		return false
	case given == nil || !given.RevokedAt.IsZero():
		return true
	}
	a = a.Of(client)
	before := allowed(given)
	for r, scope := range byAPI(a.Scope, a.Resources) {
		had, ok := before[r]
		if !ok || !within(scope, had) {
			return true
		}
	}
	asked, errAsked := details.Read(a.Details)
	had, errHad := details.Read(given.Details)
	return errAsked != nil || errHad != nil || !had.Covers(asked)
}

func within(asked, given []string) bool {
	return !slices.ContainsFunc(asked, func(s string) bool { return !slices.Contains(given, s) })
}

// Load reads what an account has allowed a client; nil if nothing.
func Load(ctx context.Context, db *store.DB, accountID, clientID string) (*store.Consent, error) {
	var given store.Consent
	err := db.Read(ctx, func(tx *store.Tx) (err error) {
		given, err = tx.Consent(accountID, clientID)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("load consent: %w", err)
	}
	return &given, nil
}

// Remember adds to what an account has allowed a client. What the person was shown is a.Of(client).
func Remember(tx *store.Tx, accountID, clientID string, a Asked) error {
	given, err := tx.Consent(accountID, clientID)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("load consent: %w", err)
	}
	if !given.RevokedAt.IsZero() {
		given = store.Consent{}
	}
	all := map[string][]string{}
	for _, more := range []map[string][]string{allowed(&given), byAPI(a.Scope, a.Resources)} {
		for r, scope := range more {
			all[r] = union(all[r], scope)
		}
	}
	c := store.Consent{AccountID: accountID, ClientID: clientID, GrantedAt: tx.Now, Allowed: all}
	for r, scope := range all {
		c.Scope = union(c.Scope, scope)
		if r != "" {
			c.Resources = union(c.Resources, []string{r})
		}
	}
	if c.Details, err = remembered(given.Details, a.Details); err != nil {
		return err
	}
	if err := tx.PutConsent(c); err != nil {
		return fmt.Errorf("put consent: %w", err)
	}
	return nil
}

// maxDetails is how many details are remembered; whoever asks with a new one each time makes the oldest forgotten.
const maxDetails = 64

func remembered(before, more json.RawMessage) (json.RawMessage, error) {
	had, errHad := details.Read(before)
	asked, errAsked := details.Read(more)
	if err := errors.Join(errHad, errAsked); err != nil {
		return nil, err
	}
	all := had.With(asked)
	return all[max(0, len(all)-maxDetails):].JSON(), nil
}

func union(a, b []string) []string {
	out := slices.Concat(a, b)
	slices.Sort(out)
	return slices.Compact(out)
}
