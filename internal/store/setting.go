package store

// Setting loads a small value that belongs to the installation or a tenant, such as the sealed canary.
func (tx *Tx) Setting(name string) ([]byte, error) {
	return one(tx, scanBytes, "SELECT value FROM settings WHERE tenant = $1 AND name = $2", tx.tenant, name)
}

// PutSetting writes a setting, whatever it was before.
func (tx *Tx) PutSetting(name string, value []byte) error {
	_, err := tx.exec(`INSERT INTO settings (tenant, name, value) VALUES ($1, $2, $3)
		ON CONFLICT (tenant, name) DO UPDATE SET value = excluded.value`, tx.tenant, name, blob(value))
	return err
}

func scanBytes(s scanner) (b []byte, err error) {
	err = s.Scan(&b)
	return b, err
}
