package objects_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"testing"

	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
)

// sectors stands for the network. It counts what is asked of it.
type sectors struct {
	at    map[string]string
	asked int
}

func (s *sectors) get(_ context.Context, purpose, url string) ([]byte, http.Header, error) {
	s.asked++
	body, ok := s.at[url]
	if purpose != objects.PurposeSector || !ok {
		return nil, nil, errors.New("there is nobody")
	}
	return []byte(body), nil, nil
}

func sectorClient(id, uri string, redirects ...string) objects.Document {
	return with(m{"client_id": id, "subject_type": "pairwise", "sector_identifier_uri": uri, "redirect_uris": redirects})
}

func TestOIDCRegistration_5_SectorIdentifier(t *testing.T) {
	const a, b = "https://a.example/cb", "https://b.example/cb"
	net := &sectors{at: map[string]string{
		"https://s.example/both":   `["` + a + `","` + b + `"]`,
		"https://s.example/a":      `["` + a + `"]`,
		"https://s.example/object": `{"redirect_uris":["` + a + `"]}`,
		"https://s.example/mixed":  `["` + a + `",7]`,
		"https://s.example/empty":  `[]`,
		"https://s.example/html":   `<html>`,
	}}
	db, ring := storetest.Open(t, store.Options{}).For("acme"), keys.NewRing()
	bring := func(docs ...objects.Document) []string {
		t.Helper()
		if err := objects.ReadSectors(t.Context(), db, net.get, docs); err != nil {
			t.Fatal(err)
		}
		_, err := importDocs(t, db, ring, objects.ManagedByFile, docs...)
		problems, _ := errors.AsType[objects.Problems](err)
		if err != nil && problems == nil {
			t.Fatal(err)
		}
		return paths(problems)
	}
	for name, tc := range map[string]struct {
		doc  objects.Document
		want []string
	}{
		"all listed":        {sectorClient("both", "https://s.example/both", a, b), nil},
		"one missing":       {sectorClient("one", "https://s.example/a", a, b), []string{"redirect_uris[1]"}},
		"not an array":      {sectorClient("object", "https://s.example/object", a), []string{"sector_identifier_uri"}},
		"not only texts":    {sectorClient("mixed", "https://s.example/mixed", a), []string{"sector_identifier_uri"}},
		"nobody listed":     {sectorClient("empty", "https://s.example/empty", a), []string{"sector_identifier_uri"}},
		"not JSON":          {sectorClient("html", "https://s.example/html", a), []string{"sector_identifier_uri"}},
		"cannot be reached": {sectorClient("nobody", "https://nobody.example/", a), []string{"sector_identifier_uri"}},
		"for a public type": {with(m{"client_id": "public", "sector_identifier_uri": "https://s.example/a", "redirect_uris": []string{b}}), []string{"redirect_uris[0]"}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := bring(tc.doc); !slices.Equal(got, tc.want) {
				t.Errorf("problems of %q, want %q", got, tc.want)
			}
		})
	}
	// What was accepted is not read again, also where nothing can be reached, unless it has grown.
	asked := net.asked
	offline := sectorClient("both", "https://s.example/both", b)
	if _, err := importDocs(t, db, ring, objects.ManagedByFile, offline); err != nil {
		t.Error(err)
	}
	if got := bring(sectorClient("both", "https://s.example/both", b)); got != nil || net.asked != asked {
		t.Errorf("%q, and asked %d times more", got, net.asked-asked)
	}
	if got := bring(sectorClient("both", "https://s.example/both", b, "https://c.example/cb")); !slices.Equal(got, []string{"redirect_uris[1]"}) {
		t.Errorf("grown: %q", got)
	}
	if got := bring(sectorClient("both", "https://s.example/a", b)); !slices.Equal(got, []string{"redirect_uris[0]"}) {
		t.Errorf("another sector: %q", got)
	}
	_, err := importDocs(t, db, ring, objects.ManagedByFile, sectorClient("new", "https://s.example/a", a))
	if problems, _ := errors.AsType[objects.Problems](err); !slices.Equal(paths(problems), []string{"sector_identifier_uri"}) {
		t.Errorf("without having been read: %v", err)
	}
	// Two clients of one sector cost one reading.
	asked = net.asked
	if got := bring(sectorClient("x", "https://s.example/both", a), sectorClient("y", "https://s.example/both", b)); got != nil || net.asked != asked+1 {
		t.Errorf("%q, and asked %d times", got, net.asked-asked)
	}
}
