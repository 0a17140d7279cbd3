package app

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse/config"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write docs/configuration.md")

const reference = "../docs/configuration.md"

// comments are the doc comments of fields, by TYPE.FIELD, and of types.
type comments map[string]string

// readComments reads the sources in folders.
func readComments(t *testing.T, folders ...string) comments {
	t.Helper()
	all := comments{}
	for _, folder := range folders {
		files, err := filepath.Glob(folder + "/*.go")
		if err != nil || len(files) == 0 {
			t.Fatal(folder, err)
		}
		for _, file := range files {
			f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(f, all.take)
		}
	}
	return all
}

func (c comments) take(n ast.Node) bool {
	spec, ok := n.(*ast.TypeSpec)
	if !ok {
		return true
	}
	fields, ok := spec.Type.(*ast.StructType)
	if !ok {
		return false
	}
	for _, f := range fields.Fields.List {
		for _, name := range f.Names {
			c[spec.Name.Name+"."+name.Name] = strings.Join(strings.Fields(f.Doc.Text()), " ")
		}
	}
	return false
}

// A page is the reference while it is written.
type page struct {
	strings.Builder
	t        *testing.T
	comments comments
}

// table writes the fields of the struct that pointer points to. prefix is the
// path of what it stands in.
func (p *page) table(pointer any, prefix string) {
	p.WriteString("| key | default | what it says |\n|---|---|---|\n")
	p.rows(reflect.ValueOf(pointer).Elem(), prefix)
}

func (p *page) rows(v reflect.Value, prefix string) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if key == "" {
			continue
		}
		about := p.comments[v.Type().Name()+"."+f.Name]
		if about == "" {
			p.t.Errorf("%s.%s has no comment, which is its manual", v.Type().Name(), f.Name)
		}
		if isSection(v.Field(i)) {
			fmt.Fprintf(p, "| **`%s`** | | %s |\n", prefix+key, about)
			p.rows(v.Field(i), prefix+key+".")
			continue
		}
		fmt.Fprintf(p, "| `%s` | %s | %s |\n", prefix+key, shown(v.Field(i)), about)
	}
}

func isSection(v reflect.Value) bool {
	return v.Kind() == reflect.Struct && v.Type() != reflect.TypeFor[config.Block]()
}

func shown(v reflect.Value) string {
	switch text := fmt.Sprint(v.Interface()); {
	case v.Kind() == reflect.Slice, text == "":
		return ""
	default:
		return "`" + text + "`"
	}
}

// TestReference holds docs/configuration.md to the code; run it with -update to
// write the page.
func TestReference(t *testing.T) {
	p := &page{t: t, comments: readComments(t, "../config", ".")}
	p.WriteString(referenceHead)
	p.table(config.Default(), "")
	p.WriteString("\n## Listeners\n\n`listeners` is a list; each entry has\n\n")
	p.table(&config.Listener{}, "")
	p.WriteString("\nThe adapters, with their usual ports:\n\n| adapter | port | TLS |\n|---|---|---|\n")
	for _, k := range adapters() {
		fmt.Fprintf(p, "| `%s` | %d | %s |\n", k.name, k.port, map[bool]string{true: "yes; on by default", false: "no"}[k.tls])
	}
	shownOptions := map[reflect.Type]bool{}
	for _, k := range adapters() {
		o := k.options()
		if shownOptions[reflect.TypeOf(o)] || reflect.TypeOf(o).Elem().NumField() == 0 {
			continue
		}
		shownOptions[reflect.TypeOf(o)] = true
		fmt.Fprintf(p, "\nOptions of %s, beside the keys above:\n\n", namesWith(reflect.TypeOf(o)))
		p.table(o, "")
	}
	p.WriteString("\n## Engines\n")
	for _, k := range engines() {
		o := k.options()
		if reflect.TypeOf(o).Elem().NumField() == 0 {
			continue
		}
		fmt.Fprintf(p, "\nOptions of `engine.kind: %s`:\n\n", k.name)
		p.table(o, "engine.")
	}
	if *update {
		if err := os.WriteFile(reference, []byte(p.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(have), p.String()); diff != "" {
		t.Errorf("docs/configuration.md is stale; run go test ./app -run TestReference -update\n%s", diff)
	}
}

// namesWith lists the adapters that have options of that type.
func namesWith(o reflect.Type) string {
	var names []string
	for _, k := range adapters() {
		if reflect.TypeOf(k.options()) == o {
			names = append(names, "`"+k.name+"`")
		}
	}
	return strings.Join(names, " and ")
}

const referenceHead = `# Configuration

One YAML file, read when the gateway starts: ` + "`gatehouse serve --config gatehouse.yaml`" + `. Without a file, the defaults below are in
force. A key that is not known is an error that names file, line and the nearest known key; everything is checked before anything
starts. This page is made from the code.

` + "```yaml" + `
environment: local
data: ./gatehouse-data
engine: {kind: pebbledb}
admin: {address: "127.0.0.1:7070"}
listeners:
  - {adapter: https, address: ":8443"}
  - {adapter: http, address: "127.0.0.1:8080"}
tls: {certificate: cert.pem, key: key.pem}
` + "```" + `

**Environment variables** override the file. The name follows from the path, a word at a time: ` + "`admin.address`" + ` is
` + "`GATEHOUSE_ADMIN_ADDRESS`, `tls.clientCA` is `GATEHOUSE_TLS_CLIENT_CA`, `inbox.maxBytes` is `GATEHOUSE_INBOX_MAX_BYTES`" + `. A variable for a
section or a list holds YAML: ` + "`GATEHOUSE_LISTENERS='[{adapter: https, address: \":443\"}]'`" + `. A variable that begins with ` + "`GATEHOUSE_`" + ` and is
none of them is warned about.

**Secrets** need not be in the file: in any value, ` + "`${NAME}`" + ` stands for the environment variable NAME and ` + "`${file:/run/secrets/x}`" + ` for
what a file has. ` + "`$$`" + ` is a dollar sign.

**Times** are written ` + "`250ms`, `30s`, `2h`, `7d`" + `; **sizes** ` + "`1000`, `64KiB`, `10GiB`" + `.

`
