package dev

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
)

// caught is a catcher that has got mails over its SMTP session.
func caught(t *testing.T, mails ...string) *catcher {
	t.Helper()
	c := new(catcher)
	for _, text := range mails {
		d := &delivery{catcher: c, from: "no-reply@example.com", to: []string{"alice@example.com"}}
		if err := d.Data(strings.NewReader(strings.ReplaceAll(text, "\n", "\r\n"))); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func get(t *testing.T, c *catcher, path string) (int, string, *httptest.ResponseRecorder) {
	t.Helper()
	h, err := c.handler()
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	return w.Code, w.Body.String(), w
}

func TestMailIsShownAsText(t *testing.T) {
	c := caught(t, "Subject: <script>alert(1)</script>\nContent-Type: text/html\n\n<script>alert(2)</script>\x00\x1b[31m\xff", "Subject:\n\n")
	for _, path := range []string{"/", "/messages/1", "/messages/2"} {
		status, body, w := get(t, c, path)
		if status != 200 || strings.Contains(body, "<script>alert") || strings.ContainsAny(body, "\x00\x1b") || strings.Contains(body, "\xff") {
			t.Errorf("%s: %d\n%s", path, status, body)
		}
		if csp := w.Header().Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'") {
			t.Errorf("%s: policy %q", path, csp)
		}
	}
	if status, _, _ := get(t, c, "/messages/3"); status != 404 {
		t.Errorf("a mail that is not there: %d", status)
	}
}

func TestMailTexts(t *testing.T) {
	for name, c := range map[string]struct{ mail, text string }{
		"plain":            {"Subject: s\n\nA code: 1234\n", "A code: 1234\n"},
		"quoted-printable": {"Subject: s\nContent-Transfer-Encoding: quoted-printable\n\nGr=C3=BC=C3=9Fe=\n!\n", "Grüße!\n"},
		"base64":           {"Subject: s\nContent-Transfer-Encoding: base64\n\nQSBjb2RlCg==\n", "A code\n"},
		"two parts":        {"Subject: s\nContent-Type: multipart/alternative; boundary=b\n\n--b\nContent-Type: text/html\n\n<p>no</p>\n--b\nContent-Type: text/plain\n\nyes\n--b--\n", "yes"},
		"no text":          {"Subject: s\nContent-Type: multipart/alternative; boundary=b\n\n--b\nContent-Type: text/html\n\n<p>no</p>\n--b--\n", ""},
	} {
		if got := caught(t, c.mail).list()[0].Text; got != c.text {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestMailListing(t *testing.T) {
	var mails []string
	for i := range maxMessages + 5 {
		mails = append(mails, fmt.Sprintf("Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= %d\n\nA code: %d\n", i, i))
	}
	_, body, w := get(t, caught(t, mails...), "/messages.json")
	var all []map[string]any
	if err := json.Unmarshal([]byte(body), &all); err != nil {
		t.Fatal(err)
	}
	if len(all) != maxMessages || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("%d messages as %s", len(all), w.Header().Get("Content-Type"))
	}
	newest := all[0]
	if newest["from"] != "no-reply@example.com" || newest["to"] != "alice@example.com" || newest["subject"] != "Grüße 204" || newest["text"] != "A code: 204\n" || newest["received"] == nil || newest["id"] != 205.0 {
		t.Errorf("%v", newest)
	}
	if _, body, _ := get(t, caught(t), "/messages.json"); body != "[]" {
		t.Errorf("without mail: %s", body)
	}
}
