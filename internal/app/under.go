package app

import "reflect"

// under brings a configuration under a running process: what only a restart can change becomes what it was before.
// It names those settings. Everything about tenants, mail, outbound requests and the level of the log can change, and of
// a listener its hosts, certificate and proxies.
func (c *Config) under(before *Config) (late []string) {
	late = append(late, keep(&c.Environment, before.Environment, "environment")...)
	late = append(late, keep(&c.Database, before.Database, "database")...)
	late = append(late, keep(&c.SessionsDatabase, before.SessionsDatabase, "sessions_database")...)
	late = append(late, keep(&c.KeyRing, before.KeyRing, "key_ring")...)
	late = append(late, keep(&c.Admin, before.Admin, "admin")...)
	late = append(late, keep(&c.Log.Format, before.Log.Format, "log.format")...)
	return append(late, c.listenersUnder(before)...)
}

// keep puts back what was before, and names it if it was different.
func keep[T any](is *T, was T, name string) []string {
	if reflect.DeepEqual(*is, was) {
		return nil
	}
	*is = was
	return []string{name}
}

// listenersUnder keeps the listeners that there are, in their order, which are known by their addresses.
func (c *Config) listenersUnder(before *Config) (late []string) {
	written := map[string]ListenerConfig{}
	for _, l := range c.Listeners {
		written[l.Address] = l
	}
	different := len(written) != len(before.Listeners)
	kept := make([]ListenerConfig, len(before.Listeners))
	for i, was := range before.Listeners {
		is, ok := written[was.Address]
		different = different || !ok || is.TLS.Mode != was.TLS.Mode || is.ClientCertificate != was.ClientCertificate
		kept[i] = was
		if ok && is.TLS.Mode == was.TLS.Mode {
			is.Name, is.ClientCertificate = was.Name, was.ClientCertificate
			kept[i] = is
		}
	}
	c.Listeners = kept
	if different {
		late = append(late, "listeners")
	}
	return late
}
