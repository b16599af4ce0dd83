package store

import (
	"encoding/json"
	"fmt"
	"time"
)

// micros is how a time is stored: microseconds since 1970 UTC, 0 for none.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// instant reads what micros wrote.
type instant time.Time

// Scan implements sql.Scanner.
func (i *instant) Scan(src any) error {
	us, ok := src.(int64)
	if !ok {
		return fmt.Errorf("a time is stored as %T", src)
	}
	*i = instant{}
	if us != 0 {
		*i = instant(time.UnixMicro(us).UTC())
	}
	return nil
}

// asJSON is how lists and documents are stored; "" for none.
func asJSON(v any) (string, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	return string(b), nil
}

// document reads what asJSON wrote into the value it points at.
type document struct{ v any }

// Scan implements sql.Scanner.
func (d document) Scan(src any) error {
	switch s := src.(type) {
	case string:
		if s == "" {
			return nil
		}
		return json.Unmarshal([]byte(s), d.v)
	default:
		return fmt.Errorf("a document is stored as %T", src)
	}
}

// raw reads a JSON text without decoding it.
type raw json.RawMessage

// Scan implements sql.Scanner.
func (r *raw) Scan(src any) error {
	s, ok := src.(string)
	if !ok {
		return fmt.Errorf("a JSON text is stored as %T", src)
	}
	*r = nil
	if s != "" {
		*r = raw(s)
	}
	return nil
}

// blob keeps an absent byte string from becoming NULL.
func blob(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// earlier returns the earlier of two times, of which a zero one does not count.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func scanInt(s scanner) (n int64, err error) {
	err = s.Scan(&n)
	return n, err
}

func scanText(s scanner) (t string, err error) {
	err = s.Scan(&t)
	return t, err
}
