package flow

import (
	"slices"
	"time"

	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/oauth"
)

// Why is the reason for a sign-in.
type Why int

// The reasons.
const (
	Nobody       Why = iota // has signed in
	SomebodyElse            // is wanted than who has
	Choice                  // is the person's: prompt=select_account
	Again                   // because it was too long ago
	Stronger                // because it was not strong enough
	Impossible              // is what would be needed: nothing that the person has is strong enough
)

// Lack is what a sign-in lacks for a request.
type Lack struct {
	Why  Why
	ACR  string // what the next one should be worth, or more; "": anything
	Must bool   // and without that there is no answer
}

// lack compares the sign-in with the request; nil: it will do. Who it is comes first, then whether it can be strong
// enough, then when it was.
func (i *Interaction) lack(k Known) *Lack {
	a, s := i.Request, k.Session
	if s == nil {
		return &Lack{Why: Nobody}
	}
	accepted := i.accepted(k)
	need, possible := reach(accepted, k)
	since := !s.AuthTime.Before(i.CreatedAt)
	switch {
	case len(a.Subjects) > 0 && !slices.Contains(a.Subjects, k.Subject):
		return &Lack{Why: SomebodyElse}
	case a.Prompts("create") && !since:
		return &Lack{Why: Nobody}
	case a.Prompts("login") && !since:
		return &Lack{Again, need, need != ""}
	case a.Prompts("select_account") && !since && i.Settled != s.AccountID:
		return &Lack{Choice, need, need != ""}
	case !possible:
		return &Lack{Why: Impossible}
	case s.AuthTime.Before(i.notBefore(k)):
		return &Lack{Again, need, need != ""}
	case need != "" && !meetsOne(s.ACR, accepted):
		return &Lack{Stronger, need, true}
	}
	return i.wish(k)
}

// wish is a step-up that the client would like: asked for once, and never in the way of an answer.
func (i *Interaction) wish(k Known) *Lack {
	if i.Settled == k.Session.AccountID || i.Request.Prompts("none") {
		return nil
	}
	if want, _ := reach(i.Request.ACRValues, k); want != "" && !objects.MeetsACR(k.Session.ACR, want) {
		return &Lack{Stronger, want, false}
	}
	return nil
}

// accepted are the values of acr of which one is needed, by the request (OIDC Core §5.5.1.1) and by the APIs it is
// about; nil: none is. Not nil and empty: there can be none.
func (i *Interaction) accepted(k Known) []string {
	required, least := i.Request.RequiredACR, k.Needs.ACR
	switch {
	case least == "":
		return required
	case required == nil:
		return objects.ACRsFrom(least)
	}
	return slices.DeleteFunc(slices.Clone(required), func(v string) bool { return !objects.MeetsACR(v, least) })
}

// reach is the first of some values that the person has or could have; "" with true: there are none, so any will do.
func reach(values []string, k Known) (value string, ok bool) {
	for _, v := range values {
		if objects.MeetsACR(k.Reach, v) {
			return v, true
		}
	}
	return "", values == nil
}

func meetsOne(worth string, values []string) bool {
	return slices.ContainsFunc(values, func(v string) bool { return objects.MeetsACR(worth, v) })
}

// notBefore is the earliest sign-in that will do for the request (OIDC Core §3.1.2.1, max_age) and for the APIs.
func (i *Interaction) notBefore(k Known) (at time.Time) {
	if age := i.Request.MaxAge; age != nil {
		at = i.CreatedAt.Add(-time.Duration(*age) * time.Second)
	}
	if least := i.CreatedAt.Add(-k.Needs.MaxAge); k.Needs.MaxAge > 0 && least.After(at) {
		at = least
	}
	return at
}

// signIn leads to the step in which a lack is made good, unless nothing can or nobody may be asked.
func (i *Interaction) signIn(k Known, lack *Lack) Verdict {
	switch {
	case lack.Why == Impossible:
		return refuse(k, oauth.UnmetAuthenticationRequirements, "the person cannot sign in as strongly as is asked for")
	case !i.Request.Prompts("none"):
		return Verdict{Step: StepLogin, Session: k.Session, Lack: *lack}
	case lack.Why == SomebodyElse:
		return refuse(k, oauth.LoginRequired, "somebody else is signed in")
	}
	return refuse(k, oauth.LoginRequired, "nobody is signed in, or not recently or not strongly enough")
}

// told is the acr of the answer: of the values that the client has named the strongest that the sign-in satisfies and
// the APIs take (OIDC Core §5.5.1.1, RFC 9470 §5), and otherwise what the sign-in is worth. Whoever compares it with
// what was asked for shall find it there.
func (i *Interaction) told(k Known) string {
	named := slices.Concat(i.Request.RequiredACR, i.Request.ACRValues)
	for _, v := range objects.ACRValues {
		if slices.Contains(named, v) && objects.MeetsACR(k.Session.ACR, v) && (k.Needs.ACR == "" || objects.MeetsACR(v, k.Needs.ACR)) {
			return v
		}
	}
	return k.Session.ACR
}
