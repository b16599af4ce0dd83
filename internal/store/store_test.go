package store_test

import (
	"testing"

	"github.com/holdfast-iam/holdfast/internal/store/storetest"
)

func TestSQLite(t *testing.T) { storetest.Run(t, storetest.SQLiteURL) }

func TestPostgreSQL(t *testing.T) { storetest.Run(t, storetest.PostgresURL) }
