package restrict

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse"
)

func TestOrigins(t *testing.T) {
	t.Parallel()
	p := plan(t, Restriction{Origins: []string{
		"https://app.example.com", "HTTPS://Shop.Example.COM:443", "http://plain.example.com:80", "https://dev.example.com:8443",
		"https://*.wild.example.com", "http://*.port.example.com:8080", "https://[2001:DB8::1]:9443", "null", "chrome-extension://abcdef",
	}})
	tests := map[string]bool{
		"":                                    true, // not a browser
		"https://app.example.com":             true,
		"https://APP.example.com":             true,
		"HTTPS://app.example.com":             true,
		"https://app.example.com:443":         true,
		"https://app.example.com:":            true,
		"https://app.example.com:8443":        false,
		"http://app.example.com":              false,
		"http://app.example.com:443":          false,
		"https://app.example.com.evil.com":    false,
		"https://evil.com/app.example.com":    false,
		"https://app.example.com/":            false,
		"https://app.example.com?":            false,
		"https://app.example.com#":            false,
		"https://u@app.example.com":           false,
		"https://app.example.com:x":           false,
		"app.example.com":                     false,
		"//app.example.com":                   false,
		"https://xapp.example.com":            false,
		"https://shop.example.com":            true,
		"http://plain.example.com":            true,
		"http://plain.example.com:80":         true,
		"https://plain.example.com":           false,
		"https://plain.example.com:80":        false,
		"https://dev.example.com:8443":        true,
		"https://dev.example.com":             false,
		"https://a.wild.example.com":          true,
		"https://A.Wild.example.com:443":      true,
		"https://a.b.wild.example.com":        true,
		"https://wild.example.com":            false,
		"https://.wild.example.com":           false,
		"https://awild.example.com":           false,
		"http://a.wild.example.com":           false,
		"https://a.wild.example.com:8443":     false,
		"https://a.wild.example.com.evil.io":  false,
		"https://evil.io?.wild.example.com":   false,
		"https://evil.io#.wild.example.com":   false,
		"https://evil.io/.wild.example.com":   false,
		"https://evil.io\\.wild.example.com":  false,
		"http://a.port.example.com:8080":      true,
		"http://a.port.example.com":           false,
		"https://[2001:db8::1]:9443":          true,
		"https://[2001:db8::1]":               false,
		"null":                                true,
		"NULL":                                false,
		"chrome-extension://abcdef":           true,
		"chrome-extension://abcdeg":           false,
		"https://a.example https://b":         false,
		"\x00":                                false,
		"https://" + strings.Repeat("a", 1e5): false,
	}
	for origin, want := range tests {
		name := ""
		if !want {
			name = "r1"
		}
		err := p.Connect(Connection{Protocol: "https", Origin: origin}, noon)
		expect(t, "origin "+quote(origin), err, gatehouse.Restricted, name)
		if err != nil && len(err.Error()) > 400 {
			t.Errorf("the error is %d bytes long", len(err.Error()))
		}
	}
	strict := plan(t, Restriction{Origins: []string{"https://app.example.com"}})
	expect(t, "null where it is not listed", strict.Connect(Connection{Origin: "null"}, noon), gatehouse.Restricted, "r1")
}

func TestOriginsLetIn(t *testing.T) {
	t.Parallel()
	const app = "https://app.example.com"
	for name, tt := range map[string]struct {
		p    *Plan
		want bool
	}{
		"nothing":          {nil, false},
		"none stated":      {plan(t, Restriction{Networks: []string{"10.0.0.0/8"}}), false},
		"all":              {plan(t, Restriction{Origins: []string{"*"}}), true},
		"all and by name":  {plan(t, Restriction{Origins: []string{"*", app}}), true},
		"by domain":        {plan(t, Restriction{Origins: []string{"https://*.example.com"}}), true},
		"another":          {plan(t, Restriction{Origins: []string{"https://b.example.com"}}), false},
		"one does not":     {plan(t, Restriction{Name: "r1", Origins: []string{"*"}}, Restriction{Name: "r2", Origins: []string{"https://b.example.com"}}), false},
		"the other by all": {plan(t, Restriction{Name: "r1", Origins: []string{app}}, Restriction{Name: "r2", Origins: []string{"*"}}), true},
	} {
		if got := tt.p.Origin(app); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
		if err := tt.p.Connect(Connection{Origin: app, Remote: netip.MustParseAddr("10.0.0.1")}, noon); (err == nil) != tt.want {
			t.Errorf("%s: connect says %v", name, err)
		}
		if tt.p.Origin("") {
			t.Errorf("%s: a page of no origin is let in", name)
		}
	}
}

func TestNetworks(t *testing.T) {
	t.Parallel()
	p := plan(t, Restriction{Networks: []string{
		"10.1.0.0/16", "192.0.2.7", "2001:db8::/32", "2001:db9::7", "::ffff:172.16.0.0/108", "::ffff:198.51.100.1", " 203.0.113.0/24 ", "fe80::/10",
	}})
	tests := map[string]bool{
		"10.1.0.0": true, "10.1.255.255": true, "10.2.0.0": false, "10.0.255.255": false,
		"::ffff:10.1.2.3": true, "::ffff:10.2.2.3": false,
		"192.0.2.7": true, "192.0.2.8": false, "::ffff:192.0.2.7": true,
		"2001:db8::1": true, "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff": true, "2001:db7::1": false,
		"2001:db9::7": true, "2001:db9::8": false,
		"172.16.0.1": true, "172.31.255.255": true, "172.32.0.0": false, "::ffff:172.31.0.1": true,
		"198.51.100.1": true, "198.51.100.2": false,
		"203.0.113.99": true,
		"fe80::1":      true, "fe80::1%eth0": true, "::1": false, "127.0.0.1": false,
		"::10.1.2.3": false, // IPv4-compatible, not IPv4-mapped
	}
	for text, want := range tests {
		name := ""
		if !want {
			name = "r1"
		}
		expect(t, text, p.Connect(Connection{Protocol: "amqp", Remote: netip.MustParseAddr(text)}, noon), gatehouse.Restricted, name)
	}
	err := p.Connect(Connection{Protocol: "amqp"}, noon)
	expect(t, "no address", err, gatehouse.Restricted, "r1")
	if !strings.Contains(err.Error(), "connections without a network address") {
		t.Errorf("no address: %v", err)
	}
	err = p.Connect(Connection{Remote: netip.MustParseAddr("::ffff:192.0.2.9")}, noon)
	if err == nil || !strings.Contains(err.Error(), "address 192.0.2.9;") {
		t.Errorf("%v, which does not show the address plainly", err)
	}
	all := plan(t, Restriction{Networks: []string{"0.0.0.0/0"}}, Restriction{Networks: []string{"::/0", "0.0.0.0/0"}})
	expect(t, "all of IPv4", all.Connect(Connection{Remote: netip.MustParseAddr("::ffff:8.8.8.8")}, noon), 0, "")
	expect(t, "IPv6 in IPv4", all.Connect(Connection{Remote: netip.MustParseAddr("2001:db8::1")}, noon), gatehouse.Restricted, "r1")
}

func TestProtocolsAndTLS(t *testing.T) {
	t.Parallel()
	p := plan(t, Restriction{Name: "secure", RequireTLS: true}, Restriction{Name: "by", Protocols: []string{"https", "AMQP"}})
	for _, tt := range []struct {
		protocol string
		tls      bool
		want     string
	}{
		{"https", true, ""},
		{"HTTPS", true, ""},
		{"amqp", true, ""},
		{"Amqp", true, ""},
		{"https", false, "secure"},
		{"mqtt", true, "by"},
		{"http", true, "by"},
		{"", true, "by"},
	} {
		err := p.Connect(Connection{Protocol: tt.protocol, TLS: tt.tls}, noon)
		expect(t, tt.protocol, err, gatehouse.Restricted, tt.want)
		if tt.want == "by" && !strings.Contains(err.Error(), "connect by https or amqp") {
			t.Errorf("%v does not say what to do", err)
		}
	}
}

// Every restriction must be satisfied, each by itself.
func TestConnectionsMustSatisfyAll(t *testing.T) {
	t.Parallel()
	p := plan(t,
		Restriction{Name: "all", Protocols: []string{"https"}, Networks: []string{"10.0.0.0/8"}, Origins: []string{"https://a.example.com"}, RequireTLS: true},
		Restriction{Name: "narrow", Networks: []string{"10.1.0.0/16"}},
	)
	good := Connection{Protocol: "https", TLS: true, Remote: netip.MustParseAddr("10.1.0.1"), Origin: "https://a.example.com"}
	expect(t, "good", p.Connect(good, noon), 0, "")
	for name, change := range map[string]struct {
		f    func(*Connection)
		want string
	}{
		"protocol":       {func(c *Connection) { c.Protocol = "amqp" }, "all"},
		"TLS":            {func(c *Connection) { c.TLS = false }, "all"},
		"network":        {func(c *Connection) { c.Remote = netip.MustParseAddr("11.1.0.1") }, "all"},
		"narrow network": {func(c *Connection) { c.Remote = netip.MustParseAddr("10.2.0.1") }, "narrow"},
		"origin":         {func(c *Connection) { c.Origin = "https://b.example.com" }, "all"},
	} {
		c := good
		change.f(&c)
		expect(t, name, p.Connect(c, noon), gatehouse.Restricted, change.want)
	}
	// Connections are not what messages are asked about.
	expect(t, "message", p.Message(nil, &gatehouse.Message{}, noon), 0, "")
}

func FuzzOrigin(f *testing.F) {
	for _, s := range []string{"https://a.example.com", "https://a.wild.example.com:443", "null", "https://[::1]:8443", "https://a%25b.wild.example.com"} {
		f.Add(s)
	}
	o, err := compileOrigins([]string{"https://a.example.com", "https://*.wild.example.com"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, header string) {
		if !o.match(header) {
			return
		}
		// Whatever matches is https and ends in one of the two, and no
		// further mark lets the browser's host end before that.
		lower := strings.ToLower(header)
		host, ok := strings.CutPrefix(lower, "https://")
		host = strings.TrimSuffix(strings.TrimSuffix(host, ":443"), ":")
		if !ok || host != "a.example.com" && !strings.HasSuffix(host, ".wild.example.com") || strings.ContainsAny(host, "/?#@\\ ") {
			t.Fatalf("%q matches", header)
		}
	})
}
