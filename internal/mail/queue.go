package mail

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/store"
)

const (
	lookEvery = time.Second
	batch     = 4
	sendLimit = 20 * time.Second
	claim     = batch*sendLimit + 40*time.Second // longer than a batch can take, or another node would send it too
	firstWait = 5 * time.Second
	longest   = 10 * time.Minute
	recording = 5 * time.Second
)

// Run sends what is queued until ctx ends. It may run on every node.
func (q *Queue) Run(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		if _, err := q.Drain(ctx); err != nil && ctx.Err() == nil {
			q.log().Error("mail queue", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Drain tries all messages that are due, and says how many were sent. A message that could not be sent is no error:
// it is tried again later, until it expires.
func (q *Queue) Drain(ctx context.Context) (sent int, err error) {
	for ctx.Err() == nil {
		var claimed []store.Mail
		err := q.DB.Write(ctx, func(tx *store.Tx) (err error) {
			claimed, err = tx.ClaimMail(batch, tx.Now.Add(claim))
			return err
		})
		if err != nil {
			return sent, fmt.Errorf("claim mail: %w", err)
		}
		if len(claimed) == 0 {
			return sent, nil
		}
		for _, m := range claimed {
			ok, err := q.try(ctx, m)
			if err != nil {
				return sent, err
			}
			if ok {
				sent++
			}
		}
	}
	return sent, ctx.Err()
}

// try sends one claimed message and records the outcome, also when the process is about to end.
func (q *Queue) try(ctx context.Context, m store.Mail) (sent bool, err error) {
	limited, cancel := context.WithTimeout(ctx, sendLimit)
	failure := q.transmit(limited, m)
	cancel()
	record, cancel := context.WithTimeout(context.WithoutCancel(ctx), recording)
	defer cancel()
	if failure == nil {
		err = q.DB.Write(record, func(tx *store.Tx) error { return tx.MailSent(m.ID) })
	} else {
		reason, wait := describe(failure), backOff(m.Attempts)
		q.log().Warn("mail not sent", "mail", m.ID, "attempt", m.Attempts, "reason", reason)
		err = q.DB.Write(record, func(tx *store.Tx) error {
			next := tx.Now.Add(wait)
			if isFinal(failure) {
				next = m.ExpiresAt // never again
			}
			return tx.MailFailed(m.ID, reason, next)
		})
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) { // not found: it has been purged meanwhile
		return false, fmt.Errorf("record mail: %w", err)
	}
	return failure == nil, nil
}

// backOff is the time before the next try after so many: doubling, with a third of chance so that a relay that comes
// back does not meet everything at once.
func backOff(attempts int) time.Duration {
	d := longest
	if attempts < 8 {
		d = min(firstWait<<max(attempts-1, 0), longest)
	}
	return d + rand.N(d/3)
}

func (q *Queue) log() *slog.Logger {
	if q.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return q.Log
}

func (q *Queue) place(id string) []byte { return []byte("mail\x00" + q.DB.Tenant() + "\x00" + id) }

func (q *Queue) seal(id, text string) string {
	return base64.RawURLEncoding.EncodeToString(q.Ring.Seal(keys.PurposeSeal, q.place(id), []byte(text)))
}

func (q *Queue) open(id, sealed string) (string, error) {
	b, err := base64.RawURLEncoding.DecodeString(sealed)
	if err != nil {
		return "", keys.ErrSealed
	}
	text, err := q.Ring.Open(keys.PurposeSeal, q.place(id), b)
	return string(text), err
}
