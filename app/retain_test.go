package app

import (
	"fmt"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/channel"
	"github.com/gatehouse/gatehouse/config"
	"github.com/gatehouse/gatehouse/directory"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/gate"
)

// TestRetention fills a channel that keeps 1 MiB and one that keeps all, and
// drops what is past their retention.
func TestRetention(t *testing.T) {
	t.Parallel()
	cfg, err := config.Parse(fmt.Appendf(nil, "data: %q\nadmin: {address: '127.0.0.1:0'}\nengine: {kind: memory}\nshards: 1\nlisteners: [{adapter: http, address: '127.0.0.1:0'}]\n", t.TempDir()), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	a, err := New(t.Context(), cfg, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}()
	short := directory.ChannelSpec{Name: "short", Retention: directory.Retention{Bytes: 1 << 20}, Duplicates: config.Duration(time.Hour)}
	file := &directory.File{Account: "acme", Channels: []directory.ChannelSpec{short, {Name: "long"}}}
	if _, err := a.Directory.Apply(t.Context(), file, false); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	appendTo(t, a, now, 64, channel.Target{Channel: "short", Duplicates: time.Hour}, channel.Target{Channel: "long"})
	shortBefore, longBefore := firstOf(t, a, "short"), firstOf(t, a, "long")

	a.retainAll(t.Context(), now)
	if first := firstOf(t, a, "short"); first <= shortBefore {
		t.Errorf("the channel that keeps 1 MiB still begins at offset %d", first)
	}
	if first := firstOf(t, a, "long"); first != longBefore {
		t.Errorf("the channel that keeps all begins at offset %d, not %d", first, longBefore)
	}
	if n := idsKept(t, a); n != 64 {
		t.Errorf("%d ids are kept within their window", n)
	}
	a.retainAll(t.Context(), now.Add(3*time.Hour))
	if n := idsKept(t, a); n != 0 {
		t.Errorf("%d ids are kept past their window", n)
	}
}

// TestRetentionOfDeadLetters says that dead letters leave in time, those of
// scheduled messages, which have no handler, included.
func TestRetentionOfDeadLetters(t *testing.T) {
	t.Parallel()
	a := openAt(t, t.TempDir())
	_, err := a.Directory.Apply(t.Context(), &directory.File{
		Account: "acme", Channels: []directory.ChannelSpec{{Name: "short", DeadLetterRetention: config.Duration(time.Nanosecond)}, {Name: "long"}},
		Handlers: []directory.HandlerSpec{{Name: "deliver", Channel: "short", Kind: "router"}},
	}, false)
	must(t, err)
	count := func(id channel.ID, handler string) (n int) {
		t.Helper()
		for p := range a.Channels.Partitions() {
			_, err := a.Channels.ReadDead(t.Context(), id, handler, engine.Shard(p), 0, nil, func(*gatehouse.Message) bool { n++; return true })
			must(t, err)
		}
		return n
	}
	const each = 3000 // of a kilobyte: more than what may stay
	for _, c := range []struct {
		channel gatehouse.ChannelName
		handler string
		stay    bool
	}{{"short", "deliver", false}, {"short", gate.ScheduleHandler, false}, {"long", gate.ScheduleHandler, true}} {
		id := channel.ID{Account: "acme", Channel: c.channel}
		var records []engine.Record
		for range each {
			records = append(records, channel.DeadRecord(id, c.handler, &gatehouse.Message{Body: make([]byte, 1<<10)}, gatehouse.DeadLetter{Reason: "test"}))
		}
		must(t, a.commit.Do(t.Context(), 0, &engine.Op{Records: records}))
		a.retainAll(t.Context(), time.Now())
		if n := count(id, c.handler); (n < each) == c.stay {
			t.Errorf("%d of %d dead letters of %s beside %s are left", n, each, c.handler, c.channel)
		}
	}
}

// appendTo stores n messages of 64 KiB in the targets.
func appendTo(t *testing.T, a *App, now time.Time, n int, targets ...channel.Target) {
	t.Helper()
	done := make(chan error, n)
	for i := range n {
		m := &gatehouse.Message{ID: fmt.Sprint(i), Enqueued: now, Body: make([]byte, 64<<10)}
		err := a.Channels.Append(t.Context(), &channel.Append{
			Account: "acme", Message: m, Targets: targets, Done: func(_ *channel.Append, err error) { done <- err },
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for range n {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
}

func firstOf(t *testing.T, a *App, name gatehouse.ChannelName) gatehouse.Offset {
	t.Helper()
	first, _, _, err := a.Channels.Bounds(t.Context(), channel.ID{Account: "acme", Channel: name}, 0)
	if err != nil {
		t.Fatal(err)
	}
	return first
}

// idsKept counts the rows of duplicate detection.
func idsKept(t *testing.T, a *App) (n int) {
	t.Helper()
	err := a.Engine.State(0).Scan("seen/", func(string, []byte) bool { n++; return true })
	if err != nil {
		t.Fatal(err)
	}
	return n
}
