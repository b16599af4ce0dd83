package grant

import (
	"encoding/json"

	"github.com/holdfast-iam/holdfast/internal/details"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/oauth"
)

// parseDetails reads the authorization details of the request (RFC 9396 §6). An empty list asks for a token without any;
// a request that does not name them asks for all that were granted.
func (a *attempt) parseDetails() (err error) {
	if a.details != "" {
		a.asked, err = details.Parse(a.details)
	}
	return err
}

// narrowDetails applies the details of the request to those that a person granted or a token carries: it may name fewer,
// or less of one, never more (RFC 9396 §6, §6.1).
func (a *attempt) narrowDetails(granted json.RawMessage) (details.List, error) {
	all, err := details.Read(granted)
	if err != nil || a.asked == nil {
		return all, err
	}
	if !all.Covers(a.asked) {
		return nil, oauth.Refuse(oauth.InvalidAuthorizationDetails, "authorization_details goes beyond what was granted")
	}
	return a.asked, nil
}

// detailsAt keeps the details that mean something at the API of the token (RFC 9396 §3.2, §9.1), of types that the client
// may still ask for. What the request itself names must all be among them.
func (a *attempt) detailsAt(api *objects.API, list details.List) (details.List, error) {
	kept := list.Where(func(d details.Detail) bool { return api != nil && api.Takes(d) && a.client.AllowsDetail(d.Type()) })
	if a.asked != nil && len(kept) < len(list) {
		return nil, oauth.Refuse(oauth.InvalidAuthorizationDetails, "authorization_details has an object that is not for this resource")
	}
	return kept, nil
}

// exchangeDetails is what of the subject's details means something at the API behind, or the part of it that is asked for.
// Locations are those of the API in front, which the token was for, and stay as they are. A client that is registered with
// types carries no others on.
func (a *attempt) exchangeDetails(api *objects.API, subject json.RawMessage) (details.List, error) {
	list, err := a.narrowDetails(subject)
	if err != nil {
		return nil, err
	}
	kept := list.Where(func(d details.Detail) bool {
		return api.DetailType(d.Type()) != nil && (len(a.client.AuthorizationDetails) == 0 || a.client.AllowsDetail(d.Type()))
	})
	if a.asked != nil && len(kept) < len(list) {
		return nil, oauth.Refuse(oauth.InvalidAuthorizationDetails, "authorization_details has an object that is not for this resource")
	}
	return kept, nil
}
