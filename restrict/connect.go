package restrict

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gatehouse/gatehouse"
)

// A Connection is how an endpoint comes.
type Connection struct {
	Protocol string     // the adapter's name
	TLS      bool       // whether it is encrypted
	Remote   netip.Addr // of the peer; the zero Addr if it has none
	Origin   string     // the Origin header; empty if there was none
	// AnyProtocol says that the protocol is not known, which is so only where
	// something is explained: what asks for one is not looked at.
	AnyProtocol bool
}

// asksConnection reports whether Connect has to ask c.
func (c *compiled) asksConnection() bool {
	return c.origins != nil || c.networks != nil || c.protocols != nil || c.tls || c.hours != nil
}

// RuleOrigins is the Rule of the refusal of web pages by an endpoint for which
// no restriction states any origins.
const RuleOrigins = "origins"

// Connect decides whether the plan's endpoint may open a session that way, and
// whether one that it has may stay. The error is of kind Restricted; its Rule
// names the restriction, or is RuleOrigins.
func (p *Plan) Connect(c Connection, now time.Time) error {
	if err := p.checkStated(c.Origin); err != nil || p == nil {
		return err
	}
	for _, r := range p.connect {
		if err := r.checkConnection(&c); err != nil {
			return err
		}
		if err := r.checkHours(now); err != nil {
			return err
		}
	}
	return nil
}

// Origin reports whether Connect lets web pages of an origin in, other things
// being right. The empty one is of no page.
func (p *Plan) Origin(header string) bool {
	if header == "" || p.checkStated(header) != nil {
		return false
	}
	return !slices.ContainsFunc(p.connect, func(r *compiled) bool { return r.origins != nil && !r.origins.match(header) })
}

// checkStated refuses web pages if no restriction states which may come.
func (p *Plan) checkStated(header string) error {
	if header == "" || p != nil && p.origins {
		return nil
	}
	return &gatehouse.Error{
		Kind: gatehouse.Restricted, Rule: RuleOrigins,
		Text: "web pages, such as those of origin " + quote(header) + ", may not use this endpoint: no restriction states its origins; add one that does, with that origin, or with \"*\" for all",
	}
}

func (c *compiled) checkConnection(conn *Connection) error {
	if c.tls && !conn.TLS {
		return c.refuse("connections without TLS", "connect with TLS")
	}
	if c.protocols != nil && !conn.AnyProtocol && !slices.ContainsFunc(c.protocols, func(p string) bool { return p == gatehouse.Fold(conn.Protocol) }) {
		return c.refuse("protocol "+quote(conn.Protocol), "connect by "+strings.Join(c.protocols, " or "))
	}
	if c.networks != nil && !inNetworks(c.networks, conn.Remote) {
		what := "connections without a network address"
		if conn.Remote.IsValid() {
			what = "address " + conn.Remote.Unmap().String()
		}
		return c.refuse(what, "connect from one of its networks, or have this one added")
	}
	if c.origins != nil && conn.Origin != "" && !c.origins.match(conn.Origin) {
		return c.refuse("web pages of origin "+quote(conn.Origin), "use a page of one of its origins, or have this one added")
	}
	return nil
}

// refuse returns the error that c does not allow what, and what to do instead.
func (c *compiled) refuse(what, instead string) error {
	e := gatehouse.Errorf(gatehouse.Restricted, "restriction %q does not allow %s; %s", c.name, what, instead)
	e.Rule = c.name
	return e
}

// quote shows a text from outside, within bounds.
func quote(s string) string { return fmt.Sprintf("%.100q", s) }

func compileNetworks(texts []string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for _, text := range texts {
		p, err := parseNetwork(strings.TrimSpace(text))
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

func parseNetwork(text string) (netip.Prefix, error) {
	if !strings.Contains(text, "/") {
		addr, err := netip.ParseAddr(text)
		if err != nil || addr.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("%q is neither an address nor a network such as 10.1.0.0/16 or 2001:db8::/32", text)
		}
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is neither an address nor a network such as 10.1.0.0/16 or 2001:db8::/32", text)
	}
	if p.Addr().Is4In6() {
		if p.Bits() < 96 {
			return netip.Prefix{}, fmt.Errorf("%q is wider than all IPv4 addresses; write 0.0.0.0/0 for those", text)
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	if p.Masked() != p {
		return netip.Prefix{}, fmt.Errorf("%q has bits set behind its length; write %s for the network or %s for the address", text, p.Masked(), p.Addr())
	}
	return p, nil
}

func inNetworks(all []netip.Prefix, addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	return slices.ContainsFunc(all, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// origins are the origins of a restriction in canonical form.
type origins struct {
	any   bool // all of them
	exact map[string]bool
	below []wildcard
}

// A wildcard is any host whose name ends in suffix and has more before it.
type wildcard struct {
	prefix string // "https://"
	suffix string // ".example.com", with the port
}

func compileOrigins(texts []string) (*origins, error) {
	if len(texts) == 0 {
		return nil, nil
	}
	o := &origins{exact: make(map[string]bool, len(texts))}
	for _, text := range texts {
		switch text {
		case "*":
			o.any = true
			continue
		case "null":
			o.exact[text] = true
			continue
		}
		scheme, host, err := parseOrigin(text)
		if err != nil {
			return nil, err
		}
		suffix, wild := strings.CutPrefix(host, "*.")
		switch {
		case strings.Contains(suffix, "*"):
			return nil, fmt.Errorf("%q: an asterisk may only be the whole first part of the host, as in https://*.example.com", text)
		case wild && !strings.Contains(strings.Trim(suffix, "."), "."):
			return nil, fmt.Errorf("%q would let in every site below %s; name at least two parts, as in https://*.example.com", text, suffix)
		case wild:
			o.below = append(o.below, wildcard{scheme + "://", "." + suffix})
		default:
			o.exact[scheme+"://"+host] = true
		}
	}
	return o, nil
}

// parseOrigin returns the canonical scheme and host of an origin: in lower
// case, the port only if it is not the scheme's own.
func parseOrigin(text string) (scheme, host string, err error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme == "" || u.Host == "" {
		return "", "", fmt.Errorf("%q is not an origin such as https://app.example.com", text)
	}
	if u.Path != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.User != nil || strings.HasSuffix(text, "#") {
		return "", "", fmt.Errorf("%q has more than a scheme, a host and a port; an origin ends there, without a slash", text)
	}
	if u.Hostname() == "" {
		return "", "", fmt.Errorf("%q has no host", text)
	}
	if strings.ContainsFunc(u.Host, func(r rune) bool { return r >= utf8.RuneSelf }) {
		return "", "", fmt.Errorf("%q: write the host in the form in which browsers send it, xn--…", text)
	}
	scheme, host = strings.ToLower(u.Scheme), strings.ToLower(u.Host)
	switch {
	case scheme == "https":
		host = strings.TrimSuffix(host, ":443")
	case scheme == "http":
		host = strings.TrimSuffix(host, ":80")
	}
	return scheme, strings.TrimSuffix(host, ":"), nil
}

// match holds an Origin header against the origins. Browsers send the
// canonical form, for which no parsing is needed.
func (o *origins) match(header string) bool {
	if o.any || o.exact[header] {
		return true
	}
	scheme, host, err := parseOrigin(header)
	if err != nil {
		return false
	}
	if o.exact[scheme+"://"+host] {
		return true
	}
	return slices.ContainsFunc(o.below, func(w wildcard) bool {
		return scheme+"://" == w.prefix && len(host) > len(w.suffix) && strings.HasSuffix(host, w.suffix)
	})
}
