package orders

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/websocket"

	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/resource"
)

const (
	heartbeat  = 15 * time.Second
	maxMessage = 4 << 10 // bytes of a message over the WebSocket
)

// stream tells of new orders as server-sent events (HTML Standard §9.2). It ends with the token: whoever listens further
// comes back with another one.
func (a *API) stream(w http.ResponseWriter, r *http.Request) error {
	who := resource.From(r.Context())
	ctx, stop := context.WithTimeout(r.Context(), who.ExpiresAt.Sub(a.now()))
	defer stop()
	ear, deaf := a.listen(who.Subject)
	defer deaf()
	control := http.NewResponseController(w)
	if err := control.SetWriteDeadline(time.Time{}); err != nil {
		return fmt.Errorf("keep the stream open: %w", err)
	}
	w.Header().Set("Content-Type", "text/event-stream")
	web.NoStore(w.Header())
	if _, err := io.WriteString(w, ": listening\n\n"); err != nil {
		return nil // nobody is there any more
	}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		if control.Flush() != nil {
			return nil
		}
		var err error
		select {
		case <-ctx.Done():
			return nil
		case <-beat.C:
			_, err = io.WriteString(w, ": still here\n\n")
		case o := <-ear:
			err = write(w, o)
		}
		if err != nil {
			return nil
		}
	}
}

func write(w io.Writer, o Order) error {
	data, err := json.Marshal(o)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "event: order\nid: %s\ndata: %s\n\n", o.ID, data)
	return err
}

// echo answers every message with itself (RFC 6455). Which origins may open a WebSocket is for the gateway to know.
func (a *API) echo() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		left := resource.From(r.Context()).ExpiresAt.Sub(a.now())
		s := websocket.Server{Handler: func(c *websocket.Conn) {
			c.MaxPayloadBytes = maxMessage
			end := time.AfterFunc(left, func() { _ = c.Close() }) // with the token
			defer end.Stop()
			for {
				var text string
				if websocket.Message.Receive(c, &text) != nil || websocket.Message.Send(c, text) != nil {
					return
				}
			}
		}}
		s.ServeHTTP(hijacker{w}, r)
	})
}

// hijacker lets the WebSocket reach the connection below our own writers.
type hijacker struct{ http.ResponseWriter }

func (h hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(h.ResponseWriter).Hijack()
}

// TLS is how the API is served: to whoever holds a certificate of these roots in this common name, and to nobody else.
func TLS(certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error), roots *x509.CertPool, commonName string) *tls.Config {
	c := web.TLSConfig(certificate, true)
	c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, roots
	c.VerifyConnection = func(s tls.ConnectionState) error {
		if len(s.PeerCertificates) == 0 || s.PeerCertificates[0].Subject.CommonName != commonName {
			return errors.New("the client certificate is not that of the gateway")
		}
		return nil
	}
	return c
}
