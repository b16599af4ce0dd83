package fetch

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"sync"

	"golang.org/x/sync/singleflight"

	"github.com/holdfast-iam/holdfast/jose"
)

// PurposeRequest is the purpose of reading request objects.
const PurposeRequest = "request_uri"

// maxObjects is how many are kept, of up to 64 KiB each.
const maxObjects = 200

// Objects reads request objects from where clients keep them (RFC 9101 §5.2.3). It keeps what the address names the hash
// of, which cannot change (OIDC Core §6.2), and reads all else each time. A fragment that is something else is the
// client's affair: the signature says whether the object is its. It is safe for concurrent use.
type Objects struct {
	Client *Client

	flight singleflight.Group
	mu     sync.Mutex
	kept   map[string]string // by hash
}

// At returns the request object at an address, whose fragment may be the hash of it.
func (o *Objects) At(ctx context.Context, address string) (string, error) {
	if object, ok := o.known(address); ok {
		return object, nil
	}
	done := o.flight.DoChan(address, func() (any, error) {
		if object, ok := o.known(address); ok { // since we looked
			return object, nil
		}
		// What one caller gives up others may wait for: the time limit is the client's.
		return o.read(context.WithoutCancel(ctx), address)
	})
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case r := <-done:
		object, _ := r.Val.(string)
		return object, r.Err
	}
}

func (o *Objects) known(address string) (object string, ok bool) {
	_, hash, _ := strings.Cut(address, "#")
	o.mu.Lock()
	defer o.mu.Unlock()
	object, ok = o.kept[hash]
	return object, ok
}

func (o *Objects) read(ctx context.Context, address string) (string, error) {
	address, hash, _ := strings.Cut(address, "#")
	body, _, err := o.Client.Get(ctx, PurposeRequest, address)
	if err != nil {
		return "", err
	}
	if len(body) > jose.MaxToken {
		return "", ErrTooLarge
	}
	object := strings.TrimSpace(string(body))
	if sum := sha256.Sum256(body); hash == base64.RawURLEncoding.EncodeToString(sum[:]) {
		o.keep(hash, object)
	}
	return object, nil
}

// keep keeps an object, at the cost of any other one where there is no room.
func (o *Objects) keep(hash, object string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.kept == nil {
		o.kept = map[string]string{}
	}
	for other := range o.kept {
		if len(o.kept) < maxObjects {
			break
		}
		delete(o.kept, other)
	}
	o.kept[hash] = object
}
