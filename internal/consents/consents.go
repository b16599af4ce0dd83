// Package consents decides whether a person has to be asked before a client gets what it asks for, and remembers the
// answer per account and client. The page is in internal/consent.
package consents

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
)

// Asked is what a request wants.
type Asked struct {
	Scope, Resources []string
	Always           bool // prompt=consent
}

// Needed says whether to ask: always when the request insists, never for a first-party client, and otherwise when
// the request goes beyond what was allowed before.
func Needed(client *objects.Client, given *store.Consent, a Asked) bool {
	switch {
	case a.Always:
		return true
	case client.FirstParty:
		return false
	case given == nil || !given.RevokedAt.IsZero():
		return true
	}
	return !within(a.Scope, given.Scope) || !within(a.Resources, given.Resources)
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

// Remember adds to what an account has allowed a client.
func Remember(tx *store.Tx, accountID, clientID string, a Asked) error {
	given, err := tx.Consent(accountID, clientID)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("load consent: %w", err)
	}
	if !given.RevokedAt.IsZero() {
		given = store.Consent{}
	}
	err = tx.PutConsent(store.Consent{
		AccountID: accountID, ClientID: clientID, GrantedAt: tx.Now,
		Scope: union(given.Scope, a.Scope), Resources: union(given.Resources, a.Resources),
	})
	if err != nil {
		return fmt.Errorf("put consent: %w", err)
	}
	return nil
}

func union(a, b []string) []string {
	out := slices.Concat(a, b)
	slices.Sort(out)
	return slices.Compact(out)
}
