package resource

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/holdfast-iam/holdfast/dpop"
	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
)

// Principal is who sent a request: the token, and what showed that it is theirs.
type Principal struct {
	*Token
	Scheme      string            // oauth.TypeBearer or oauth.TypeDPoP
	Certificate *x509.Certificate // of the client, where the token is bound to it
	Proof       *dpop.Proof       // where the token is bound to a DPoP key
}

// CheckBinding checks that this request comes from the one the token is bound to; where cnf names several methods, all of
// them have to agree. Only then it asks Config.Revoked, and last of all it spends the proof. Every error is a *Challenge
// or an ErrUnavailable.
func (v *Verifier) CheckBinding(ctx context.Context, t *Token, c Credentials, r Request) (*Principal, error) {
	p, err := v.checkBinding(t, c, r)
	if err == nil && v.config.Revoked != nil && v.config.Revoked(p) {
		err = v.refuse(oauth.InvalidToken, "the access token was revoked", nil)
	}
	if err == nil && p.Proof != nil {
		err = v.spend(ctx, p.Proof)
	}
	if err != nil {
		return nil, c.scheme(err)
	}
	return p, nil
}

func (v *Verifier) checkBinding(t *Token, c Credentials, r Request) (*Principal, error) {
	p := &Principal{Token: t, Scheme: c.Scheme}
	if err := v.checkTimes(t); err != nil {
		return nil, v.refuse(oauth.InvalidToken, "the access token is not valid", err)
	}
	switch {
	case t.Confirmation.IsZero() && c.Scheme == oauth.TypeDPoP:
		return nil, v.refuse(oauth.InvalidToken, "the access token is not bound to a DPoP key", nil)
	case t.Confirmation.IsZero() && !v.config.AllowBearerTokens:
		return nil, v.refuse(oauth.InvalidToken, "the access token is bound to nothing, which this API does not accept", nil)
	case t.Confirmation.JKT != "" && c.Scheme != oauth.TypeDPoP: // RFC 9449 §7.2
		return nil, v.refuse(oauth.InvalidToken, "the access token is bound to a DPoP key and needs the scheme DPoP", nil)
	case t.Confirmation.JKT == "" && c.Scheme == oauth.TypeDPoP:
		return nil, v.refuse(oauth.InvalidToken, "the access token is not bound to a DPoP key", nil)
	}
	if t.Confirmation.X5T != "" {
		if err := v.checkCertificate(p, r); err != nil {
			return nil, v.refuse(oauth.InvalidToken, "the access token is bound to another client certificate", err)
		}
	}
	if t.Confirmation.JKT != "" {
		if err := v.checkProof(p, c, r); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// checkCertificate compares with the leaf of this connection (RFC 8705 §3.1). TLS has shown that the peer holds its key;
// who issued it does not matter, the issuer of the token has looked at that.
func (v *Verifier) checkCertificate(p *Principal, r Request) error {
	cert, err := v.certificate(r)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(cert.Raw)
	have := base64.RawURLEncoding.EncodeToString(sum[:])
	if subtle.ConstantTimeCompare([]byte(have), []byte(p.Confirmation.X5T)) != 1 {
		return errors.New("x5t#S256 is of another certificate")
	}
	if now := v.config.Now(); now.Before(cert.NotBefore.Add(-v.config.Leeway)) || now.After(cert.NotAfter.Add(v.config.Leeway)) {
		return errors.New("the client certificate is out of date")
	}
	p.Certificate = cert
	return nil
}

func (v *Verifier) certificate(r Request) (*x509.Certificate, error) {
	if v.config.TrustClientCert != nil && v.config.TrustClientCert(r) {
		return parseClientCert(r.Header.Values("Client-Cert"))
	}
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return nil, errors.New("the connection has no client certificate")
	}
	return r.TLS.PeerCertificates[0], nil
}

// parseClientCert reads the header of RFC 9440 §2.2: one byte sequence of RFC 8941 §3.3.5 with the DER of the leaf.
func parseClientCert(lines []string) (*x509.Certificate, error) {
	if len(lines) != 1 {
		return nil, errors.New("the header Client-Cert is not there exactly once")
	}
	value := strings.Trim(lines[0], " ")
	if len(value) < 2 || len(value) > 32<<10 || value[0] != ':' || value[len(value)-1] != ':' {
		return nil, errors.New("the header Client-Cert is not a byte sequence")
	}
	der, err := base64.StdEncoding.Strict().DecodeString(value[1 : len(value)-1])
	if err != nil {
		return nil, fmt.Errorf("header Client-Cert: %w", err)
	}
	return x509.ParseCertificate(der)
}

// checkProof checks the DPoP proof (RFC 9449 §4.3, §7.1) against each base URL on the host that the proof names.
func (v *Verifier) checkProof(p *Principal, c Credentials, r Request) error {
	path := "/"
	if r.URL != nil {
		path = r.URL.EscapedPath()
	}
	err := errors.New("htu is on no origin of this API")
	for _, base := range v.origins(c.Proof) {
		p.Proof, err = dpop.Check(c.Proof, dpop.Expect{
			Method: r.Method, URL: strings.TrimSuffix(base, "/") + path, Now: v.config.Now(),
			AccessToken: c.Token, Thumbprint: p.Confirmation.JKT, Nonces: v.config.Nonces,
		})
		if err == nil {
			return nil
		}
		if errors.Is(err, dpop.ErrNonce) {
			return v.refuse(oauth.UseDPoPNonce, "the DPoP proof needs a fresh nonce", err)
		}
	}
	return v.refuse(oauth.InvalidDPoPProof, "the DPoP proof is not valid for this request", err)
}

// origins picks the configured base URLs on the host that an unverified proof claims to be for, so that an API with many
// origins verifies one signature. dpop.Check decides.
func (v *Verifier) origins(proof string) []string {
	if len(v.config.Origins) == 1 {
		return v.config.Origins
	}
	claimed := claimedHost(proof)
	var found []string
	for _, base := range v.config.Origins {
		if u, err := url.Parse(base); err == nil && claimed != "" && hostOf(u) == claimed {
			found = append(found, base)
		}
	}
	return found
}

func claimedHost(proof string) string {
	parts := strings.SplitN(proof, ".", 3)
	if len(parts) != 3 || len(parts[1]) > maxToken {
		return ""
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return ""
	}
	var c struct {
		URL json.RawMessage `json:"htu"`
	}
	var htu string
	if jose.Unmarshal(payload, &c) != nil || jose.Unmarshal(c.URL, &htu) != nil {
		return ""
	}
	u, err := url.Parse(htu)
	if err != nil {
		return ""
	}
	return hostOf(u)
}

// hostOf is scheme, host and port in one form.
func hostOf(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	return u.Scheme + "://" + strings.ToLower(u.Hostname()) + ":" + port
}

// spend remembers the proof, after everything else was good (RFC 9449 §11.1).
func (v *Verifier) spend(ctx context.Context, proof *dpop.Proof) error {
	key, until := proof.Replay()
	fresh, err := v.config.Replay.Claim(ctx, key, until)
	if err != nil {
		return fmt.Errorf("%w: remember the proof: %w", ErrUnavailable, err)
	}
	if !fresh {
		return v.refuse(oauth.InvalidDPoPProof, "the DPoP proof was used before", nil)
	}
	return nil
}
