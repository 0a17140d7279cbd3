package directory_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/directory"
)

// TestBefore says that Before is told what will differ, before it does, and may
// refuse it.
func TestBefore(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	e := newEngine(t)
	var d *directory.Directory
	var told []directory.Ref
	var refusal error
	d = open(t, e, func(o *directory.Options) {
		o.Before = func(_ context.Context, old, now *directory.Snapshot, changed []directory.Ref) error {
			if old != d.Current() || now == old {
				t.Error("the change is in force already")
			}
			told = append(told, changed...)
			return refusal
		}
	})
	f := &directory.File{Account: "acme", Channels: []directory.ChannelSpec{{Name: "work"}, {Name: "other"}}}
	if _, err := d.Diff(ctx, f, false); err != nil || len(told) != 0 {
		t.Fatalf("told %v of a change that is not made, %v", told, err)
	}
	account := directory.Ref{Kind: directory.KindAccount, Account: "acme", Name: "acme"}
	work := directory.Ref{Kind: directory.KindChannel, Account: "acme", Name: "work"}
	other := directory.Ref{Kind: directory.KindChannel, Account: "acme", Name: "other"}
	apply := func() error { _, err := d.Apply(ctx, f, false); return err }
	remove := func(r directory.Ref) func() error {
		return func() error { return d.Delete(ctx, r.Account, r.Kind, r.Name, 0) }
	}
	want := func(what string, change func() error, want ...directory.Ref) {
		t.Helper()
		told = nil
		if err := change(); !errors.Is(err, refusal) {
			t.Fatalf("%s: %v; want %v", what, err, refusal)
		}
		if len(told) != len(want) || slices.ContainsFunc(want, func(r directory.Ref) bool { return !slices.Contains(told, r) }) {
			t.Errorf("%s: told %v; want %v", what, told, want)
		}
	}
	want("create", apply, account, work, other)
	want("nothing changes", apply)
	want("delete one", remove(work), work)
	want("delete all", remove(account), account, other)
	want("create again", apply, account, work, other)

	refusal = gatehouse.Errorf(gatehouse.Conflict, "not yet")
	want("refused", remove(work), work)
	if d.Current().Account("acme").Channel("work") == nil {
		t.Error("what was refused is in force")
	}
	if _, err := e.Table("directory").Get(ctx, "acme/c/work"); err != nil {
		t.Errorf("what was refused is stored: %v", err)
	}
	refusal = nil
	want("once it may", remove(work), work)
}
