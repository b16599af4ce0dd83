package jose

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"fmt"
	"math"
	"math/big"
	"sync"

	jose "github.com/go-jose/go-jose/v4"
)

// Bounds on RSA keys.
const (
	minRSA       = 2048 // bits; RFC 7518 §3.3, §3.5, §4.3
	maxRSA       = 4096 // bits; a bound on what one verification may cost
	minExponent  = 65537
	smallFactor  = 752 // NIST SP 800-89 §5.3.3: no prime below it may divide a modulus
	fermatRounds = 100 // CA/Browser Forum Baseline Requirements §6.1.1.3
)

// checkRSA refuses keys out of bounds and those whose factors are known or easy to find.
func checkRSA(p *rsa.PublicKey) error {
	if bits := p.N.BitLen(); bits < minRSA || bits > maxRSA {
		return fmt.Errorf("%w: RSA keys have %d to %d bits", ErrKey, minRSA, maxRSA)
	}
	if p.E < minExponent || p.E > math.MaxInt32 || p.E%2 == 0 {
		return fmt.Errorf("%w: the RSA exponent is small, large or even", ErrKey)
	}
	switch {
	case hasSmallFactor(p.N):
		return fmt.Errorf("%w: a small prime divides the RSA modulus", ErrKey)
	case hasFingerprint(p.N):
		return fmt.Errorf("%w: the RSA key comes from a generator that is broken (ROCA)", ErrKey)
	case hasCloseFactors(p.N):
		return fmt.Errorf("%w: the factors of the RSA modulus are close to each other", ErrKey)
	}
	return nil
}

// primes are those below smallFactor, and their product.
var primes = sync.OnceValues(func() ([]uint64, *big.Int) {
	var list []uint64
	product := big.NewInt(1)
	for n := uint64(2); n < smallFactor; n++ {
		p := new(big.Int).SetUint64(n)
		if p.ProbablyPrime(0) { // exact below 2⁶⁴
			list = append(list, n)
			product.Mul(product, p)
		}
	}
	return list, product
})

func hasSmallFactor(n *big.Int) bool {
	_, product := primes()
	return new(big.Int).GCD(nil, nil, n, product).BitLen() > 1
}

// hasFingerprint looks for the mark of the library behind CVE-2017-15361: its primes are powers of 65537 modulo the
// product of the first 126 primes or more, and so is their product (Nemec et al., The Return of Coppersmith's Attack,
// §2). Of other moduli fewer than one in 2¹⁵⁰ look like that.
func hasFingerprint(n *big.Int) bool {
	list, _ := primes()
	rest, modulus := new(big.Int), new(big.Int)
	for _, p := range list[:126] {
		if !isPower(rest.Mod(n, modulus.SetUint64(p)).Uint64(), p) {
			return false
		}
	}
	return true
}

// isPower says whether r is a power of 65537 modulo the prime p.
func isPower(r, p uint64) bool {
	power := uint64(1)
	for {
		if power == r {
			return true
		}
		if power = power * minExponent % p; power == 1 {
			return false
		}
	}
}

// hasCloseFactors runs the first rounds of Fermat's factorization, which ends at once where the factors are close to
// each other, as they are where one was made from the other: a² - n = b² means n = (a+b)(a-b).
func hasCloseFactors(n *big.Int) bool {
	root, modulus := new(big.Int).Sqrt(n), new(big.Int).SetUint64(sieve)
	rootRest, nRest := new(big.Int).Mod(root, modulus).Uint64(), new(big.Int).Mod(n, modulus).Uint64()
	a, square, b := new(big.Int), new(big.Int), new(big.Int)
	for i := range uint64(fermatRounds + 1) { // the first is the root itself, for squares
		if x := rootRest + i; !mayBeSquare(x*x + sieve - nRest) {
			continue
		}
		a.Add(root, b.SetUint64(i))
		if square.Sub(square.Mul(a, a), n).Sign() >= 0 && b.Mul(b.Sqrt(square), b).Cmp(square) == 0 {
			return true
		}
	}
	return false
}

const sieve = 3 * 5 * 7 * 11 * 13 * 17 * 19 * 23

// mayBeSquare spares the root of most that are no square, of which only the rest modulo sieve is given.
func mayBeSquare(rest uint64) bool {
	for _, p := range []uint64{3, 5, 7, 11, 13, 17, 19, 23} {
		y := uint64(0)
		for y < p && y*y%p != rest%p {
			y++
		}
		if y == p {
			return false
		}
	}
	return true
}

// pss is an RSA key that verifies PS256 with a salt as long as the hash, which RFC 7518 §3.5 asks for; the JOSE library
// by itself takes a salt of any length.
type pss struct{ key *rsa.PublicKey }

// VerifyPayload is what the JOSE library calls.
func (p pss) VerifyPayload(payload, signature []byte, a jose.SignatureAlgorithm) error {
	if a != jose.PS256 {
		return ErrAlgorithm
	}
	sum := sha256.Sum256(payload)
	return rsa.VerifyPSS(p.key, crypto.SHA256, sum[:], signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
}
