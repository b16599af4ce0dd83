package app

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strconv"

	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/jose"
)

// open reaches the signer; nil: there is none.
func (c *SignerConfig) open(ctx context.Context) (*keys.RemoteSigner, []keys.ExternalKey, error) {
	if c.Socket == "" {
		return nil, nil, nil
	}
	uid, err := c.uid()
	if err != nil {
		return nil, nil, fmt.Errorf("keys.signer.user: %w", err)
	}
	remote, err := keys.DialSigner(ctx, c.Socket, uid)
	if err != nil {
		return nil, nil, fmt.Errorf("keys.signer: %s: %w; start the signer, or correct keys.signer", c.Socket, err)
	}
	var list []keys.ExternalKey
	for _, k := range c.Keys {
		public, err := k.read()
		if err != nil {
			return nil, nil, fmt.Errorf("keys.signer: public_key of %s: %w", k.Name, err)
		}
		list = append(list, keys.ExternalKey{Name: k.Name, Public: public})
	}
	return remote, list, nil
}

// uid is the number of the signer's user.
func (c *SignerConfig) uid() (uint32, error) {
	if c.User == "" {
		return uint32(os.Geteuid()), nil
	}
	text := c.User
	if u, err := user.Lookup(c.User); err == nil {
		text = u.Uid
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("there is no user %s on this machine", c.User)
	}
	return uint32(n), nil
}

// read reads the public key.
func (k *SignerKeyConfig) read() (jose.Key, error) {
	data, err := os.ReadFile(k.PublicKey)
	if err != nil {
		return jose.Key{}, err
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "PUBLIC KEY" {
		return jose.Key{}, fmt.Errorf("%s holds no PEM block PUBLIC KEY", k.PublicKey)
	}
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return jose.Key{}, fmt.Errorf("%s: %w", k.PublicKey, err)
	}
	key, err := jose.FromPublic(public, jose.Alg(k.Algorithm))
	if err != nil {
		return jose.Key{}, fmt.Errorf("%s: %w", k.PublicKey, err)
	}
	return key, nil
}

// signer checks the external signer of a tenant.
func (v *validator) signer(path string, t *TenantConfig) {
	s := &t.Keys.Signer
	path += ".keys.signer"
	if s.Socket == "" && (len(s.Keys) > 0 || s.User != "") {
		v.report(path+".socket", "is missing", "name the unix socket of the signer")
	}
	if _, err := s.uid(); err != nil {
		v.report(path+".user", err.Error(), "write the name or number of the user that the signer runs as")
	}
	seen := map[string]bool{}
	for i := range s.Keys {
		k := &s.Keys[i]
		at := fmt.Sprintf("%s.keys[%d]", path, i)
		v.oneOf(at+".algorithm", k.Algorithm, "ES256", "PS256", "RS256")
		if seen[k.Algorithm] {
			v.report(at+".algorithm", "is given twice", "keep one key for each algorithm")
		}
		seen[k.Algorithm] = true
		if !slices.Contains(t.SigningAlgs, k.Algorithm) {
			v.report(at+".algorithm", "is not in signing_algorithms", "add it there, or remove the key")
		}
		if k.Name == "" {
			v.report(at+".name", "is missing", "write what the signer calls the key")
		}
		if _, err := k.read(); err != nil {
			v.report(at+".public_key", reason(err), "name the PEM file of the public key")
		}
	}
}
