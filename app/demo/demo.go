// Package demo shows a gateway at work: it defines a small account, sends a
// message from one of its endpoints to another as clients do, over HTTPS with
// shared access signatures, and tells step by step what became of it and what
// to type next.
//
// Nothing in it is pretended: every line it prints is about the message that
// was sent, and a step that fails ends the journey with the gateway's answer.
package demo

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/app"
	"github.com/gatehouse/gatehouse/config"
	"github.com/gatehouse/gatehouse/directory"
	"github.com/gatehouse/gatehouse/restrict"
	"github.com/gatehouse/gatehouse/route"
	"github.com/gatehouse/gatehouse/rule"
)

// What the demo account has.
const (
	Account  = "demo"
	Sender   = "pump-7"
	Receiver = "dashboard"
	Visitor  = "you" // who follows the demo at a keyboard
	Channel  = "telemetry"
)

// File returns the demo account as a declarative file, with a page at these
// origins. Keys are made.
func File(origins ...string) *directory.File {
	everybody := []string{Sender, Receiver, Visitor}
	plain := func(name, about string, labels map[string]string) directory.EndpointSpec {
		return directory.EndpointSpec{Name: name, Description: about, Labels: labels, AllowPlaintext: true}
	}
	day := directory.Retention{Age: config.Duration(24 * time.Hour)}
	web, chat := rule.Selector{Labels: "kind=web"}, rule.Selector{Names: []string{ChatChannel}}
	f := &directory.File{
		Account: Account,
		Channels: []directory.ChannelSpec{
			{Name: Channel, Description: "What the demo sends", Retention: day},
			{Name: ChatChannel, Description: "What the demo's page sends", Retention: day, Duplicates: config.Duration(time.Hour)},
		},
		Endpoints: []directory.EndpointSpec{
			plain(Sender, "A pump that reports", map[string]string{"kind": "pump", "site": "oslo"}),
			plain(Receiver, "A screen that shows", map[string]string{"kind": "screen", "site": "oslo"}),
			plain(Visitor, "Whoever follows the demo", map[string]string{"kind": "person"}),
			plain(Alice, "A tab of the demo's page, over SignalR", map[string]string{"kind": "web"}),
			plain(Bob, "A tab of the demo's page, over Server-Sent Events", map[string]string{"kind": "web"}),
		},
		Routes: []directory.RouteSpec{
			{Authorization: route.Authorization{Name: "reports-in", Direction: "ingress", Endpoints: rule.Selector{Names: everybody}, Channels: rule.Selector{Names: []string{Channel}}}},
			{Authorization: route.Authorization{Name: "reports-out", Direction: "egress", Endpoints: rule.Selector{Names: everybody}, Channels: rule.Selector{Names: []string{Channel}}}},
			{Authorization: route.Authorization{Name: "chat-in", Direction: "ingress", Endpoints: web, Channels: chat, Types: []string{"chat.*"}}},
			{Authorization: route.Authorization{Name: "chat-out", Direction: "egress", Endpoints: web, Channels: chat, Types: []string{"chat.*"}}},
		},
		Handlers: []directory.HandlerSpec{
			{Name: "deliver", Description: "Puts messages into the inboxes they name", Channel: Channel, Kind: "router"},
			{Name: "deliver-chat", Description: "Puts what is said into the inbox of whom it is said to", Channel: ChatChannel, Kind: "router"},
		},
	}
	if len(origins) > 0 {
		f.Restrictions = []directory.RestrictionSpec{{Restriction: restrict.Restriction{Name: "page", Endpoints: web, Origins: origins}}}
	}
	return f
}

// A Demo is the demo account on a gateway that is served.
type Demo struct {
	app    *app.App
	client *http.Client
	base   string // of the addresses that clients use: https://localhost:8443

	sender, receiver, visitor directory.EndpointSecrets
}

// Prepare defines the demo account. What is there already stays as it is, its
// keys above all.
func Prepare(ctx context.Context, a *app.App) (*Demo, error) {
	d := &Demo{app: a}
	if _, err := a.Directory.Apply(ctx, File(d.origins()...), false); err != nil {
		return nil, err
	}
	for name, keys := range map[gatehouse.EndpointName]*directory.EndpointSecrets{Sender: &d.sender, Receiver: &d.receiver, Visitor: &d.visitor} {
		var err error
		if *keys, err = a.Directory.Reveal(Account, name); err != nil {
			return nil, err
		}
	}
	return d, d.connect()
}

// Open lets p mint tokens for the endpoints of the page.
func (d *Demo) Open(p *Page) { p.demo.Store(d) }

// origins returns where a browser on this machine finds the page.
func (d *Demo) origins() []string {
	var all []string
	for _, l := range d.app.Listeners() {
		if l.Adapter != "https" && l.Adapter != "http" {
			continue
		}
		_, port, err := net.SplitHostPort(l.Address)
		if err != nil {
			continue
		}
		for _, host := range []string{"localhost", "127.0.0.1", "::1"} {
			all = append(all, l.Adapter+"://"+net.JoinHostPort(host, port))
		}
	}
	return all
}

// connect finds out how clients reach the gateway.
func (d *Demo) connect() error {
	for _, l := range d.app.Listeners() {
		if l.Adapter != "https" {
			continue
		}
		trust, name, err := d.trust()
		if err != nil {
			return err
		}
		d.base = "https://" + reachable(l.Address)
		d.client = &http.Client{
			Timeout:   time.Minute,
			Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trust, ServerName: name}, ForceAttemptHTTP2: true},
		}
		return nil
	}
	return gatehouse.Errorf(gatehouse.Invalid, "the demo needs a listener with adapter https; add one, or leave listeners out of the configuration")
}

// Close closes the client's connections.
func (d *Demo) Close() { d.client.CloseIdleConnections() }

// trust returns whom a client trusts, and the name it expects: the local
// authority, or exactly the certificate that is configured.
func (d *Demo) trust() (*x509.CertPool, string, error) {
	file, name := d.app.CA(), "localhost"
	local := file != ""
	if !local {
		file = d.app.Config.TLS.Certificate
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, "", gatehouse.Errorf(gatehouse.Invalid, "the certificate cannot be read: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, "", gatehouse.Errorf(gatehouse.Invalid, "%s has no certificate in PEM", file)
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, "", gatehouse.Errorf(gatehouse.Invalid, "%s: %w", file, err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	switch {
	case local:
	case len(leaf.DNSNames) > 0:
		name = leaf.DNSNames[0]
	case len(leaf.IPAddresses) > 0:
		name = leaf.IPAddresses[0].String()
	}
	return pool, name, nil
}

// reachable turns an address to listen on into one for clients on this machine.
func reachable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}

// path returns the path of something of an endpoint.
func path(kind, endpoint, below string) string {
	return fmt.Sprintf("/%s/%s/%s/messages%s", Account, kind, endpoint, below)
}
