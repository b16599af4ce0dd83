package objects

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/holdfast-iam/holdfast/internal/details"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/oauth"
)

// DetailType finds a type of authorization details that the API knows; nil: it does not.
func (a *API) DetailType(name string) *details.Type {
	for i := range a.DetailTypes {
		if a.DetailTypes[i].Name == name {
			return &a.DetailTypes[i]
		}
	}
	return nil
}

// Takes says whether a detail means something at the API: it is of a type the API knows, and for it or for no API by
// name (RFC 9396 §2.2).
func (a *API) Takes(d details.Detail) bool {
	return d.IsAt(a.Resource) && a.DetailType(d.Type()) != nil
}

// AllowsDetail says whether the client may ask for a type of authorization details (RFC 9396 §10).
func (c *Client) AllowsDetail(name string) bool { return slices.Contains(c.AuthorizationDetails, name) }

// CheckDetails holds what a client asks for against the types that its APIs register (RFC 9396 §5). An object is meant
// for the APIs it names as locations, or else for those resources of the request that know its type, or where the request
// names none for all that do. There is one at least, and the object is right at every one.
func CheckDetails(client *Client, apis []*API, resources []string, list details.List) error {
	for i, d := range list {
		refuse := func(why string) error {
			return oauth.Refuse(oauth.InvalidAuthorizationDetails, fmt.Sprintf("authorization_details[%d] %s", i, why))
		}
		if !client.AllowsDetail(d.Type()) {
			return refuse("has a type that is unknown or not allowed for this application")
		}
		at := d.Locations()
		if len(at) == 0 {
			at = resources
		}
		meant := slices.DeleteFunc(slices.Clone(apis), func(a *API) bool {
			return !a.Takes(d) || len(at) > 0 && !slices.Contains(at, a.Resource)
		})
		for _, location := range d.Locations() {
			if !slices.ContainsFunc(meant, func(a *API) bool { return a.Resource == location }) {
				return refuse("has a location that is unknown, not allowed for this application, or does not know the type")
			}
		}
		if len(meant) == 0 {
			return refuse("has a type that no resource of this request knows")
		}
		for _, a := range meant {
			if !a.DetailType(d.Type()).Conforms(d) {
				return refuse("does not conform to its type")
			}
		}
	}
	return nil
}

// Describe puts a detail into the words of the first API that it is meant for.
func Describe(apis []*API, d details.Detail) details.Words {
	for _, a := range apis {
		if a.Takes(d) {
			return a.DetailType(d.Type()).Describe(d)
		}
	}
	return new(details.Type).Describe(d)
}

// decodeAPI reads what is stored.
func decodeAPI(body json.RawMessage) (*API, error) {
	a, err := decode[API](body)
	if err != nil {
		return nil, err
	}
	for i := range a.DetailTypes {
		if p := a.DetailTypes[i].Prepare(); p != nil {
			return nil, fmt.Errorf("type %q: %w", a.DetailTypes[i].Name, p)
		}
	}
	return a, nil
}

// APIs finds those of some resources that there are.
func (r *Registry) APIs(ctx context.Context, resources []string) ([]*API, error) {
	list := make([]*API, 0, len(resources))
	for _, resource := range resources {
		a, err := r.API(ctx, resource)
		switch {
		case errors.Is(err, ErrNotFound): // deleted since: not available, which is what its absence says
		case err != nil:
			return nil, fmt.Errorf("load API: %w", err)
		default:
			list = append(list, a)
		}
	}
	return list, nil
}

// DetailTypes are the names of all types of authorization details there are, sorted.
func (r *Registry) DetailTypes(ctx context.Context) ([]string, error) {
	all, err := cached(r, cacheKey{kind: KindAPI}, func() (*[]string, error) { return loadDetailTypes(ctx, r.db) })
	if err != nil {
		return nil, err
	}
	return *all, nil
}

// maxAPIs bounds what is asked for their types.
const maxAPIs = 10_000

func loadDetailTypes(ctx context.Context, db *store.DB) (*[]string, error) {
	all, err := loadAll(ctx, db, KindAPI, upTo(maxAPIs, KindAPI), decode[API])
	if err != nil {
		return nil, err
	}
	var names []string
	for _, a := range all {
		for _, t := range a.DetailTypes {
			names = append(names, t.Name)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	return &names, nil
}

// checkDetailTypes holds the types that an API registers.
func (p *preparation) checkDetailTypes(a *API) {
	const member = "authorization_details_types"
	for i := range a.DetailTypes {
		t := &a.DetailTypes[i]
		if problem := t.Prepare(); problem != nil {
			p.report(at(member, i)+"."+problem.Member, problem.What, problem.Remedy)
		}
		if a.DetailType(t.Name) != t {
			p.report(at(member, i)+".type", "is registered twice", "keep one")
		}
	}
	var written struct {
		Types []json.RawMessage `json:"authorization_details_types"`
	}
	_ = json.Unmarshal(p.doc.Body, &written) // of the wrong type, which has been said
	for i, raw := range written.Types {
		unknown, _ := oauth.UnknownMembers(raw, details.Type{})
		for _, name := range unknown {
			p.warn(at(member, i)+"."+name, "is not known and was left out", "check the spelling, or remove it")
		}
	}
}

// checkDetailNames holds the types that a client names. Whether there are such types is not asked: the API that
// registers them may come later.
func checkDetailNames(p *preparation, c *Client) {
	for i, name := range c.AuthorizationDetails {
		if name == "" || len(name) > maxName {
			p.report(at("authorization_details_types", i), "is not the name of a type", "use a name that an API registers (RFC 9396 §10)")
		}
	}
}
