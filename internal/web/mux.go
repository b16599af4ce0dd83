package web

import (
	"net/http"
	"strings"

	"github.com/holdfast-iam/holdfast/oauth"
)

// NewMux makes a mux that ends in a 404 and 405 of the door's shape.
func NewMux(door Door) *Mux { return &Mux{ServeMux: http.NewServeMux(), door: door} }

// Mux is http.ServeMux whose own refusals go through a door.
type Mux struct {
	*http.ServeMux
	door Door
}

// ServeHTTP serves the matching handler, or refuses in the form of the door.
func (m *Mux) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h, pattern := m.Handler(r)
	switch {
	case strings.Contains(pattern, "{"):
		m.ServeMux.ServeHTTP(w, r) // not h: the mux sets the path values
		return
	case pattern != "":
		r.Pattern = pattern
		h.ServeHTTP(w, r)
		return
	}
	p := &probe{header: http.Header{}}
	h.ServeHTTP(p, r)
	err := oauth.Refuse(oauth.InvalidRequest, "there is nothing at this address").WithStatus(http.StatusNotFound)
	if p.status == http.StatusMethodNotAllowed {
		err = oauth.Refuse(oauth.InvalidRequest, "this method is not allowed here").
			WithStatus(http.StatusMethodNotAllowed).WithHeader("Allow", p.header.Get("Allow"))
	}
	Fail(m.door, w, r, err)
}

// probe learns what http.ServeMux would answer.
type probe struct {
	header http.Header
	status int
}

func (p *probe) Header() http.Header { return p.header }

func (p *probe) WriteHeader(status int) { p.status = status }

func (p *probe) Write(b []byte) (int, error) { return len(b), nil }

// Protect refuses state-changing requests that a page of another origin has caused, but for the patterns given, which
// protect themselves. The refusal has the form of the mux it stands before, if that is a Mux.
func Protect(next http.Handler, but ...string) http.Handler {
	door := OAuthDoor
	if m, ok := next.(*Mux); ok {
		door = m.door
	}
	c := http.NewCrossOriginProtection()
	for _, pattern := range but {
		c.AddInsecureBypassPattern(pattern)
	}
	c.SetDenyHandler(Through(door, func(http.ResponseWriter, *http.Request) error {
		return oauth.Refuse(oauth.AccessDenied, "a page of another origin has sent this request")
	}))
	return c.Handler(next)
}
