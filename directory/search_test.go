package directory_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/directory"
)

func names(found []*directory.Endpoint) string {
	var all []string
	for _, e := range found {
		all = append(all, string(e.Name()))
	}
	return strings.Join(all, " ")
}

func TestSearch(t *testing.T) {
	t.Parallel()
	d := open(t, newEngine(t))
	acme(t, d)
	for i, name := range []string{"alpha", "Pump-1", "pump-2", "PUMP-3", "pumpkin", "zulu"} {
		put(t, d, &directory.EndpointSpec{Name: name, Labels: map[string]string{"site": fmt.Sprint("s", i%2)}, Disabled: pointer(i == 2)})
	}
	if err := d.Revoke(context.Background(), "acme", "zulu", directory.Revoked{Listen: true}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		search directory.Search
		want   string
		more   bool
	}{
		{directory.Search{}, "alpha Pump-1 pump-2 PUMP-3 pumpkin zulu", false},
		{directory.Search{Prefix: "PUMP"}, "Pump-1 pump-2 PUMP-3 pumpkin", false},
		{directory.Search{Prefix: "pump-"}, "Pump-1 pump-2 PUMP-3", false},
		{directory.Search{Glob: "p*-?"}, "Pump-1 pump-2 PUMP-3", false},
		{directory.Search{Glob: "*A"}, "alpha", false},
		{directory.Search{Glob: "pump-2"}, "pump-2", false},
		{directory.Search{Prefix: "pump-", Glob: "*3"}, "PUMP-3", false},
		{directory.Search{Labels: "site=s1"}, "Pump-1 PUMP-3 zulu", false},
		{directory.Search{Labels: "site=s1", Prefix: "p"}, "Pump-1 PUMP-3", false},
		{directory.Search{Disabled: pointer(true)}, "pump-2", false},
		{directory.Search{Revoked: pointer(true)}, "zulu", false},
		{directory.Search{Revoked: pointer(false), Disabled: pointer(false), Prefix: "pump-"}, "Pump-1 PUMP-3", false},
		{directory.Search{Limit: 2}, "alpha Pump-1", true},
		{directory.Search{Limit: 2, After: "PUMP-1"}, "pump-2 PUMP-3", true},
		{directory.Search{Limit: 2, After: "pump-3"}, "pumpkin zulu", false},
		{directory.Search{After: "pump-11"}, "pump-2 PUMP-3 pumpkin zulu", false},
		{directory.Search{Prefix: "q"}, "", false},
	} {
		found, more, err := account(t, d).Search(c.search)
		if err != nil || names(found) != c.want || more != c.more {
			t.Errorf("%+v finds %q, more %v, %v; want %q, %v", c.search, names(found), more, err, c.want, c.more)
		}
	}
	_, _, err := account(t, d).Search(directory.Search{Labels: "=="})
	wantKind(t, err, gatehouse.Invalid, "labels")
	rows := account(t, d).Rows(directory.KindEndpoint, "Pump-1", 2)
	if len(rows) != 2 || rows[0].Name != "pump-2" || rows[1].Name != "PUMP-3" {
		t.Errorf("rows after pump-1: %v", rows)
	}
	var walked []string
	for e := range account(t, d).Endpoints("PUMP-2") {
		if walked = append(walked, string(e.Name())); len(walked) == 2 {
			break
		}
	}
	if !slices.Equal(walked, []string{"pump-2", "PUMP-3"}) {
		t.Errorf("walked over %v", walked)
	}
}

func TestImport(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	e := newEngine(t)
	d := open(t, e)
	acme(t, d)
	for _, want := range []directory.Imported{{Created: 2345}, {Unchanged: 2345}} {
		if done, err := d.Import(ctx, "acme", manyEndpoints(2345)); err != nil || done != want {
			t.Fatalf("import: %+v, %v; want %+v", done, err, want)
		}
	}
	twice := func(yield func(*directory.EndpointSpec, error) bool) {
		for i := range 3 {
			if !yield(&directory.EndpointSpec{Name: "pump-0000001", Description: fmt.Sprint(i)}, nil) {
				return
			}
		}
	}
	if done, err := d.Import(ctx, "acme", twice); err != nil || done.Changed != 3 || account(t, d).Endpoint("pump-0000001").Description() != "2" {
		t.Fatalf("the same name three times: %+v, %v", done, err)
	}
	if got, want := dump(t, d), dump(t, open(t, e)); !slices.Equal(got, want) {
		t.Fatal(difference(got, want))
	}
}

// after yields n endpoints and then what bad gives.
func after(n int, bad *directory.EndpointSpec, err error) iter.Seq2[*directory.EndpointSpec, error] {
	return func(yield func(*directory.EndpointSpec, error) bool) {
		for spec := range manyEndpoints(n) {
			if !yield(spec, nil) {
				return
			}
		}
		yield(bad, err)
	}
}

func TestImportEndsAtAnError(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := open(t, newEngine(t))
	_, err := d.Import(ctx, "acme", manyEndpoints(5))
	wantKind(t, err, gatehouse.NotFound, "acme")
	acme(t, d)
	done, err := d.Import(ctx, "acme", after(1234, &directory.EndpointSpec{Name: "pump 7"}, nil))
	wantKind(t, err, gatehouse.Invalid, "endpoint 1235 of the import", `"pump 7": name: `, "from number 1001 on")
	if done.Created != 1000 || account(t, d).Count(directory.KindEndpoint) != 1000 {
		t.Fatalf("it says it created %d, and there are %d", done.Created, account(t, d).Count(directory.KindEndpoint))
	}
	broken := errors.New("line 1235 is not JSON")
	done, err = d.Import(ctx, "acme", after(1234, nil, broken))
	if !errors.Is(err, broken) || done.Created != 234 || done.Unchanged != 1000 {
		t.Fatalf("import of a broken stream: %+v, %v", done, err)
	}
}
