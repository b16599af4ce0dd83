package fetch_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/holdfast-iam/holdfast/internal/fetch"
)

func TestTransport(t *testing.T) {
	s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Query().Get("q") {
		case "large":
			_, _ = w.Write(make([]byte, 1001)) // the client sees
		case "full":
			_, _ = w.Write(make([]byte, 1000))
		default:
			http.Error(w, "no", http.StatusTeapot)
		}
	})
	c := s.client(t)
	for name, test := range map[string]struct {
		purpose, url string
		want         error // nil: an answer
		status       int
	}{
		"an error answer":   {"test", s.url("example.com"), nil, http.StatusTeapot},
		"a full answer":     {"test", s.url("example.com") + "?q=full", nil, http.StatusOK},
		"a large answer":    {"test", s.url("example.com") + "?q=large", fetch.ErrTooLarge, 0},
		"another purpose":   {fetch.PurposeIssuer, s.url("example.com"), fetch.ErrForbidden, 0},
		"plain HTTP":        {"test", strings.Replace(s.url("example.com"), "https", "http", 1), fetch.ErrForbidden, 0},
		"a URL with a user": {"test", strings.Replace(s.url("example.com"), "//", "//u@", 1), fetch.ErrForbidden, 0},
	} {
		t.Run(name, func(t *testing.T) {
			resp, err := (&http.Client{Transport: c.Transport(test.purpose)}).Get(test.url)
			if err == nil {
				defer resp.Body.Close()
				if test.want == nil && resp.StatusCode != test.status {
					t.Errorf("status %d", resp.StatusCode)
				}
				_, err = io.ReadAll(resp.Body)
			}
			if !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}
