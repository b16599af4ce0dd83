package flow_test

import (
	"slices"
	"testing"

	"github.com/holdfast-iam/holdfast/internal/consents"
	"github.com/holdfast-iam/holdfast/internal/flow"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/request"
	"github.com/holdfast-iam/holdfast/internal/store"
)

// Whoever asks for claims by name gets them with the consent of the person, as by a scope.
func TestOIDC_5_5_ClaimsNeedConsent(t *testing.T) {
	i := &flow.Interaction{Request: &request.Authorization{Scope: []string{"openid"}, ClaimScopes: []string{"email"}}}
	if asked := i.Asked(); !slices.Equal(asked.Scope, []string{"openid", "email"}) {
		t.Errorf("asked for %q", asked.Scope)
	}
	client := new(objects.Client)
	if !consents.Needed(client, &store.Consent{Scope: []string{"openid"}}, i.Asked()) {
		t.Error("nobody is asked about e-mail addresses")
	}
	if consents.Needed(client, &store.Consent{Scope: []string{"openid", "email"}}, i.Asked()) {
		t.Error("somebody is asked again")
	}
}
