package objects

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/jose"
)

// PurposeSector is the purpose of reading sector identifiers.
const PurposeSector = "sector_identifier"

// sector is what a sector identifier was found to say: the redirect URIs of everybody who shares subjects.
type sector struct {
	uris []string
	err  error
}

const (
	memberSector  = "sector_identifier_uri"
	maxSectorURIs = 5000
)

// ReadSectors reads the sector identifiers of the clients among the documents (OIDC Core §8.1), before the transaction
// that brings them in, which accepts no client whose sector was not read. What was accepted before and has not grown is
// not read again: so the same documents can be brought in where nothing can be reached.
func ReadSectors(ctx context.Context, db *store.DB, get func(ctx context.Context, purpose, url string) ([]byte, http.Header, error), docs []Document) error {
	addresses, err := sectorsToRead(ctx, db, docs)
	if err != nil {
		return fmt.Errorf("load clients: %w", err)
	}
	read := map[string]*sector{}
	for i, address := range addresses {
		if address == "" {
			continue
		}
		if read[address] == nil {
			body, _, err := get(ctx, PurposeSector, address)
			read[address] = parseSector(body, err)
		}
		docs[i].sector = read[address]
	}
	return nil
}

// sectorsToRead finds the address for each document that has one to be read, and "" for the others.
func sectorsToRead(ctx context.Context, db *store.DB, docs []Document) ([]string, error) {
	addresses := make([]string, len(docs))
	return addresses, db.Read(ctx, func(tx *store.Tx) error {
		for i, d := range docs {
			var c Client
			if d.Kind != KindClient || json.Unmarshal(d.Body, &c) != nil || c.SectorIdentifierURI == "" {
				continue // what is wrong with it will be said
			}
			o, err := tx.Object(KindClient, nameIn(d))
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
			if !c.sameSector(o.Body) {
				addresses[i] = c.SectorIdentifierURI
			}
		}
		return nil
	})
}

func parseSector(body []byte, err error) *sector {
	if err != nil {
		return &sector{err: err}
	}
	var list []string
	if jose.Unmarshal(body, &list) != nil || len(list) == 0 || len(list) > maxSectorURIs {
		return &sector{err: errors.New("it is not a JSON array of redirect URIs")}
	}
	return &sector{uris: list}
}

// sameSector says whether what is stored was accepted with this sector and with all redirect URIs that the client has now.
func (c *Client) sameSector(stored json.RawMessage) bool {
	var old Client
	if stored == nil || json.Unmarshal(stored, &old) != nil || old.SectorIdentifierURI != c.SectorIdentifierURI {
		return false
	}
	return !slices.ContainsFunc(c.RedirectURIs, func(uri string) bool { return !slices.Contains(old.RedirectURIs, uri) })
}

// checkSector asks that everybody who shares the subjects of a sector is named by it (OIDC Registration §5).
func (p *preparation) checkSector(c *Client, old json.RawMessage) {
	found := p.doc.sector
	switch {
	case c.SectorIdentifierURI == "" || p.ring == nil || c.sameSector(old): // without a ring the document is only validated
		return
	case found == nil:
		p.report(memberSector, "was not read", "bring the client in where it can be")
		return
	case found.err != nil:
		p.report(memberSector, "cannot be read: "+found.err.Error(),
			"serve a JSON array of all redirect URIs there, over https; for an address that is not public, allow the purpose "+PurposeSector+" under outbound")
		return
	}
	for i, uri := range c.RedirectURIs {
		if !slices.Contains(found.uris, uri) {
			p.report(at("redirect_uris", i), "is not listed at "+memberSector, "add it there (OIDC Registration §5)")
		}
	}
}
