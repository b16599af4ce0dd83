package app

import (
	"context"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/oauth"
)

// metrics are what operators watch.
type metrics struct {
	registry *prometheus.Registry
	refusals *prometheus.CounterVec
}

func newMetrics(a *App) *metrics {
	m := &metrics{registry: prometheus.NewRegistry()}
	m.refusals = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "holdfast_refusals_total", Help: "Requests refused, by error code."}, []string{"code"})
	dropped := prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "holdfast_audit_dropped_total", Help: "Observations that the audit queue had no room for."},
		func() float64 { return float64(a.trail.Dropped()) })
	ready := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "holdfast_ready", Help: "1 when this node answers readyz with 200."},
		func() float64 {
			if a.ready(context.Background()) == nil {
				return 1
			}
			return 0
		})
	m.registry.MustRegister(m.refusals, dropped, ready, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// mountHealth adds what monitors and load balancers ask.
func (a *App) mountHealth(mux *http.ServeMux) {
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.Handle("GET /readyz", web.Through(web.ProblemDoor, func(w http.ResponseWriter, r *http.Request) error {
		if err := a.ready(r.Context()); err != nil {
			return err
		}
		_, err := w.Write([]byte("ok\n"))
		return err
	}))
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.metrics.registry, promhttp.HandlerOpts{}))
	if a.Config.Environment == "test" {
		mux.Handle("POST /test/clock", web.Through(web.ProblemDoor, a.hooked(a.moveClock)))
		mux.Handle("POST /test/keys/rotate", web.Through(web.ProblemDoor, a.hooked(a.rotateNow)))
	}
}

// ready tells the truth about this node: it refuses while it stops, while it does not know what is revoked, and
// while the database does not answer.
func (a *App) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	switch {
	case a.draining.Load():
		return oauth.Refuse(oauth.TemporarilyUnavailable, "this node is stopping")
	case !a.feed.Ready() || a.feed.Stale():
		return oauth.Refuse(oauth.TemporarilyUnavailable, "the news of what is revoked is missing or old")
	}
	for _, db := range a.databases() {
		if err := db.Ping(ctx); err != nil {
			return oauth.Refuse(oauth.TemporarilyUnavailable, "the database does not answer").With(err)
		}
	}
	return nil
}

// hooked lets a test hook be called with the development token only.
func (a *App) hooked(h web.Handler) web.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		token := a.devToken()
		if token == "" || !keys.Equal(r.Header.Get("Authorization"), "Bearer "+token.Reveal()) {
			return oauth.Refuse(oauth.InvalidToken, "test hooks need the token of admin.token_file")
		}
		return h(w, r)
	}
}

// moveClock sets the clock of all nodes ahead of, or behind, the real one: offset=90s.
func (a *App) moveClock(w http.ResponseWriter, r *http.Request) error {
	form, err := web.Form(r)
	if err != nil {
		return err
	}
	d, err := time.ParseDuration(form.Get("offset"))
	if err != nil {
		return oauth.Refuse(oauth.InvalidRequest, "offset is not a duration such as 90s or -5m")
	}
	if err := a.Clock.move(r.Context(), a.DB, d); err != nil {
		return err
	}
	return web.WriteJSON(w, http.StatusOK, map[string]string{"now": a.Clock.Now().Format(time.RFC3339Nano)})
}

// rotateNow has a new key of an algorithm sign at once: tenant=main&alg=ES256.
func (a *App) rotateNow(w http.ResponseWriter, r *http.Request) error {
	form, err := web.Form(r)
	if err != nil {
		return err
	}
	tenants := a.current.Load().tenants
	for _, t := range tenants {
		if t.Name != form.Get("tenant") && (form.Has("tenant") || len(tenants) > 1) {
			continue
		}
		if err := t.signing.Rotate(r.Context(), form.Get("alg")); err != nil {
			return oauth.Refuse(oauth.InvalidRequest, "there is no key of this algorithm").With(err)
		}
		return web.WriteJSON(w, http.StatusOK, map[string]bool{"rotated": true})
	}
	return oauth.Refuse(oauth.InvalidRequest, "there is no such tenant")
}

// devToken is the bearer token of the test environment; "" elsewhere.
func (a *App) devToken() keys.Secret {
	if a.Config.Environment != "test" || a.Config.Admin.TokenFile == "" {
		return ""
	}
	data, err := os.ReadFile(a.Config.Admin.TokenFile)
	if err != nil {
		return ""
	}
	return keys.Secret(strings.TrimSpace(string(data)))
}
