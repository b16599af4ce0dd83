package flow_test

import (
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/flow"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/request"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/oauth"
)

var start = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

func TestNext(t *testing.T) {
	signedIn := func(ago time.Duration) *store.Session {
		return &store.Session{AccountID: "alice", AuthTime: start.Add(-ago)}
	}
	agreed := &store.Consent{Scope: []string{"openid"}}
	age := func(seconds int64) func(*flow.Interaction) {
		return func(i *flow.Interaction) { i.Request.MaxAge = &seconds }
	}
	prompt := func(values ...string) func(*flow.Interaction) {
		return func(i *flow.Interaction) { i.Request.Prompt = values }
	}
	for _, c := range []struct {
		name    string
		edit    func(*flow.Interaction)
		session *store.Session
		consent *store.Consent
		first   bool
		want    flow.Step
		code    oauth.Code
	}{
		{"nobody signed in", nil, nil, nil, false, flow.StepLogin, ""},
		{"signed in, never agreed", nil, signedIn(time.Hour), nil, false, flow.StepConsent, ""},
		{"signed in and agreed", nil, signedIn(time.Hour), agreed, false, flow.StepDone, ""},
		{"first party", nil, signedIn(time.Hour), nil, true, flow.StepDone, ""},
		{"agreed to less", func(i *flow.Interaction) { i.Request.Scope = []string{"openid", "read"} }, signedIn(0), agreed, false, flow.StepConsent, ""},

		{"prompt=login, signed in before", prompt("login"), signedIn(time.Second), agreed, false, flow.StepLogin, ""},
		{"prompt=login, signed in since", prompt("login"), signedIn(-time.Second), agreed, false, flow.StepDone, ""},
		{"prompt=select_account", prompt("select_account"), signedIn(time.Second), agreed, false, flow.StepLogin, ""},
		{"max_age kept", age(60), signedIn(time.Minute), agreed, false, flow.StepDone, ""},
		{"max_age exceeded", age(60), signedIn(61 * time.Second), agreed, false, flow.StepLogin, ""},
		{"max_age 0", age(0), signedIn(time.Second), agreed, false, flow.StepLogin, ""},
		{"max_age 0, signed in since", age(0), signedIn(-time.Second), agreed, false, flow.StepDone, ""},

		{"prompt=consent, agreed before", prompt("consent"), signedIn(0), agreed, false, flow.StepConsent, ""},
		{"prompt=consent of the first party", prompt("consent"), signedIn(0), nil, true, flow.StepConsent, ""},
		{"prompt=consent, agreed now", func(i *flow.Interaction) { i.Request.Prompt, i.ConsentAt = []string{"consent"}, start }, signedIn(0), agreed, false, flow.StepDone, ""},
		{"somebody else has agreed now", func(i *flow.Interaction) { i.ConsentAt = start }, signedIn(0), nil, false, flow.StepConsent, ""},

		{"prompt=none, nobody signed in", prompt("none"), nil, nil, false, flow.StepRefused, oauth.LoginRequired},
		{"prompt=none, too long ago", func(i *flow.Interaction) { prompt("none")(i); age(60)(i) }, signedIn(time.Hour), agreed, false, flow.StepRefused, oauth.LoginRequired},
		{"prompt=none, never agreed", prompt("none"), signedIn(0), nil, false, flow.StepRefused, oauth.ConsentRequired},
		{"prompt=none, all there", prompt("none"), signedIn(0), agreed, false, flow.StepDone, ""},
		{"declined", func(i *flow.Interaction) { i.Refused = oauth.AccessDenied }, signedIn(0), agreed, false, flow.StepRefused, oauth.AccessDenied},
		{"declined before signing in", func(i *flow.Interaction) { i.Refused = oauth.AccessDenied }, nil, nil, false, flow.StepRefused, oauth.AccessDenied},
	} {
		t.Run(c.name, func(t *testing.T) {
			i := &flow.Interaction{ID: "i", CreatedAt: start, Request: &request.Authorization{Scope: []string{"openid"}}}
			if c.edit != nil {
				c.edit(i)
			}
			v := flow.Next(i, flow.Known{Session: c.session, Client: &objects.Client{FirstParty: c.first}, Consent: c.consent})
			if v.Step != c.want || (v.Refusal != nil) != (c.code != "") || v.Refusal != nil && v.Refusal.Code != c.code || v.Session != c.session && v.Step != flow.StepRefused {
				t.Errorf("got %+v", v)
			}
		})
	}
}
