package theft

import (
	"embed"
	"net/http"
	"slices"
	"strconv"
	"sync"

	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/oauth"
)

//go:embed pages assets
var files embed.FS

// view is the page: every credential, with the results there are.
type view struct {
	Credentials []credentialView
	Held, Done  int
	Link        string // to the demo app
}

type credentialView struct {
	Credential
	Replays []replayView
}

type replayView struct {
	Replay
	Result *Result
}

// Outcome is what a result is in one word, for the page and those who read it by machine.
func (r *Result) Outcome() string {
	switch {
	case r.Err != nil:
		return "error"
	case r.Held:
		return "held"
	}
	return "stolen"
}

// Took says that the thief got something.
func (a Act) Took() bool { return a.Thief && !a.Refused() }

// StatusText is the status with its name.
func (a Act) StatusText() string {
	return strconv.Itoa(a.Status) + " " + http.StatusText(a.Status)
}

// Handler serves the page, and does a replay when its form is sent. It works without script.
func (t *Theft) Handler() (http.Handler, error) {
	pages, err := web.NewPages(web.Theme{Name: "Holdfast theft drill"}, files)
	if err != nil {
		return nil, err
	}
	door := web.PageDoor(pages)
	mux, one := web.NewMux(door), sync.Mutex{}
	mux.Handle("GET /{$}", web.Through(door, func(w http.ResponseWriter, r *http.Request) error {
		return pages.Render(w, r, http.StatusOK, "theft", t.view(nil))
	}))
	mux.Handle("POST /{$}", web.Through(door, func(w http.ResponseWriter, r *http.Request) error {
		form, err := web.Form(r)
		if err != nil {
			return err
		}
		one.Lock() // so that a page left open in many windows is no load
		defer one.Unlock()
		if form.Get("replay") == "all" {
			return pages.Render(w, r, http.StatusOK, "theft", t.view(t.RunAll(r.Context())))
		}
		result, err := t.Run(r.Context(), form.Get("replay"))
		if err != nil {
			return oauth.Refuse(oauth.InvalidRequest, "there is no such replay").WithStatus(http.StatusNotFound)
		}
		return pages.Render(w, r, http.StatusOK, "theft", t.view(map[string]*Result{form.Get("replay"): result}))
	}))
	pages.Mount(mux.ServeMux)
	return web.Protect(mux), nil
}

func (t *Theft) view(results map[string]*Result) view {
	v := view{Link: t.App.Origin}
	for _, c := range Replays() {
		one := credentialView{Credential: c}
		for _, r := range c.Replays {
			result := results[r.ID]
			one.Replays = append(one.Replays, replayView{r, result})
			if result != nil {
				v.Done++
			}
			if result != nil && result.Held {
				v.Held++
			}
		}
		v.Credentials = append(v.Credentials, one)
	}
	return v
}

// Total is how many replays there are.
func (v view) Total() int {
	n := 0
	for _, c := range v.Credentials {
		n += len(c.Replays)
	}
	return n
}

// Open says that a credential has results to show.
func (c credentialView) Open() bool {
	return slices.ContainsFunc(c.Replays, func(r replayView) bool { return r.Result != nil })
}
