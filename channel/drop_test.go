package channel_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/channel"
	"github.com/gatehouse/gatehouse/engine"
)

// longer begins with the name of telemetry, and is another.
var longer = channel.ID{Account: "Acme", Channel: "Telemetry2"}

// furnish gives a channel one of all that is kept of one, in all partitions.
func (r *rig) furnish(id channel.ID) {
	r.t.Helper()
	ctx := context.Background()
	for _, key := range r.keys() {
		if id.Account != telemetry.Account {
			break // put is for that one
		}
		m := msg("of " + id.String() + key)
		m.Key = key
		r.put(m, to(time.Hour, id))
	}
	for p := range r.Partitions() {
		shard := engine.Shard(p)
		for _, group := range []string{"$handler/h", "$handler/h2", "billing"} {
			r.must(r.SetCursor(ctx, id, group, shard, 7))
			r.must(r.commit.Do(ctx, shard, &engine.Op{State: []engine.Row{{Key: channel.MarkKey(id, group, 3), Value: []byte("x")}}}))
		}
		for _, h := range []string{"h", "h2"} {
			dead := channel.DeadRecord(id, h, msg("dead of "+h), gatehouse.DeadLetter{Reason: "r"})
			r.must(r.commit.Do(ctx, shard, &engine.Op{Records: []engine.Record{dead}}))
		}
	}
}

// keys returns an ordering key for each partition.
func (r *rig) keys() []string {
	keys := make([]string, r.Partitions())
	for found, i := 0, 0; found < len(keys); i++ {
		key := strings.Repeat("k", i)
		if p := r.Shard(telemetry.Account, key); keys[p] == "" && key != "" {
			keys[p] = key
			found++
		}
	}
	return keys
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// kept lists all rows, and all records of logs whose streams are given.
func (r *rig) kept(ids ...channel.ID) []string {
	r.t.Helper()
	var all []string
	for p := range r.Partitions() {
		shard := engine.Shard(p)
		r.must(r.engine.State(shard).Scan("", func(key string, _ []byte) bool {
			all = append(all, key)
			return true
		}))
		for _, id := range ids {
			for _, name := range []string{"", "/$dead/h", "/$dead/h2"} {
				stream := id.String() + name
				_, next, _, err := r.engine.Log(shard, stream).Bounds(context.Background())
				r.must(err)
				if next != 0 {
					all = append(all, "log "+stream)
				}
			}
		}
	}
	slices.Sort(all)
	return all
}

func (r *rig) wantKept(want []string, ids ...channel.ID) {
	r.t.Helper()
	if got := r.kept(ids...); !slices.Equal(got, want) {
		r.t.Errorf("kept are %q; want %q", got, want)
	}
}

var all = []channel.ID{telemetry, longer, alerts}

func TestDrop(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.furnish(longer)
	r.furnish(alerts)
	others := r.kept(all...)
	r.furnish(telemetry)
	last := r.put(msg("last"), to(0, telemetry)).Offset
	for range 2 { // the second time there is nothing
		r.must(r.Drop(context.Background(), channel.ID{Account: "aCME", Channel: "tELEMETRY"}))
		r.wantKept(others, all...)
		r.want(telemetry)
	}
	r.restart()
	r.wantKept(others, all...)
	// A message of the next channel of that name is no duplicate of one before,
	// and reading from the beginning finds nothing else.
	again := msg("of " + telemetry.String() + r.keys()[0])
	again.Key = r.keys()[0]
	if a := r.put(again, to(time.Hour, telemetry)); a.Duplicate || a.Offset <= last && a.Shard == r.Shard("acme", "") {
		t.Errorf("duplicate: %v; offset %d", a.Duplicate, a.Offset)
	}
	r.want(telemetry, again.ID)
	if _, ok, err := r.Cursor(telemetry, "billing", 0); ok || err != nil {
		t.Errorf("there is a cursor: %v, %v", ok, err)
	}
	r.must(r.Drop(context.Background(), telemetry, longer, alerts))
	r.wantKept(nil, all...)
}

func TestDropHandlers(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.furnish(telemetry)
	r.furnish(longer)
	before := r.kept(all...)
	r.must(r.DropHandlers(context.Background(), channel.Handler{Channel: telemetry, Name: "H", Groups: []string{"$handler/H", "$dead/H"}}))
	stream := telemetry.String()
	gone := []string{"cursor/" + stream + "/$handler/h", "mark/" + stream + "/$handler/h/3", "log " + stream + "/$dead/h"}
	for _, kept := range gone {
		if !slices.Contains(before, kept) {
			t.Fatalf("%q was not there", kept)
		}
	}
	r.wantKept(slices.DeleteFunc(before, func(kept string) bool { return slices.Contains(gone, kept) }), all...)
}

func TestDropAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t)
		other := channel.ID{Account: "Acme2", Channel: "Telemetry"}
		r.furnish(other)
		kept := r.kept(append(all, other)...)
		r.furnish(telemetry)
		r.furnish(alerts)
		for _, m := range []*gatehouse.Message{
			meant("names one", true, "Telemetry", "channels/telemetry"),
			meant("names none", true, "Telemetry"),
			meant("trusted", false, "Alerts"),
		} {
			r.schedule(m, time.Hour, nil)
		}
		r.must(r.DropAccount(context.Background(), "ACME"))
		got := slices.DeleteFunc(r.kept(append(all, other)...), func(key string) bool { return key == "scheduled" })
		if !slices.Equal(got, kept) {
			t.Errorf("kept are %q; want %q", got, kept)
		}
	})
}

// meant returns a message as the gate would schedule it.
func meant(id string, endpoint bool, where gatehouse.ChannelName, to ...string) *gatehouse.Message {
	m := msg(id)
	m.Channel, m.To, m.Source = where, to, "/Acme/$policies/backend"
	if endpoint {
		m.Source = "/Acme/endpoints/pump-7"
	}
	return m
}

// TestDropUnschedules says which scheduled messages go with a channel, and what
// becomes of the others.
func TestDropUnschedules(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t)
		type message struct {
			m     *gatehouse.Message
			to    []string // that is left
			meant gatehouse.ChannelName
			gone  bool
		}
		all := []message{
			{m: meant("one", true, "Telemetry", "channels/telemetry"), gone: true},
			{m: meant("one and an endpoint", true, "Telemetry", "endpoints/a", "Channels/TELEMETRY"), gone: true},
			{m: meant("two", true, "Telemetry", "channels/Telemetry", "channels/Alerts"), to: []string{"channels/Alerts"}, meant: "Alerts"},
			{m: meant("two, meant for the other", true, "Alerts", "channels/Alerts", "endpoints/a", "channels/telemetry"), to: []string{"channels/Alerts", "endpoints/a"}, meant: "Alerts"},
			{m: meant("another", true, "Telemetry2", "channels/Telemetry2"), to: []string{"channels/Telemetry2"}, meant: "Telemetry2"},
			{m: meant("none", true, "Telemetry", "endpoints/a"), to: []string{"endpoints/a"}},
			{m: meant("none, meant for another", true, "Alerts"), meant: "Alerts"},
			{m: meant("trusted", false, "Telemetry", "channels/Alerts"), gone: true},
			{m: meant("trusted, to another", false, "Alerts", "channels/Telemetry"), to: []string{"channels/Telemetry"}, meant: "Alerts"},
		}
		numbers := make(map[string]uint64)
		for i := range all {
			numbers[all[i].m.ID] = r.schedule(all[i].m, time.Hour, nil).Sequence
		}
		r.must(r.Drop(context.Background(), telemetry))
		left := make(map[string]*gatehouse.Message)
		for _, source := range []string{"/Acme/endpoints/pump-7", "/Acme/$policies/backend"} {
			waiting, err := r.ScheduledBy(channel.Sender{Source: source}, 0, 100)
			r.must(err)
			for _, w := range waiting {
				left[w.Message.ID] = w.Message
				if w.Sequence != numbers[w.Message.ID] {
					t.Errorf("%s has number %d; want %d", w.Message.ID, w.Sequence, numbers[w.Message.ID])
				}
			}
		}
		for i := range all {
			a := &all[i]
			got := left[a.m.ID]
			if a.gone != (got == nil) {
				t.Errorf("%s: gone is %v; want %v", a.m.ID, got == nil, a.gone)
			}
			if got != nil && (!slices.Equal(got.To, a.to) || got.Channel != a.meant || string(got.Body) != string(a.m.Body)) {
				t.Errorf("%s: to %q, meant for %q; want %q, %q", a.m.ID, got.To, got.Channel, a.to, a.meant)
			}
		}
		if n, err := r.Scheduled(r.Shard("acme", "")); n != 6 || err != nil {
			t.Errorf("%d are scheduled, %v; want 6", n, err)
		}
	})
}

// TestDropUnschedulesMany takes more than one commit.
func TestDropUnschedulesMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t)
		const n = 1000
		for i := range n {
			where := telemetry.Channel
			if i%4 == 0 {
				where = alerts.Channel
			}
			r.schedule(meant("m", false, where), time.Hour+time.Duration(i), nil)
		}
		r.must(r.Drop(context.Background(), telemetry))
		if left, err := r.Scheduled(r.Shard("acme", "")); left != n/4 || err != nil {
			t.Errorf("%d are scheduled, %v; want %d", left, err, n/4)
		}
	})
}

// TestDropFails says that dropping is done again after a failure.
func TestDropFails(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.furnish(telemetry)
	r.engine.Fail(errDisk)
	if err := r.Drop(context.Background(), telemetry); !isDisk(err) {
		t.Errorf("Drop: %v", err)
	}
	r.engine.Fail(nil)
	r.must(r.Drop(context.Background(), telemetry))
	r.wantKept(nil, all...)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	r.furnish(telemetry)
	if err := r.Drop(ctx, telemetry); err == nil {
		t.Error("Drop succeeded though its context had ended")
	}
}
