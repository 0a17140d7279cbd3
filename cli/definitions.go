package cli

import (
	"bytes"
	"context"
	"encoding/json"
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

// plurals are the kinds of definitions as paths of the API spell them.
var plurals = map[directory.Kind]string{
	directory.KindAccount: "accounts", directory.KindEndpoint: "endpoints", directory.KindChannel: "channels", directory.KindRoute: "routes",
	directory.KindRestriction: "restrictions", directory.KindHandler: "handlers", directory.KindPolicy: "policies",
}

// A definition as the API shows it.
type definition = admin.Definition[map[string]any]

// at returns the path of a kind's definitions, or of one of them.
func at(kind, account, name string) (string, error) {
	k, err := directory.ParseKind(kind)
	if err != nil {
		return "", err
	}
	if k == directory.KindAccount {
		if name == "" {
			name = account
		}
		if name == "" {
			return "/accounts", nil
		}
		return client.Path("accounts", name), nil
	}
	if account == "" {
		return "", gatehouse.Errorf(gatehouse.Invalid, "say which account with -a ACCOUNT")
	}
	if name == "" {
		return client.Path("accounts", account, plurals[k]), nil
	}
	return client.Path("accounts", account, plurals[k], name), nil
}

// Get is "gatehouse get".
type Get struct {
	Kind    string `arg:"" help:"account, endpoint, channel, route, restriction, handler, policy, session; or the plural."`
	Name    string `arg:"" optional:"" help:"The one to show; none lists them."`
	Account string `short:"a" env:"GATEHOUSE_ACCOUNT" help:"The account."`
	Prefix  string `help:"Endpoints whose name begins so."`
	Glob    string `help:"Endpoints whose name matches, with * and ?."`
	Labels  string `short:"l" help:"Endpoints whose labels match: site=oslo,kind!=test."`
}

// Run lists or shows definitions.
func (c *Get) Run(ctx context.Context, g *Globals) error {
	api, err := g.client()
	if err != nil {
		return err
	}
	defer api.Close()
	if k := strings.ToLower(c.Kind); k == "session" || k == "sessions" {
		return c.sessions(ctx, g, api)
	}
	path, err := at(c.Kind, c.Account, c.Name)
	if err != nil {
		return err
	}
	if c.Name != "" {
		var d definition
		if err := api.Do(ctx, http.MethodGet, path, nil, nil, &d); err != nil {
			return err
		}
		return g.show(&d)
	}
	if k, _ := directory.ParseKind(c.Kind); k == directory.KindAccount {
		path = "/accounts"
	}
	return c.list(ctx, g, api, path)
}

func (c *Get) list(ctx context.Context, g *Globals, api *client.Client, path string) error {
	const pageSize = 1000
	q := url.Values{"limit": {strconv.Itoa(pageSize)}}
	for name, value := range map[string]string{"prefix": c.Prefix, "glob": c.Glob, "labels": c.Labels} {
		if value != "" {
			q.Set(name, value)
		}
	}
	var all []definition
	for {
		var page struct {
			Items []definition
			Next  string
		}
		if err := api.Do(ctx, http.MethodGet, path, q, nil, &page); err != nil {
			return err
		}
		all = append(all, page.Items...)
		if page.Next == "" {
			break
		}
		q.Set("after", page.Next)
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

// row writes cells of a table; what goes wrong shows when it is flushed.
func row(t *tabwriter.Writer, cells ...string) {
	_, _ = t.Write([]byte(strings.Join(cells, "\t") + "\n"))
}

// summary shows a definition on one line.
func summary(spec map[string]any) string {
	delete(spec, "name")
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(spec); err != nil {
		return err.Error()
	}
	text := []rune(strings.TrimSpace(b.String()))
	const most = 100
	if len(text) > most {
		return string(text[:most]) + "…"
	}
	return string(text)
}

// show shows one definition.
func (g *Globals) show(d *definition) error {
	if g.Output == "json" {
		return g.print(d)
	}
	e := yaml.NewEncoder(g.Stdout)
	e.SetIndent(2)
	defer e.Close()
	if err := e.Encode(d.Spec); err != nil {
		return err
	}
	if d.Keys != nil {
		return e.Encode(map[string]any{"keys": d.Keys})
	}
	return nil
}

func (c *Get) sessions(ctx context.Context, g *Globals, api *client.Client) error {
	var all []map[string]any
	if err := api.Do(ctx, http.MethodGet, client.Path("accounts", c.Account, "sessions"), nil, nil, &all); err != nil {
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
	Name    string `arg:"" help:"Its name."`
	Account string `short:"a" env:"GATEHOUSE_ACCOUNT" help:"The account."`
	File    string `short:"f" placeholder:"FILE" help:"The definition, YAML or JSON, without its name; - reads standard input."`
	Replace bool   `help:"Replace it if there is one; otherwise that is a conflict."`
}

// Run creates the definition and shows it, with its keys.
func (c *Create) Run(ctx context.Context, g *Globals) error {
	spec := map[string]any{}
	if c.File != "" {
		text, err := g.read(c.File)
		if err != nil {
			return err
		}
		if err := yaml.Unmarshal(text, &spec); err != nil {
			return gatehouse.Errorf(gatehouse.Invalid, "%s: %w", c.File, err)
		}
	}
	path, err := at(c.Kind, c.Account, c.Name)
	if err != nil {
		return err
	}
	api, err := g.client()
	if err != nil {
		return err
	}
	defer api.Close()
	if !c.Replace {
		var there definition
		err := api.Do(ctx, http.MethodGet, path, nil, nil, &there)
		if err == nil {
			return gatehouse.Errorf(gatehouse.Conflict, "there is a %s %q; use --replace to change it", c.Kind, c.Name)
		}
		if gatehouse.KindOf(err) != gatehouse.NotFound {
			return err
		}
	}
	var d definition
	if err := api.Do(ctx, http.MethodPut, path, nil, spec, &d); err != nil {
		return err
	}
	return g.show(&d)
}

// Delete is "gatehouse delete".
type Delete struct {
	Kind    string `arg:"" help:"account, endpoint, channel, route, restriction, handler or policy."`
	Name    string `arg:"" help:"Its name."`
	Account string `short:"a" env:"GATEHOUSE_ACCOUNT" help:"The account."`
}

// Run deletes the definition.
func (c *Delete) Run(ctx context.Context, g *Globals) error {
	path, err := at(c.Kind, c.Account, c.Name)
	if err != nil {
		return err
	}
	api, err := g.client()
	if err != nil {
		return err
	}
	defer api.Close()
	return api.Do(ctx, http.MethodDelete, path, nil, nil, nil)
}
