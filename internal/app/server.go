package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/jose"
)

// server is a Holdfast that runs on this machine, as the command line sees it: its socket for administration.
type server struct {
	socket string
	http   *http.Client
}

// callServer looks whether a server listens at a socket; nil: none does.
func callServer(ctx context.Context, socket string) (*server, error) {
	if socket == "" {
		return nil, nil
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "unix", socket)
	}
	conn, err := dial(ctx, "", "")
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, nil
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("admin.socket: %s may not be used: run this as the user of the server, or as root", socket)
	case err != nil:
		return nil, fmt.Errorf("admin.socket: %w", err)
	}
	_ = conn.Close() // it was a look only
	return &server{socket, &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}, nil
}

// importAll brings documents in through the server.
func (s *server) importAll(ctx context.Context, tenant string, docs []objects.Document) (objects.Report, error) {
	send := func(route string, docs []objects.Document, body any) (objects.Report, error) {
		report, err := s.post(ctx, "/"+tenant+"/admin/v1"+route, map[string]any{"managed_by": objects.ManagedByFile, "documents": body})
		report.Notices = located(report.Notices, docs)
		if problems, ok := errors.AsType[objects.Problems](err); ok {
			err = located(problems, docs)
		}
		return report, err
	}
	things := func(docs []objects.Document) (objects.Report, error) { return send("/apply", docs, docs) }
	return importBoth(docs, things, func(docs []objects.Document) (objects.Report, error) {
		bodies := make([]json.RawMessage, len(docs))
		for i, d := range docs {
			bodies[i] = d.Body
		}
		return send("/users/import", docs, bodies)
	})
}

// located names the files of problems that the server has found in documents it knows by number.
func located(problems objects.Problems, docs []objects.Document) objects.Problems {
	for i := range problems {
		number := strings.TrimSuffix(strings.TrimPrefix(problems[i].Source, "documents["), "]")
		if n, err := strconv.Atoi(number); err == nil && n >= 0 && n < len(docs) {
			problems[i].Source = docs[n].Source
		}
	}
	return problems
}

// post brings documents in and reads the report.
func (s *server) post(ctx context.Context, path string, in any) (objects.Report, error) {
	var done struct {
		objects.Report
		Secrets map[string]keys.Secret `json:"secrets"`
	}
	err := s.call(ctx, path, in, &done)
	done.Report.Secrets = done.Secrets
	return done.Report, err
}

// call sends a request to the server and reads its answer.
func (s *server) call(ctx context.Context, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	if len(body) > jose.MaxJSON {
		return errors.New("these are more than 8 MiB: bring them in in parts")
	}
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://localhost"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	q.Header.Set("Content-Type", "application/json")
	resp, err := s.http.Do(q)
	if err != nil {
		return fmt.Errorf("the server at %s did not answer: %w; try again", s.socket, errors.Unwrap(err))
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("the server at %s did not answer to the end: %w; try again", s.socket, err)
	}
	if resp.StatusCode != http.StatusOK {
		return s.refusal(resp.StatusCode, answer)
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("read the answer of the server at %s: %w", s.socket, err)
	}
	return nil
}

const maxAnswer = 64 << 20 // bytes

// refusal is the error of an answer that is none of success (RFC 9457).
func (s *server) refusal(status int, answer []byte) error {
	var p struct {
		Detail, Instance string
		Problems         objects.Problems
	}
	switch err := json.Unmarshal(answer, &p); {
	case err == nil && len(p.Problems) > 0:
		return p.Problems
	case status == http.StatusNotFound:
		return fmt.Errorf("the server at %s does not know this tenant: have it reload the configuration (SIGHUP)", s.socket)
	}
	return fmt.Errorf("the server at %s refused with status %d: %s; its log has more under request id %s", s.socket, status, p.Detail, p.Instance)
}
