package web_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/holdfast-iam/holdfast/internal/web"
)

const formType = "application/x-www-form-urlencoded"

func post(contentType, body string) *http.Request {
	r := httptest.NewRequest("POST", "/token", strings.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	return r
}

func TestRFC6749_3_2_Form(t *testing.T) {
	tests := map[string]struct {
		kind, body string
		want       string // url.Values.Encode; "-" is refused
	}{
		"plain":                  {formType, "grant_type=authorization_code&code=a%2Bb+c", "code=a%2Bb+c&grant_type=authorization_code"},
		"charset":                {formType + ";charset=UTF-8", "a=%C3%BC", "a=%C3%BC"},
		"without value":          {formType, "scope=&a=1", "a=1"},
		"repeated":               {formType, "scope=a&scope=b", "-"},
		"repeated and empty":     {formType, "scope=&scope=b", "-"},
		"RFC8707_2 resources":    {formType, "resource=a&resource=b", "resource=a&resource=b"},
		"RFC8693_2_1 audiences":  {formType, "audience=a&audience=b&audience=", "audience=a&audience=b"},
		"JSON":                   {"application/json", `{}`, "-"},
		"multipart":              {"multipart/form-data; boundary=x", "a=1", "-"},
		"no type":                {"", "a=1", "-"},
		"broken type":            {"application/x-www-form-urlencoded; =", "a=1", "-"},
		"broken encoding":        {formType, "a=%zz", "-"},
		"broken encoding of key": {formType, "%=1", "-"},
		"semicolon":              {formType, "a=1;b=2", "-"},
		"not UTF-8":              {formType, "a=%ff", "-"},
		"key not UTF-8":          {formType, "%ff=a", "-"},
		"zero byte":              {formType, "a=b%00c", "-"},
		"too many":               {formType, strings.Repeat("a&", 100) + "b=1", "-"},
		"too large":              {formType, "a=" + strings.Repeat("x", 64<<10), "-"},
		"as large as may be":     {formType, "a=" + strings.Repeat("x", 64<<10-2), "a=" + strings.Repeat("x", 64<<10-2)},
		"empty":                  {formType, "", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := web.Form(post(tt.kind, tt.body))
			if refused := err != nil; refused != (tt.want == "-") {
				t.Fatalf("error %v", err)
			}
			if err == nil && got.Encode() != tt.want {
				t.Errorf("got %s", got.Encode())
			}
		})
	}
}

func TestRFC6749_2_3_1_NoParametersInTheAddress(t *testing.T) {
	r := post(formType, "a=1")
	r.URL.RawQuery = "client_secret=s"
	if _, err := web.Form(r); err == nil {
		t.Error("a query beside a form was accepted")
	}
}

func TestStatusOfWhatIsTooLarge(t *testing.T) {
	res := answer(t, web.Through(web.OAuthDoor, func(_ http.ResponseWriter, r *http.Request) error {
		_, err := web.Form(r)
		return err
	}), post(formType, strings.Repeat("x", 70<<10)))
	if res.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("status %d", res.StatusCode)
	}
}

func TestQuery(t *testing.T) {
	for query, want := range map[string]string{
		"":                                  "",
		"client_id=c&state=%F0%9F%8C%8A":    "client_id=c&state=%F0%9F%8C%8A",
		"resource=a&resource=b&state=":      "resource=a&resource=b",
		"client_id=a&client_id=b":           "-",
		"a=%":                               "-",
		"a=" + strings.Repeat("x", 16<<10):  "-",
		strings.Repeat("&", 100):            "-",
		"request=" + strings.Repeat("x", 1): "request=x",
	} {
		r := httptest.NewRequest("GET", "/authorize", nil)
		r.URL.RawQuery = query
		got, err := web.Query(r)
		if refused := err != nil; refused != (want == "-") || err == nil && got.Encode() != want {
			t.Errorf("%.60s: %v, %v", query, got, err)
		}
	}
}

// checkParameters holds what every caller relies on.
func checkParameters(t *testing.T, got url.Values) {
	t.Helper()
	for name, values := range got {
		if len(values) == 0 || len(values) > 1 && name != "resource" && name != "audience" {
			t.Errorf("%q has %d values", name, len(values))
		}
		for _, v := range append(values, name) {
			if !utf8.ValidString(v) || strings.ContainsRune(v, 0) {
				t.Errorf("%q is not text", v)
			}
		}
		for _, v := range values {
			if v == "" {
				t.Errorf("%q has an empty value", name)
			}
		}
	}
}

func FuzzForm(f *testing.F) {
	f.Add(formType, "a=1&b=%C3%BC&resource=x&resource=y&c=")
	f.Add(formType+"; charset=utf-8", "a=1&a=2;%ff=%00")
	f.Add("text/plain", "a")
	f.Fuzz(func(t *testing.T, kind, body string) {
		if got, err := web.Form(post(kind, body)); err == nil {
			checkParameters(t, got)
		}
	})
}

func FuzzQuery(f *testing.F) {
	f.Add("a=1&b=%C3%BC&resource=x&resource=y&c=")
	f.Add("a=%zz&a=2;%ff=%00&&&=")
	f.Fuzz(func(t *testing.T, query string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.URL.RawQuery = query
		if got, err := web.Query(r); err == nil {
			checkParameters(t, got)
		}
	})
}
