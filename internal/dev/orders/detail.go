package orders

import (
	"slices"

	"github.com/holdfast-iam/holdfast/oauth"
	"github.com/holdfast-iam/holdfast/resource"
)

// DetailOrder is the type of authorization details (RFC 9396) with which a token says which orders it is for.
const DetailOrder = "order"

// ActionPlace is placing an order, one of the actions of such a detail.
const ActionPlace = "place"

// detail is what the API reads of one.
type detail struct {
	Type    string   `json:"type"`
	Actions []string `json:"actions"`
	Limit   int      `json:"limit"` // of one order
}

// checkDetails holds an order against the details of the token. A token without any is limited by its scope alone.
func checkDetails(who *resource.Principal, o Order) error {
	const claim = "authorization_details"
	if _, err := resource.Claim[any](who, claim); err != nil {
		return nil // there are none
	}
	all, _ := resource.Claim[[]detail](who, claim) // what cannot be read allows nothing
	for _, d := range all {
		if d.Type == DetailOrder && slices.Contains(d.Actions, ActionPlace) && o.Quantity <= d.Limit {
			return nil
		}
	}
	return oauth.Refuse(oauth.AccessDenied, "the token does not allow such an order")
}
