package flow

import (
	"slices"

	"github.com/holdfast-iam/holdfast/internal/consents"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/request"
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

// Known is what is known when a step is chosen.
type Known struct {
	Client  *objects.Client
	Session *store.Session // nil: nobody has signed in
	Subject string         // of whoever has, as the client knows them
	Reach   string         // the strongest acr that they could sign in with
	Consent *store.Consent // nil: they have allowed nothing before
	Needs   request.Needs  // of the APIs that the request is about
}

// Verdict is what comes next.
type Verdict struct {
	Step    Step
	Session *store.Session // that of Known
	Lack    Lack           // of StepLogin
	Refusal *oauth.Error   // of StepRefused: the error for the client
	ACR     string         // of StepDone: what the client is told that the sign-in is worth
}

// Next decides what an interaction needs, from values alone.
func Next(i *Interaction, k Known) Verdict {
	if i.Refused != "" {
		return refuse(k, i.Refused, "the person has declined")
	}
	if lack := i.lack(k); lack != nil {
		return i.signIn(k, lack)
	}
	asked := i.Asked()
	// Having just agreed answers prompt=consent and nothing else: what the account in this session has agreed to is
	// in its consent, and it may be another account by now.
	asked.Always = asked.Always && i.ConsentAt.IsZero()
	if consents.Needed(k.Client, k.Consent, asked) {
		if i.Request.Prompts("none") {
			return refuse(k, oauth.ConsentRequired, "the person has to be asked first")
		}
		return Verdict{Step: StepConsent, Session: k.Session}
	}
	return Verdict{Step: StepDone, Session: k.Session, ACR: i.told(k)}
}

func refuse(k Known, code oauth.Code, detail string) Verdict {
	return Verdict{Step: StepRefused, Session: k.Session, Refusal: oauth.Refuse(code, detail)}
}

// Asked is what the person has to agree to.
func (i *Interaction) Asked() consents.Asked {
	r := i.Request
	return consents.Asked{
		Scope: slices.Concat(r.Scope, r.ClaimScopes), Resources: r.Resources, Details: r.Details, Always: r.Prompts("consent") || r.AskAgain,
	}
}
