// Package migrate holds the schema as numbered SQL files, one text for SQLite and PostgreSQL alike.
//
// Migrations only add: the release before must be able to run on the schema after. The files are run by
// store.DB.Migrate; this package knows no database.
package migrate

import "embed"

// Files holds NNNN_<what>.sql in goose's format.
//
//go:embed *.sql
var Files embed.FS
