package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/admin"
	"github.com/gatehouse/gatehouse/admin/client"
	"github.com/gatehouse/gatehouse/directory"

	"go.yaml.in/yaml/v3"
)

// plurals are the kinds of definitions as paths of the API, and sections of
// files, spell them.
var plurals = map[directory.Kind]string{
	directory.KindAccount: "accounts", directory.KindEndpoint: "endpoints", directory.KindChannel: "channels", directory.KindRoute: "routes",
	directory.KindRestriction: "restrictions", directory.KindHandler: "handlers", directory.KindPolicy: "policies",
}

// A definition as the API shows it, its fields in the order they come.
type definition = admin.Definition[json.RawMessage]

// A ref names a definition, or all of a kind, on the command line.
type ref struct {
	kind    directory.Kind
	account string
	name    string // "": all of the kind
}

// refOf reads KIND and NAME, which may be ACCOUNT/NAME.
func refOf(kind, name, account string) (ref, error) {
	k, err := directory.ParseKind(kind)
	if err != nil {
		return ref{}, err
	}
	if before, after, ok := strings.Cut(name, "/"); ok && k != directory.KindAccount {
		account, name = before, after
	}
	if k == directory.KindAccount {
		account = name
	} else if account == "" {
		return ref{}, gatehouse.Errorf(gatehouse.Invalid, "say which account with -a ACCOUNT, or name it as ACCOUNT/%s", strings.ToUpper(k.String()))
	}
	for _, n := range []string{account, name} {
		if err := gatehouse.CheckName(n); n != "" && err != nil {
			return ref{}, err
		}
	}
	return ref{k, account, name}, nil
}

// path returns the path of what r names in the API.
func (r ref) path() string {
	switch {
	case r.kind == directory.KindAccount && r.name == "":
		return "/accounts"
	case r.kind == directory.KindAccount:
		return client.Path("accounts", r.name)
	case r.name == "":
		return client.Path("accounts", r.account, plurals[r.kind])
	}
	return client.Path("accounts", r.account, plurals[r.kind], r.name)
}

// String returns the kind and the name for people.
func (r ref) String() string {
	if r.kind == directory.KindAccount {
		return fmt.Sprintf("account %q", r.name)
	}
	return fmt.Sprintf("%s %q of account %q", r.kind, r.name, r.account)
}

// Get is "gatehouse get".
type Get struct {
	Kind    string `arg:"" help:"account, endpoint, channel, route, restriction, handler, policy, session; or the plural."`
	Name    string `arg:"" optional:"" help:"The one to show, NAME or ACCOUNT/NAME; none lists them."`
	Account string `short:"a" env:"GATEHOUSE_ACCOUNT" placeholder:"ACCOUNT" help:"The account."`
	Prefix  string `placeholder:"TEXT" help:"Endpoints whose name begins so."`
	Glob    string `placeholder:"GLOB" help:"Endpoints whose name matches, with * and ?."`
	Labels  string `short:"l" placeholder:"SELECTOR" help:"Endpoints whose labels match: site=oslo,kind!=test."`
}

// Run lists or shows definitions.
func (c *Get) Run(ctx context.Context, g *Globals) error {
	if k := strings.ToLower(c.Kind); k == "session" || k == "sessions" {
		return c.sessions(ctx, g)
	}
	r, err := refOf(c.Kind, c.Name, c.Account)
	if err != nil {
		return err
	}
	a, err := g.client()
	if err != nil {
		return err
	}
	defer a.Close()
	if r.name == "" {
		return c.list(ctx, g, a, r.path())
	}
	var d definition
	if err := a.Do(ctx, http.MethodGet, r.path(), nil, nil, &d); err != nil {
		return err
	}
	return g.show(&d)
}

func (c *Get) list(ctx context.Context, g *Globals, a *api, path string) error {
	q := url.Values{}
	for name, value := range map[string]string{"prefix": c.Prefix, "glob": c.Glob, "labels": c.Labels} {
		if value != "" {
			q.Set(name, value)
		}
	}
	all, err := a.all(ctx, path, q)
	if err != nil {
		return err
	}
	if g.Output == "json" {
		return g.print(all)
	}
	table := tabwriter.NewWriter(g.Stdout, 0, 8, 2, ' ', 0)
	row(table, "NAME", "REVISION", "DEFINITION")
	for i := range all {
		row(table, all[i].Name, strconv.FormatUint(all[i].Revision, 10), summary(all[i].Spec))
	}
	return table.Flush()
}

// all returns all pages of a list; it is never nil.
func (a *api) all(ctx context.Context, path string, q url.Values) ([]definition, error) {
	const pageSize = 1000
	q.Set("limit", strconv.Itoa(pageSize))
	all := []definition{}
	for {
		var page struct {
			Items []definition
			Next  string
		}
		if err := a.Do(ctx, http.MethodGet, path, q, nil, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Items...)
		if page.Next == "" {
			return all, nil
		}
		q.Set("after", page.Next)
	}
}

// row writes cells of a table; what goes wrong shows when it is flushed.
func row(t *tabwriter.Writer, cells ...string) {
	_, _ = t.Write([]byte(strings.TrimRight(strings.Join(cells, "\t"), "\t") + "\n"))
}

// summary shows a definition on one line, without its name.
func summary(spec json.RawMessage) string {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(spec, &fields); err != nil {
		return err.Error()
	}
	delete(fields, "name")
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(fields); err != nil {
		return err.Error()
	}
	text := []rune(strings.TrimSpace(b.String()))
	const most = 100
	if len(text) > most {
		return string(text[:most]) + "…"
	}
	return string(text)
}

// show shows one definition, with its keys if there are any.
func (g *Globals) show(d *definition) error {
	if g.Output == "json" {
		return g.print(d)
	}
	if err := g.printYAML(d.Spec); err != nil || d.Keys == nil {
		return err
	}
	keys, err := json.Marshal(map[string]any{"keys": d.Keys})
	if err != nil {
		return err
	}
	return g.printYAML(keys)
}

// printYAML shows a JSON document as YAML, its fields in the same order.
func (g *Globals) printYAML(document json.RawMessage) error {
	var n yaml.Node
	if err := yaml.Unmarshal(document, &n); err != nil { // JSON is YAML
		return err
	}
	inBlocks(&n)
	e := yaml.NewEncoder(g.Stdout)
	e.SetIndent(2)
	defer e.Close()
	return e.Encode(&n)
}

// inBlocks takes the braces and quotes of JSON away, but for the quotes around
// texts that some readers of YAML take for booleans.
func inBlocks(n *yaml.Node) {
	switch strings.ToLower(n.Value) {
	case "y", "n", "yes", "no", "on", "off":
		return
	}
	if len(n.Content) > 0 || n.Kind == yaml.ScalarNode {
		n.Style = 0
	}
	for _, child := range n.Content {
		inBlocks(child)
	}
}

func (c *Get) sessions(ctx context.Context, g *Globals) error {
	if c.Account == "" {
		return gatehouse.Errorf(gatehouse.Invalid, "say which account with -a ACCOUNT")
	}
	a, err := g.client()
	if err != nil {
		return err
	}
	defer a.Close()
	all := []map[string]any{}
	if err := a.Do(ctx, http.MethodGet, client.Path("accounts", c.Account, "sessions"), nil, nil, &all); err != nil {
		return err
	}
	if g.Output == "json" {
		return g.print(all)
	}
	columns := []string{"id", "endpoint", "channel", "policy", "rights", "protocol", "remote", "since"}
	table := tabwriter.NewWriter(g.Stdout, 0, 8, 2, ' ', 0)
	row(table, strings.Fields(strings.ToUpper(strings.Join(columns, " ")))...)
	for _, s := range all {
		cells := make([]string, len(columns))
		for i, name := range columns {
			cells[i], _ = s[name].(string)
		}
		row(table, cells...)
	}
	return table.Flush()
}

// Create is "gatehouse create".
type Create struct {
	Kind    string `arg:"" help:"account, endpoint, channel, route, restriction, handler or policy."`
	Name    string `arg:"" help:"NAME or ACCOUNT/NAME."`
	Account string `short:"a" env:"GATEHOUSE_ACCOUNT" placeholder:"ACCOUNT" help:"The account."`
	File    string `short:"f" placeholder:"FILE" xor:"spec" help:"The definition, YAML or JSON, without its name; - reads standard input."`
	Spec    string `short:"s" placeholder:"YAML" xor:"spec" help:"The definition itself: '{rights: [channels]}'."`
	Replace bool   `help:"Replace it if there is one; otherwise that is a conflict."`
}

// Run creates the definition and shows it, with its keys.
func (c *Create) Run(ctx context.Context, g *Globals) error {
	r, err := refOf(c.Kind, c.Name, c.Account)
	if err != nil {
		return err
	}
	name, text := "--spec", []byte(c.Spec)
	if c.File != "" {
		if text, err = g.read(c.File); err != nil {
			return err
		}
		name = c.File
	}
	spec := map[string]any{}
	if err := yaml.Unmarshal(text, &spec); err != nil {
		return gatehouse.Errorf(gatehouse.Invalid, "%s: %w", name, err)
	}
	a, err := g.client()
	if err != nil {
		return err
	}
	defer a.Close()
	if !c.Replace {
		if err := a.absent(ctx, r); err != nil {
			return err
		}
	}
	var d definition
	if err := a.Do(ctx, http.MethodPut, r.path(), nil, spec, &d); err != nil {
		return inFile(err, name, text)
	}
	return g.show(&d)
}

// absent returns an error of kind Conflict if there is an r.
func (a *api) absent(ctx context.Context, r ref) error {
	var there definition
	err := a.Do(ctx, http.MethodGet, r.path(), nil, nil, &there)
	switch {
	case err == nil:
		return gatehouse.Errorf(gatehouse.Conflict, "%s is there already; use --replace to change it", r)
	case gatehouse.KindOf(err) == gatehouse.NotFound:
		return nil // or its account is missing, which creating it will tell
	}
	return err
}

// Delete is "gatehouse delete".
type Delete struct {
	Kind    string `arg:"" help:"account, endpoint, channel, route, restriction, handler or policy."`
	Name    string `arg:"" help:"NAME or ACCOUNT/NAME."`
	Account string `short:"a" env:"GATEHOUSE_ACCOUNT" placeholder:"ACCOUNT" help:"The account."`
}

// Run deletes the definition.
func (c *Delete) Run(ctx context.Context, g *Globals) error {
	r, err := refOf(c.Kind, c.Name, c.Account)
	if err != nil {
		return err
	}
	a, err := g.client()
	if err != nil {
		return err
	}
	defer a.Close()
	if err := a.Do(ctx, http.MethodDelete, r.path(), nil, nil, nil); err != nil {
		return err
	}
	return g.result(map[string]any{"kind": r.kind, "account": r.account, "name": r.name, "deleted": true}, "%s is deleted", r)
}
