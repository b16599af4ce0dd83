package flow

import (
	"slices"
	"time"

	"github.com/holdfast-iam/holdfast/internal/consents"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/oauth"
)

// Step is what has to happen next.
type Step int

// The steps.
const (
	StepLogin Step = iota
	StepConsent
	StepDone
	StepRefused
)

// Next decides what an interaction needs, from values alone. session is nil when nobody has signed in, consent when
// nothing was allowed before. With StepRefused comes the error for the client.
func Next(i *Interaction, session *store.Session, client *objects.Client, consent *store.Consent) (Step, *oauth.Error) {
	a := i.Request
	if i.Refused != "" {
		return StepRefused, oauth.Refuse(i.Refused, "the person has declined")
	}
	if session == nil || session.AuthTime.Before(i.notBefore()) {
		if a.Prompts("none") {
			return StepRefused, oauth.Refuse(oauth.LoginRequired, "nobody is signed in, or not recently enough")
		}
		return StepLogin, nil
	}
	asked := i.Asked()
	// Having just agreed answers prompt=consent and nothing else: what the account in this session has agreed to is
	// in its consent, and it may be another account by now.
	asked.Always = asked.Always && i.ConsentAt.IsZero()
	if consents.Needed(client, consent, asked) {
		if a.Prompts("none") {
			return StepRefused, oauth.Refuse(oauth.ConsentRequired, "the person has to be asked first")
		}
		return StepConsent, nil
	}
	return StepDone, nil
}

// Asked is what the person has to agree to.
func (i *Interaction) Asked() consents.Asked {
	r := i.Request
	return consents.Asked{
		Scope: slices.Concat(r.Scope, r.ClaimScopes), Resources: r.Resources, Details: r.Details, Always: r.Prompts("consent") || r.AskAgain,
	}
}

// notBefore is the earliest sign-in that will do (OIDC Core §3.1.2.1, prompt and max_age).
func (i *Interaction) notBefore() time.Time {
	a := i.Request
	if a.Prompts("login") || a.Prompts("select_account") || a.Prompts("create") {
		return i.CreatedAt
	}
	if a.MaxAge != nil {
		return i.CreatedAt.Add(-time.Duration(*a.MaxAge) * time.Second)
	}
	return time.Time{}
}
