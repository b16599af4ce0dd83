package theft_test

import (
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/holdfast-iam/holdfast/holdfasttest"
	"github.com/holdfast-iam/holdfast/internal/dev/theft"
)

// visitor is somebody at the theft page of a running landscape.
type visitor struct {
	*http.Client
	at string
	t  *testing.T
}

func visit(t *testing.T) *visitor {
	s := holdfasttest.Start(t)
	return &visitor{s.HTTP(), strings.Replace(s.Issuer, "login.", "theft.", 1), t}
}

func (v *visitor) read(resp *http.Response, err error) (int, string) {
	v.t.Helper()
	if err != nil {
		v.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func (v *visitor) replay(id string) string {
	v.t.Helper()
	status, text := v.read(v.PostForm(v.at+"/", url.Values{"replay": {id}}))
	if status != http.StatusOK {
		v.t.Fatalf("%s: %d", id, status)
	}
	return text
}

var (
	markup = regexp.MustCompile(`(?s)<[^>]*>`)
	spaces = regexp.MustCompile(`\s*\n\s*`)
)

func plain(text string) string {
	return spaces.ReplaceAllString(markup.ReplaceAllString(text, ""), "\n")
}

// TestEveryTheftIsRefused does every replay at the page, as a visitor without script would. It holds what the product
// promises: the right holder is served, and the thief is not.
func TestEveryTheftIsRefused(t *testing.T) {
	v := visit(t)
	for _, c := range theft.Replays() {
		for _, r := range c.Replays {
			t.Run(r.ID, func(t *testing.T) {
				v := &visitor{v.Client, v.at, t}
				text := v.replay(r.ID)
				_, mine, _ := strings.Cut(text, `<li id="`+r.ID+`"`)
				mine, _, _ = strings.Cut(mine, "</ol>")
				if !strings.Contains(mine, `data-outcome="held"`) {
					t.Fatalf("%s", plain(mine))
				}
				if !strings.Contains(mine, `class="act holder"`) || !strings.Contains(mine, "<dt>Audit</dt>") {
					t.Errorf("nobody was served, or the audit does not say why:\n%s", plain(mine))
				}
			})
		}
	}
}

func TestPage(t *testing.T) {
	v := visit(t)
	status, text := v.read(v.Get(v.at + "/"))
	if status != http.StatusOK || strings.Contains(text, "data-outcome") || !strings.Contains(text, `id="theft-all"`) {
		t.Errorf("%d %s", status, text)
	}
	if status, _ := v.read(v.PostForm(v.at+"/", url.Values{"replay": {"nothing"}})); status != http.StatusNotFound {
		t.Errorf("an unknown replay: %d", status)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, v.at+"/", strings.NewReader("replay=all"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Sec-Fetch-Site": {"same-site"}, "Origin": {"https://evil.holdfast.localhost"}}
	if status, _ := v.read(v.Do(req)); status != http.StatusForbidden {
		t.Errorf("a replay caused by another site: %d", status)
	}
	if text := v.replay("all"); strings.Count(text, `data-outcome="held"`) != strings.Count(text, "data-outcome=") || strings.Count(text, "data-outcome=") < 30 {
		t.Errorf("%s", plain(text))
	}
}
