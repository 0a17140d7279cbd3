package pebbledb_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/engine/pebbledb"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// testOptions suit many small engines at once.
func testOptions(fs vfs.FS) pebbledb.Options {
	return pebbledb.Options{Dir: "store", FS: fs, Shards: 4, Cache: 1 << 20, MemTable: 256 << 10, MinFree: -1, Reserve: -1}
}

func open(t testing.TB, o pebbledb.Options) *pebbledb.Engine {
	t.Helper()
	e, err := pebbledb.Open(o)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

// patience is how long a test waits for what must happen.
const patience = time.Minute

func withPatience(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// try commits b and returns the outcome.
func try(e *pebbledb.Engine, s engine.Shard, b *engine.Batch) error {
	done := make(chan error, 1)
	e.Commit(s, b, func(err error) { done <- err })
	return <-done
}

func commit(t testing.TB, e *pebbledb.Engine, s engine.Shard, b *engine.Batch) {
	t.Helper()
	if err := try(e, s, b); err != nil {
		t.Fatalf("Commit: %v", err)
	}
}

func own(t testing.TB, e *pebbledb.Engine, s engine.Shard) engine.Queues {
	t.Helper()
	q, err := e.Own(withPatience(t), s, func(string, engine.Envelope) {})
	if err != nil {
		t.Fatalf("Own: %v", err)
	}
	return q
}

func record(queue bool, stream string, data string) engine.Record {
	return engine.Record{Stream: stream, Queue: queue, Data: []byte(data)}
}

// contents returns the data of all records of a queue, by offset.
func contents(t testing.TB, q engine.Queues, queue string) map[gatehouse.Offset]string {
	t.Helper()
	all := make(map[gatehouse.Offset]string)
	var after gatehouse.Offset
	for {
		page, err := q.Scan(context.Background(), queue, after, 1000, true, nil)
		if err != nil {
			t.Fatalf("Scan: %v", err)
		}
		if len(page) == 0 {
			return all
		}
		for _, e := range page {
			all[e.Offset] = string(e.Data)
			after = e.Offset
		}
	}
}

// numbered returns a text that says which one it is.
func numbered(what string, n int) string { return fmt.Sprintf("%s-%06d", what, n) }
