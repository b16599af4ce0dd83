package tokens

// Forget empties the memory of tokens that were read.
func (m *Minter) Forget() { m.read.c.InvalidateAll() }
