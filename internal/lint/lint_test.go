package lint

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/gatehouse/gatehouse"

// A pkg is one folder of source, without its tests.
type pkg struct {
	dir     string // below the root; "." is the root
	name    string
	doc     string
	imports []string // of this module, below the root
	inits   []string // places of init functions
}

// layers returns the rows of packages, the lowest first. A package may import
// from lower rows. A name stands for its folder and those below it; one that
// ends in /* for each folder below, which are plug-ins that do not know each
// other.
func layers() [][]string {
	return [][]string{
		{"."},
		{"rule", "record", "cloudevents", "sas", "engine", "handler", "auth", "plugin", "telemetry", "config", "amqp", "mqtt", "signalr", "problem", "idle"},
		{"restrict", "route", "condition", "channel", "inbox"},
		{"directory"},
		{"gate", "dispatch"},
		{"adapter"},
		{"adapter/*", "handler/*", "engine/*", "auth/*", "admin"},
		{"app", "cli"},
		{"bench"},
		{"cmd"},
	}
}

// siblings are the imports within a row that are as they should be.
func siblings() map[string][]string {
	return map[string][]string{
		"route": {"condition"},
	}
}

// isSuite reports whether a folder is a suite of tests, which the tests of
// plug-ins call.
func isSuite(dir string) bool { return strings.HasSuffix(path.Base(dir), "test") }

// row returns the row of a folder, and its name there.
func row(dir string) (at int, name string) {
	at = -1
	parts := strings.Split(dir, "/")
	for i, names := range layers() {
		for _, n := range names {
			switch {
			case n == parts[0]:
				at, name = i, n
			case n == parts[0]+"/*" && len(parts) > 1:
				at, name = i, parts[0]+"/"+parts[1]
			}
		}
	}
	return at, name
}

// load parses the source of the module, without tests.
func load(t *testing.T) []*pkg {
	t.Helper()
	root := filepath.Join("..", "..")
	byDir := map[string]*pkg{}
	err := filepath.WalkDir(root, func(file string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, file)
		if e.IsDir() {
			if base := e.Name(); rel != "." && (strings.HasPrefix(base, ".") || base == "testdata" || base == "node_modules") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		dir := filepath.ToSlash(filepath.Dir(rel))
		if byDir[dir] == nil {
			byDir[dir] = &pkg{dir: dir}
		}
		return byDir[dir].parse(file, filepath.ToSlash(rel))
	})
	if err != nil {
		t.Fatal(err)
	}
	all := make([]*pkg, 0, len(byDir))
	for _, p := range byDir {
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b *pkg) int { return strings.Compare(a.dir, b.dir) })
	if len(all) < 20 {
		t.Fatalf("only %d packages found", len(all))
	}
	return all
}

func (p *pkg) parse(file, shown string) error {
	source, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	files := token.NewFileSet()
	f, err := parser.ParseFile(files, file, source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	p.name = f.Name.Name
	if f.Doc != nil {
		p.doc += f.Doc.Text()
	}
	for _, i := range f.Imports {
		to, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			return err
		}
		if to == module {
			p.imports = append(p.imports, ".")
		} else if rest, ok := strings.CutPrefix(to, module+"/"); ok {
			p.imports = append(p.imports, rest)
		}
	}
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
			p.inits = append(p.inits, shown+":"+strconv.Itoa(files.Position(fn.Pos()).Line))
		}
	}
	return nil
}

// TestLayers holds imports to point down: docs/design.md shows the rows.
func TestLayers(t *testing.T) {
	for _, p := range load(t) {
		for _, to := range p.imports {
			if why := wrong(p.dir, to); why != "" {
				t.Errorf("%s imports %s: %s", p.dir, to, why)
			}
		}
	}
}

// wrong says why from may not import to, or nothing if it may.
func wrong(from, to string) string {
	if isSuite(from) || strings.HasPrefix(from, "internal/") {
		return "" // called by tests only
	}
	if isSuite(to) {
		return "a suite is for tests"
	}
	if strings.HasPrefix(to, "internal/") {
		return ""
	}
	a, fromName := row(from)
	b, toName := row(to)
	switch {
	case a < 0 || b < 0:
		return "one of them has no row; give it one in internal/lint"
	case fromName == toName || slices.Contains(siblings()[fromName], toName):
		return ""
	case b < a:
		return ""
	case b == a:
		return "they are in one row, and do not know each other"
	default:
		return "that is up"
	}
}

// TestRows proves the rules on cases that are known.
func TestRows(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		from, to string
		ok       bool
	}{
		{"gate", "inbox", true},
		{"inbox", "gate", false},
		{"adapter/httpapi", "adapter", true},
		{"adapter/httpapi", "gate", true},
		{"adapter/httpapi", "adapter/mqtt", false},
		{"adapter/httpapi", "app", false},
		{"app", "adapter/httpapi", true},
		{"adapter", "adapter/httpapi", false},
		{"engine/pebbledb", "engine", true},
		{"engine", "engine/pebbledb", false},
		{"auth/secret", "sas", true},
		{"directory/vault", "directory", true},
		{"app", "directory/vault", true},
		{"app/certs", ".", true},
		{"gate", "directory/vault", true},
		{"cmd/gatehouse", "app", true},
		{"app", "cmd/gatehouse", false},
		{"telemetry", "gate", false},
		{"gate", "adapter/adaptertest", false},
		{"newfolder", "gate", false},
	} {
		if why := wrong(c.from, c.to); (why == "") != c.ok {
			t.Errorf("%s imports %s: %q", c.from, c.to, why)
		}
	}
}

// TestPackageComments holds every package to say what it is.
func TestPackageComments(t *testing.T) {
	for _, p := range load(t) {
		want := "Package " + p.name + " "
		if p.name == "main" {
			want = "Command " + path.Base(p.dir) + " "
		}
		if !strings.HasPrefix(p.doc, want) {
			t.Errorf("%s: the package comment does not begin with %q", p.dir, want)
		}
	}
}

// TestNoInit holds that nothing happens on import.
func TestNoInit(t *testing.T) {
	for _, p := range load(t) {
		for _, place := range p.inits {
			t.Errorf("%s: an init function; make what it makes where it is needed", place)
		}
	}
}

// TestOneImporter holds that the large libraries are known to one folder each.
func TestOneImporter(t *testing.T) {
	t.Parallel()
	alone := map[string][]string{
		"github.com/prometheus/": {"telemetry/"}, "cel.dev/": {"condition/"}, "github.com/alecthomas/kong": {"cmd/"},
		"github.com/cockroachdb/pebble/": {"engine/pebbledb/", "bench/"}, // bench measures it alone, as a baseline
	}
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(file string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.HasSuffix(file, ".go") {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, file)
		for _, i := range f.Imports {
			for library, owners := range alone {
				owned := slices.ContainsFunc(owners, func(o string) bool { return strings.HasPrefix(filepath.ToSlash(rel), o) })
				if strings.HasPrefix(strings.Trim(i.Path.Value, `"`), library) && !owned {
					t.Errorf("%s imports %s; only %s does", rel, i.Path.Value, strings.Join(owners, " and "))
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
