// Package cli holds the commands of gatehouse that talk to a running gateway:
// over the administration API and, to send and receive, over HTTPS as an
// endpoint would. It parses no arguments (the structs are tagged for kong) and
// reaches into no package of the gateway's own work.
package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/admin"
	"github.com/gatehouse/gatehouse/admin/client"
	"github.com/gatehouse/gatehouse/config"
)

// Commands are the commands of this package, to be embedded in a command line.
type Commands struct {
	Apply   Apply   `cmd:"" help:"Make an account what a file says."`
	Diff    Diff    `cmd:"" help:"Show what applying a file would change."`
	Get     Get     `cmd:"" help:"List or show definitions."`
	Create  Create  `cmd:"" help:"Create or replace a definition."`
	Delete  Delete  `cmd:"" help:"Delete a definition."`
	Keys    Keys    `cmd:"" help:"Show or rotate the keys of an endpoint or a policy."`
	Revoke  Revoke  `cmd:"" help:"Withdraw what an endpoint may do, at once."`
	Restore Restore `cmd:"" help:"Give back what was revoked."`
	Token   Token   `cmd:"" help:"Mint a shared access signature."`
	Send    Send    `cmd:"" help:"Send a message as an endpoint."`
	Receive Receive `cmd:"" help:"Receive messages from an inbox."`
	Inbox   Inbox   `cmd:"" help:"Show what an inbox holds; peek, purge or resubmit."`
	Replay  Replay  `cmd:"" help:"Give the dead letters of a handler to it again."`
	Explain Explain `cmd:"" help:"Tell what would become of a message, and why."`
	Import  Import  `cmd:"" help:"Create or replace endpoints, a JSON document a line."`
	Export  Export  `cmd:"" help:"Write an account as a file, or its endpoints as lines."`
}

// Globals are what all commands share.
type Globals struct {
	Config string `placeholder:"FILE" type:"existingfile" env:"GATEHOUSE_CONFIG" help:"The gateway's configuration file. Without one, the defaults and the environment count."`
	Data   string `placeholder:"DIR" help:"The gateway's data folder, in place of the configured one."`
	URL    string `env:"GATEHOUSE_URL" placeholder:"URL" help:"Address of the admin listener."`
	Token  string `env:"GATEHOUSE_TOKEN" placeholder:"TOKEN" help:"The operator's token."`
	Output string `short:"o" enum:"text,json" default:"text" help:"How to show results: text or json."`

	Stdin  io.Reader `kong:"-"`
	Stdout io.Writer `kong:"-"`
	Stderr io.Writer `kong:"-"`
}

// TokenFile is the name of the file with the operator's token in the data
// folder.
const TokenFile = "admin-token"

// An api is a client of a gateway's administration.
type api struct {
	*client.Client
	host string // where the gateway is
}

// client returns a client of the gateway that the flags, the environment or
// the configuration name.
func (g *Globals) client() (*api, error) {
	address, token := g.URL, g.Token
	if address == "" || token == "" {
		c, err := g.Configuration()
		if err != nil {
			return nil, err
		}
		if address == "" {
			address = "http://" + reachable(c.Admin.Address, loopback)
		}
		if token == "" {
			text, err := os.ReadFile(filepath.Join(c.Data, TokenFile))
			if err != nil {
				return nil, gatehouse.Errorf(gatehouse.Unauthenticated, "the operator's token cannot be read: %w; name the gateway's file with --config or its folder with --data, or set GATEHOUSE_TOKEN", err)
			}
			token = strings.TrimSpace(string(text))
		}
	}
	at, err := url.Parse(address)
	if err != nil || at.Host == "" || at.Scheme != "http" && at.Scheme != "https" {
		return nil, gatehouse.Errorf(gatehouse.Invalid, "%q is not the address of an admin listener; it is like http://127.0.0.1:7070", address)
	}
	return &api{client.New(address, token), at.Hostname()}, nil
}

// Configuration reads the gateway's configuration.
func (g *Globals) Configuration() (*config.Config, error) {
	c, err := config.Load(g.Config, os.LookupEnv)
	if err != nil {
		return nil, err
	}
	if g.Data != "" {
		c.Data = g.Data
	}
	return c, nil
}

const loopback = "127.0.0.1"

// reachable turns an address that a gateway on host listens at into one to
// connect to.
func reachable(address, host string) string {
	at, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	if ip := net.ParseIP(at); at == "" || ip != nil && ip.IsUnspecified() {
		at = host
	}
	return net.JoinHostPort(at, port)
}

// print shows v as indented JSON.
func (g *Globals) print(v any) error {
	e := json.NewEncoder(g.Stdout)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// say writes a line for people.
func (g *Globals) say(format string, args ...any) error {
	_, err := fmt.Fprintf(g.Stdout, format+"\n", args...)
	return err
}

// result shows v if JSON is asked for, and otherwise the line for people.
func (g *Globals) result(v any, format string, args ...any) error {
	if g.Output == "json" {
		return g.print(v)
	}
	return g.say(format, args...)
}

// A door is the way to a gateway for an endpoint.
type door struct {
	base string // https://HOST:PORT
	http *http.Client
}

// door finds the gateway's HTTPS listener.
func (a *api) door(ctx context.Context) (*door, error) {
	var e admin.Environment
	if err := a.Do(ctx, http.MethodGet, "/environment", nil, nil, &e); err != nil {
		return nil, err
	}
	for _, l := range e.Listeners {
		if l.Adapter != "https" {
			continue
		}
		d := &door{base: "https://" + reachable(l.Address, a.host), http: &http.Client{Timeout: 2 * time.Minute}}
		if e.CA != "" {
			roots := x509.NewCertPool()
			if !roots.AppendCertsFromPEM([]byte(e.CA)) {
				return nil, gatehouse.Errorf(gatehouse.Internal, "the gateway's certificate authority cannot be read")
			}
			d.http.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true}
		}
		return d, nil
	}
	return nil, gatehouse.Errorf(gatehouse.Unavailable, "the gateway has no https listener; add {adapter: https} to its listeners")
}

// ExitCode is what the process ends with for an error, so that scripts can
// tell: 0 none, 2 invalid, 3 not authenticated, 4 refused, 5 not found,
// 6 conflict, 7 cannot be reached or not now, 1 anything else.
func ExitCode(err error) int {
	if err == nil {
		return 0
	}
	switch gatehouse.KindOf(err) {
	case gatehouse.Invalid, gatehouse.TooLarge:
		return 2
	case gatehouse.Unauthenticated, gatehouse.Expired, gatehouse.Revoked:
		return 3
	case gatehouse.Forbidden, gatehouse.Restricted, gatehouse.QuotaExceeded:
		return 4
	case gatehouse.NotFound, gatehouse.LockLost:
		return 5
	case gatehouse.Conflict:
		return 6
	case gatehouse.RateLimited, gatehouse.Unavailable:
		return 7
	}
	return 1
}
