package channel_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/channel"
	"github.com/gatehouse/gatehouse/engine"
)

func TestCursors(t *testing.T) {
	t.Parallel()
	r := start(t)
	ctx := context.Background()
	if _, ok, err := r.Cursor(telemetry, "g", 0); ok || err != nil {
		t.Errorf("a group that is new has a cursor: %v, %v", ok, err)
	}
	set := func(id channel.ID, group string, p engine.Shard, next gatehouse.Offset) {
		t.Helper()
		if err := r.SetCursor(ctx, id, group, p, next); err != nil {
			t.Fatal(err)
		}
	}
	set(telemetry, "Billing", 1, 7)
	set(telemetry, "$handler/answers", 1, 8)
	set(telemetry, "billing", 3, 9)
	set(channel.ID{Account: "acme", Channel: "telemetry-2"}, "billing", 1, 100)
	r.restart()
	if next, ok, err := r.Cursor(telemetry, "BILLING", 3); next != 9 || !ok || err != nil {
		t.Errorf("Cursor: %d, %v, %v", next, ok, err)
	}
	all, err := r.Cursors(telemetry)
	want := []channel.GroupCursor{{Group: "$handler/answers", Partition: 1, Next: 8}, {Group: "billing", Partition: 1, Next: 7}, {Group: "billing", Partition: 3, Next: 9}}
	if err != nil || !slices.Equal(all, want) {
		t.Errorf("Cursors: %v, %v; want %v", all, err, want)
	}
	if err := r.RemoveGroup(ctx, telemetry, "bIlling"); err != nil {
		t.Fatal(err)
	}
	if all, err := r.Cursors(telemetry); err != nil || !slices.Equal(all, want[:1]) {
		t.Errorf("after RemoveGroup: %v, %v; want %v", all, err, want[:1])
	}
}

func TestDamagedCursor(t *testing.T) {
	t.Parallel()
	r := start(t)
	row := channel.CursorRow(telemetry, "g", 1)
	row.Value = row.Value[:3]
	if err := r.commit.Do(context.Background(), 0, &engine.Op{State: []engine.Row{row}}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Cursor(telemetry, "g", 0); !errors.Is(err, gatehouse.Internal) {
		t.Errorf("Cursor: %v; want Internal", err)
	}
	if _, err := r.Cursors(telemetry); !errors.Is(err, gatehouse.Internal) {
		t.Errorf("Cursors: %v; want Internal", err)
	}
}

func TestLag(t *testing.T) {
	t.Parallel()
	r := start(t)
	ctx := context.Background()
	shard := r.Shard("acme", "")
	lag := func(next gatehouse.Offset) channel.Lag {
		t.Helper()
		l, err := r.Lag(ctx, telemetry, shard, next)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	if l := lag(0); l != (channel.Lag{}) {
		t.Errorf("of an empty channel: %+v", l)
	}
	before := time.Now()
	var offsets []gatehouse.Offset
	for i := range 3 {
		offsets = append(offsets, r.put(msg(fmt.Sprint(i)), to(0, telemetry, alerts)).Offset)
	}
	for i, want := range []uint64{3, 2, 1} {
		l := lag(offsets[i])
		if l.Offsets < want || l.Oldest.Before(before) || l.Oldest.After(time.Now()) {
			t.Errorf("with %d messages to read: %+v", want, l)
		}
	}
	if l := lag(offsets[2] + 1); l != (channel.Lag{}) {
		t.Errorf("at the end: %+v", l)
	}
	r.engine.Damage(shard, telemetry.Stream(), false, offsets[0])
	if l := lag(0); l.Offsets < 3 {
		t.Errorf("before a damaged message: %+v", l)
	}
}
