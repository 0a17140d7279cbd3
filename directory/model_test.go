package directory_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/config"
	"github.com/gatehouse/gatehouse/directory"
	"github.com/gatehouse/gatehouse/restrict"
	"github.com/gatehouse/gatehouse/rule"

	"pgregory.net/rapid"
)

// drawSpec draws a definition that may or may not go with what is there.
func drawSpec(t *rapid.T, n int) directory.Spec {
	name := fmt.Sprintf("%c%d", rapid.SampledFrom([]rune("nN")).Draw(t, "case"), rapid.IntRange(0, 3).Draw(t, "name"))
	other := fmt.Sprintf("n%d", rapid.IntRange(0, 3).Draw(t, "other"))
	switch rapid.SampledFrom(directory.Kinds()).Draw(t, "kind") {
	case directory.KindAccount:
		return &directory.AccountSpec{Name: "acme", Description: fmt.Sprint(n), Disabled: rapid.Bool().Draw(t, "disabled")}
	case directory.KindEndpoint:
		return drawEndpoint(t, name, n)
	case directory.KindChannel:
		return &directory.ChannelSpec{Name: name, Duplicates: config.Duration(n), Retention: directory.Retention{Bytes: config.Size(n)}}
	case directory.KindRoute:
		return routeSpec(name, other, rapid.SampledFrom([]string{"*", "n1", "n2*"}).Draw(t, "channels"))
	case directory.KindRestriction:
		return &directory.RestrictionSpec{Restriction: restrict.Restriction{
			Name: name, Endpoints: rule.Selector{Labels: "site=" + other}, ContentTypes: []string{"text/plain"},
		}}
	case directory.KindHandler:
		return &directory.HandlerSpec{Name: name, Channel: other, Kind: "router", Description: fmt.Sprint(n)}
	}
	return &directory.PolicySpec{Name: name, Rights: rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"send", "listen", "manage", "channels"}), 1, 4, rapid.ID).Draw(t, "rights")}
}

func drawEndpoint(t *rapid.T, name string, n int) *directory.EndpointSpec {
	e := &directory.EndpointSpec{
		Name: name, Description: fmt.Sprint(n), AllowPlaintext: rapid.Bool().Draw(t, "plaintext"),
		Labels: rapid.MapOfN(rapid.SampledFrom([]string{"site", "kind"}), rapid.SampledFrom([]string{"n0", "n1", "n2", "n3"}), 0, 2).Draw(t, "labels"),
	}
	if rapid.Bool().Draw(t, "sets disabled") {
		disabled := rapid.Bool().Draw(t, "disabled")
		e.Disabled = &disabled
	}
	if rapid.Bool().Draw(t, "sets revoked") {
		e.Revoked = &directory.Revoked{Send: rapid.Bool().Draw(t, "send"), Listen: rapid.Bool().Draw(t, "listen")}
	}
	if rapid.Bool().Draw(t, "gives keys") {
		e.Keys = &directory.KeySpec{Send: []string{fmt.Sprintf("given-key-%08d", n)}}
	}
	if rapid.Bool().Draw(t, "has inbox") {
		e.Protocols = []string{"amqp", "mqtt"}
		e.Inbox = &directory.InboxSpec{MaxMessages: &n}
	}
	return e
}

// step makes one random change, through any of the ways there are.
func step(t *rapid.T, d *directory.Directory, n int) error {
	ctx := context.Background()
	name := fmt.Sprintf("n%d", rapid.IntRange(0, 3).Draw(t, "target"))
	endpoint := gatehouse.EndpointName(name)
	sides := directory.Revoked{Send: rapid.Bool().Draw(t, "side send"), Listen: rapid.Bool().Draw(t, "side listen")}
	var err error
	switch rapid.IntRange(0, 9).Draw(t, "step") {
	case 0:
		_, err = d.Rotate(ctx, "acme", endpoint, gatehouse.PolicyListen, directory.Primary)
	case 1:
		_, err = d.RotatePolicy(ctx, "acme", gatehouse.PolicyName(name), directory.Secondary)
	case 2:
		err = d.Revoke(ctx, "acme", endpoint, sides)
	case 3:
		err = d.Restore(ctx, "acme", endpoint, sides)
	case 4:
		err = d.Delete(ctx, "acme", rapid.SampledFrom(directory.Kinds()[1:]).Draw(t, "deleted"), name, 0)
	case 5:
		if rapid.IntRange(0, 4).Draw(t, "all") == 0 {
			err = d.Delete(ctx, "acme", directory.KindAccount, "acme", 0)
		}
	default:
		changes := make([]directory.Change, rapid.IntRange(1, 5).Draw(t, "changes"))
		for i := range changes {
			changes[i].Spec = drawSpec(t, n*10+i)
		}
		_, err = d.Update(ctx, "acme", changes...)
	}
	return err
}

// A snapshot that came to be step by step is the one that a fresh directory
// reads from the tables, and what subscribers were told accounts for every
// difference.
func TestIncrementalEqualsRebuilt(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		e := newEngine(t)
		d := open(t, e)
		acme(t, d)
		put(t, d, &directory.ChannelSpec{Name: "n1"}, &directory.ChannelSpec{Name: "n2"})
		var told map[directory.Ref]bool
		d.Subscribe(func(old, now *directory.Snapshot, changed []directory.Ref) {
			if d.Current() != now || old == now {
				rt.Fatal("a subscriber was told of another snapshot than the present one")
			}
			for _, r := range changed {
				told[directory.Ref{Kind: r.Kind, Account: r.Account, Name: gatehouse.Fold(r.Name)}] = true
			}
		})
		for n := range rapid.IntRange(1, 25).Draw(rt, "steps") {
			before := dumpByRef(d)
			told = map[directory.Ref]bool{}
			revision := d.Current().Revision()
			if err := step(rt, d, n); err == nil && d.Current().Revision() < revision {
				rt.Fatalf("the revision went from %d to %d", revision, d.Current().Revision())
			}
			checkTold(rt, before, dumpByRef(d), told)
		}
		if got, want := dump(t, d), dump(t, open(t, e)); !slices.Equal(got, want) {
			rt.Fatalf("the snapshot is not what the tables say:\n%s", difference(got, want))
		}
	})
}

func dumpByRef(d *directory.Directory) map[directory.Ref]uint64 {
	all := map[directory.Ref]uint64{}
	for a := range d.Current().Accounts() {
		for _, k := range directory.Kinds() {
			for _, r := range a.Rows(k, "", 0) {
				all[directory.Ref{Kind: k, Account: r.Account, Name: gatehouse.Fold(r.Name)}] = r.Revision
			}
		}
	}
	return all
}

// checkTold compares what changed with what was told. Endpoints of a deleted
// account are not told of one by one.
func checkTold(t *rapid.T, before, after map[directory.Ref]uint64, told map[directory.Ref]bool) {
	want := map[directory.Ref]bool{}
	for r, revision := range before {
		if after[r] != revision && (r.Kind != directory.KindEndpoint || len(after) > 0) {
			want[r] = true
		}
	}
	for r := range after {
		if before[r] == 0 {
			want[r] = true
		}
	}
	for r := range want {
		if !told[r] {
			t.Fatalf("%s changed, and nobody was told", r)
		}
	}
	for r := range told {
		if !want[r] {
			t.Fatalf("%s did not change, and subscribers were told that it did", r)
		}
	}
}
