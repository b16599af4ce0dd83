package ca

import (
	"cmp"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"slices"
	"strings"
	"unicode/utf8"
)

// attributeNames are the short names of RFC 4514 §3 and those that certificates carry besides. Others are written as
// object identifiers.
var attributeNames = map[string]string{
	"CN": "2.5.4.3", "SERIALNUMBER": "2.5.4.5", "C": "2.5.4.6", "L": "2.5.4.7", "ST": "2.5.4.8", "STREET": "2.5.4.9",
	"O": "2.5.4.10", "OU": "2.5.4.11", "POSTALCODE": "2.5.4.17", "ORGANIZATIONIDENTIFIER": "2.5.4.97",
	"UID": "0.9.2342.19200300.100.1.1", "DC": "0.9.2342.19200300.100.1.25",
	"E": "1.2.840.113549.1.9.1", "EMAILADDRESS": "1.2.840.113549.1.9.1",
}

// maxName is the longest registered name that is read, in bytes.
const maxName = 4096

// attribute is one part of a name, its value folded.
type attribute struct{ oid, value string }

// sameDN compares attribute by attribute, because one name has many spellings as a string. RFC 4514 §2.1 writes the
// attributes of a certificate from the last to the first.
func sameDN(cert *x509.Certificate, registered string) bool {
	have, ok := subjectOf(cert)
	if !ok {
		return false
	}
	want, ok := parseDN(registered)
	slices.Reverse(want)
	return ok && slices.EqualFunc(have, want, slices.Equal[[]attribute])
}

// subjectOf reads the name in a certificate. A value that is not text makes it one we cannot compare.
func subjectOf(cert *x509.Certificate) (rdns [][]attribute, ok bool) {
	var seq pkix.RDNSequence
	if rest, err := asn1.Unmarshal(cert.RawSubject, &seq); err != nil || len(rest) > 0 {
		return nil, false
	}
	for _, set := range seq {
		var rdn []attribute
		for _, a := range set {
			value, text := a.Value.(string)
			if !text {
				return nil, false
			}
			rdn = append(rdn, attribute{a.Type.String(), fold(value)})
		}
		rdns = append(rdns, sorted(rdn))
	}
	return rdns, true
}

// sorted puts the attributes of one relative name, which are a set, into an order.
func sorted(rdn []attribute) []attribute {
	slices.SortFunc(rdn, func(x, y attribute) int { return cmp.Or(cmp.Compare(x.oid, y.oid), cmp.Compare(x.value, y.value)) })
	return rdn
}

// fold is caseIgnoreMatch near enough for names: case, and spaces around and in a row, do not count (RFC 4517 §4.2.11).
func fold(s string) string { return strings.ToLower(strings.Join(strings.Fields(s), " ")) }

// parseDN reads the string form of RFC 4514 §3. Values in hexadecimal (#…) are not read.
func parseDN(s string) (rdns [][]attribute, ok bool) {
	if len(s) > maxName || !utf8.ValidString(s) {
		return nil, false
	}
	var rdn []attribute
	for {
		name, rest, found := strings.Cut(s, "=")
		value, end, rest, good := cutValue(rest)
		oid := attributeOID(name)
		if !found || !good || oid == "" {
			return nil, false
		}
		rdn = append(rdn, attribute{oid, fold(value)})
		if end != '+' {
			rdns, rdn = append(rdns, sorted(rdn)), nil
		}
		if end == 0 {
			return rdns, true
		}
		s = rest
	}
}

// attributeOID is the object identifier of an attribute, however it is named; "" for what is no name.
func attributeOID(name string) string {
	name = strings.ToUpper(strings.TrimSpace(name))
	if oid, ok := attributeNames[name]; ok {
		return oid
	}
	oid := strings.TrimPrefix(name, "OID.")
	if strings.Trim(oid, "0123456789.") != "" {
		return ""
	}
	return oid
}

// cutValue reads one value up to a separator that is not escaped; end is 0 at the end of the text.
func cutValue(s string) (value string, end byte, rest string, ok bool) {
	if strings.HasPrefix(strings.TrimLeft(s, " "), "#") {
		return "", 0, "", false
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case ',', '+':
			return b.String(), c, s[i+1:], true
		case '"', ';', '<', '>', 0: // RFC 4514 §2.4: never without a backslash
			return "", 0, "", false
		case '\\':
			i++
			if pair, err := hex.DecodeString(s[i:min(i+2, len(s))]); err == nil && len(pair) == 1 {
				b.WriteByte(pair[0])
				i++
			} else if i < len(s) && strings.IndexByte(` "#+,;<=>\`, s[i]) >= 0 {
				b.WriteByte(s[i])
			} else {
				return "", 0, "", false
			}
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), 0, "", true
}
