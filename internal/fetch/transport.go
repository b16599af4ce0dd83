package fetch

import (
	"io"
	"net/http"
)

// PurposeIssuer is the purpose of being the client of an issuer other than our own.
const PurposeIssuer = "issuer"

// Transport is the client, for one purpose, as an http.RoundTripper: for callers that need status and header of every
// answer. What it refuses to ask is ErrForbidden, and a body ends with ErrTooLarge where it becomes too large. How long
// a request may take, and whether redirects are followed, the caller says.
func (c *Client) Transport(purpose string) http.RoundTripper {
	h := c.byPurpose[purpose]
	if h == nil {
		h = c.others
	}
	return transport{h.Transport, c.o.MaxBytes}
}

type transport struct {
	next http.RoundTripper
	max  int64
}

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := checkURL(r.URL.String()); err != nil {
		if r.Body != nil {
			_ = r.Body.Close() // RoundTrip must, also where it sends nothing
		}
		return nil, err
	}
	resp, err := t.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	resp.Body = &capped{resp.Body, t.max}
	return resp, nil
}

// capped is a body that may not be longer than what is left.
type capped struct {
	io.ReadCloser
	left int64
}

func (b *capped) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, ErrTooLarge
	}
	return n, err
}
