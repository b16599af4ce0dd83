package store

import (
	"context"
	"fmt"
)

// purgeable lists the tables whose rows go when their purge_at has come, each with the rest of its key.
// Audit records and consents stay.
var purgeable = []struct{ table, key string }{
	{"spends", "id"},
	{"codes", "grant_id"},
	{"pushed_requests", "id"},
	{"access_tokens", "id, secret_hash"},
	{"refresh_tokens", "grant_id, secret_hash"},
	{"grants", "id"},
	{"sessions", "id"},
	{"app_sessions", "id"},
	{"mailed_codes", "account_id, purpose"},
	{"failures", "id"},
	{"mails", "id"},
	{"events", "id"},
}

// purgeTexts holds the delete for each purgeable table.
var purgeTexts = func() []string {
	texts := make([]string, len(purgeable))
	for i, p := range purgeable {
		key := "tenant, shard, " + p.key
		texts[i] = fmt.Sprintf(`DELETE FROM %s WHERE (%s) IN (SELECT %s FROM %s
			WHERE purge_at > 0 AND purge_at <= $1 ORDER BY purge_at LIMIT $2)`, p.table, key, key, p.table)
	}
	return texts
}()

// Purge removes what has expired, of all tenants: at most batch rows of each table, oldest first, one
// transaction a table. It returns how many rows went; fewer than batch means that nothing is left.
func (db *DB) Purge(ctx context.Context, batch int) (n int, err error) {
	for i, text := range purgeTexts {
		var gone int64
		err := db.Write(ctx, func(tx *Tx) (err error) {
			gone, err = tx.exec(text, micros(tx.Now), int64(batch))
			return err
		})
		if err != nil {
			return n, fmt.Errorf("purge %s: %w", purgeable[i].table, err)
		}
		n += int(gone)
	}
	return n, nil
}
