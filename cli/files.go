package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/admin"
	"github.com/gatehouse/gatehouse/admin/client"
	"github.com/gatehouse/gatehouse/directory"

	"go.yaml.in/yaml/v3"
)

// Apply is "gatehouse apply".
type Apply struct {
	File  string `short:"f" required:"" placeholder:"FILE" help:"The file, YAML or JSON; - reads standard input."`
	Prune bool   `help:"Delete what the file does not have, in the sections it has."`
}

// Run applies the file and shows what changed.
func (c *Apply) Run(ctx context.Context, g *Globals) error {
	return g.apply(ctx, c.File, c.Prune, false)
}

// Diff is "gatehouse diff".
type Diff struct {
	File  string `short:"f" required:"" placeholder:"FILE" help:"The file, YAML or JSON; - reads standard input."`
	Prune bool   `help:"As with apply."`
}

// Run shows what applying the file would change.
func (c *Diff) Run(ctx context.Context, g *Globals) error { return g.apply(ctx, c.File, c.Prune, true) }

func (g *Globals) apply(ctx context.Context, file string, prune, dryRun bool) error {
	text, err := g.read(file)
	if err != nil {
		return err
	}
	// Read here, so that variables are those of whoever applies it and errors
	// name the file.
	f, err := directory.ParseFile(text, file, os.LookupEnv)
	if err != nil {
		return err
	}
	a, err := g.client()
	if err != nil {
		return err
	}
	defer a.Close()
	q := url.Values{}
	if prune {
		q.Set("prune", "true")
	}
	if dryRun {
		q.Set("dryRun", "true")
	}
	var done admin.Applied
	if err := a.Do(ctx, http.MethodPost, "/apply", q, f, &done); err != nil {
		return inFile(err, file, text)
	}
	if g.Output == "json" {
		return g.print(done)
	}
	return g.showDiff(string(f.Account), &done)
}

func (g *Globals) showDiff(account string, done *admin.Applied) error {
	if len(done.Changes) == 0 {
		return g.say("account %s: nothing to change", account)
	}
	sign := map[directory.Action]string{directory.Created: "+", directory.Changed: "~", directory.Deleted: "-"}
	count := map[directory.Action]int{}
	for i := range done.Changes {
		d := &done.Changes[i]
		count[d.Action]++
		if err := g.say("%s %s %s", sign[d.Action], d.Kind, d.Name); err != nil {
			return err
		}
		for _, f := range d.Fields {
			if err := g.say("    %s: %s", f.Field, change(&f)); err != nil {
				return err
			}
		}
	}
	verb := "is"
	if done.DryRun {
		verb = "would be"
	}
	var parts []string
	for _, a := range []directory.Action{directory.Created, directory.Changed, directory.Deleted} {
		if count[a] > 0 {
			parts = append(parts, fmt.Sprintf("%d %sd", count[a], a))
		}
	}
	return g.say("account %s %s changed: %s", account, verb, strings.Join(parts, ", "))
}

// change shows what becomes of a field. What becomes of a key is not told.
func change(f *directory.FieldDifference) string {
	if f.From == "" && f.To == "" {
		return "(changed)"
	}
	// Values come as JSON that a web page may have in it, which this is not.
	plain := strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&")
	return plain.Replace(orNone(f.From) + " → " + orNone(f.To))
}

func orNone(s string) string {
	if s == "" {
		return "(none)"
	}
	return s
}

// read reads a file, or standard input for "-".
func (g *Globals) read(file string) ([]byte, error) {
	if file == "-" {
		return io.ReadAll(g.Stdin)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, gatehouse.Errorf(gatehouse.Invalid, "%w", err)
	}
	return text, nil
}

// Import is "gatehouse import".
type Import struct {
	Account string `arg:"" help:"The account."`
	File    string `arg:"" optional:"" default:"-" help:"The file; - reads standard input."`
}

// Run sends the file to the gateway, endpoint by endpoint.
func (c *Import) Run(ctx context.Context, g *Globals) error {
	from := g.Stdin
	if c.File != "-" {
		f, err := os.Open(c.File)
		if err != nil {
			return gatehouse.Errorf(gatehouse.Invalid, "%w", err)
		}
		defer f.Close()
		from = f
	}
	a, err := g.client()
	if err != nil {
		return err
	}
	defer a.Close()
	var done directory.Imported
	if err := a.Do(ctx, http.MethodPost, client.Path("accounts", c.Account)+"/endpoints:import", nil, from, &done); err != nil {
		return err
	}
	return g.result(done, "%d created, %d changed, %d unchanged", done.Created, done.Changed, done.Unchanged)
}

// Export is "gatehouse export".
type Export struct {
	Account   string `arg:"" help:"The account."`
	Endpoints bool   `help:"Write the endpoints only, a JSON document a line, as import reads them."`
}

// Run writes the account. Keys are not in it.
func (c *Export) Run(ctx context.Context, g *Globals) error {
	a, err := g.client()
	if err != nil {
		return err
	}
	defer a.Close()
	at := client.Path("accounts", c.Account)
	if c.Endpoints {
		return a.Do(ctx, http.MethodGet, at+"/endpoints:export", nil, nil, g.Stdout)
	}
	var f directory.File
	if err := a.Do(ctx, http.MethodGet, at+"/file", nil, nil, &f); err != nil {
		return err
	}
	if g.Output == "json" {
		return g.print(&f)
	}
	e := yaml.NewEncoder(g.Stdout)
	e.SetIndent(2)
	defer e.Close()
	return e.Encode(&f)
}
