package fetch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
)

// dialer connects to what is public, or allowed.
type dialer struct {
	resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	rules   []Rule
}

// dial resolves the name itself and connects to the very addresses it has checked: a name that resolves otherwise a
// moment later gains nothing. One bad address among several refuses them all.
func (d dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrForbidden, err)
	}
	addrs, err := d.addresses(ctx, host)
	if err != nil {
		return nil, err
	}
	for _, a := range addrs {
		if err := d.check(net.JoinHostPort(a.String(), port)); err != nil {
			return nil, err
		}
	}
	err = errors.New("the host has no address")
	for _, a := range addrs {
		var conn net.Conn
		// Once more on the socket itself, for whatever lies between here and there.
		n := net.Dialer{Timeout: connectTimeout, Control: func(_, address string, _ syscall.RawConn) error { return d.check(address) }}
		if conn, err = n.DialContext(ctx, network, net.JoinHostPort(a.String(), port)); err == nil {
			return conn, nil
		}
	}
	return nil, err
}

func (d dialer) addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a.Unmap()}, nil
	}
	if isLocalhost(host) {
		return []netip.Addr{loopback}, nil
	}
	addrs, err := d.resolve(ctx, host)
	if err != nil {
		return nil, fmt.Errorf("resolve: %w", err)
	}
	for i := range addrs {
		addrs[i] = addrs[i].Unmap()
	}
	return addrs[:min(len(addrs), maxAddresses)], nil
}

// check decides about one "address:port".
func (d dialer) check(address string) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrForbidden, err)
	}
	addr, port := ap.Addr().Unmap(), int(ap.Port())
	allowed := func(r Rule) bool {
		return r.CIDR.Contains(addr) && (slices.Contains(r.Ports, port) || len(r.Ports) == 0 && port == 443)
	}
	if isPublic(addr) || slices.ContainsFunc(d.rules, allowed) {
		return nil
	}
	return fmt.Errorf("%w: the host has an address that is not public", ErrForbidden)
}

// special are the networks within the public ranges that are not for everybody: those of the IANA special-purpose
// registries (RFC 6890), and one address at which a cloud keeps its metadata.
var special = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
	"192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24",
	"198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
	"168.63.129.16/32",                                             // Azure
	"2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", // Teredo and others, documentation, 6to4, AS112
	"3fff::/20", // documentation
)

// global is the range from which IPv6 addresses of the Internet are given. Outside of it are ::, ::1, IPv4-compatible
// and NAT64 addresses, fc00::/7, fe80::/10, ff00::/8 and whatever comes.
var global = netip.MustParsePrefix("2000::/3")

var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

func prefixes(texts ...string) (list []netip.Prefix) {
	for _, t := range texts {
		list = append(list, netip.MustParsePrefix(t))
	}
	return list
}

func isPublic(a netip.Addr) bool {
	if !a.IsValid() || a.Zone() != "" || a.Is6() && !global.Contains(a) {
		return false
	}
	return !slices.ContainsFunc(special, func(p netip.Prefix) bool { return p.Contains(a) })
}

// isLocalhost says whether a host is localhost or below it (RFC 6761 §6.3).
func isLocalhost(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// LocalhostDialer returns a dial function that connects localhost and all names below it to 127.0.0.1, which the
// resolvers of many systems do not, and leaves other names to base; nil is that of a net.Dialer.
func LocalhostDialer(base func(ctx context.Context, network, address string) (net.Conn, error)) func(ctx context.Context, network, address string) (net.Conn, error) {
	if base == nil {
		base = new(net.Dialer).DialContext
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if host, port, err := net.SplitHostPort(address); err == nil && isLocalhost(host) {
			address = net.JoinHostPort(loopback.String(), port)
		}
		return base(ctx, network, address)
	}
}
