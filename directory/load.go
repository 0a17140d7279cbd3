package directory

import (
	"context"
	"fmt"
	"runtime"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"

	"golang.org/x/sync/errgroup"
)

// chunkRows is how many rows are decoded in one go.
const chunkRows = 1024

// A chunk is consecutive rows being decoded.
type chunk struct {
	rows []row
	done chan struct{}
}

// load reads the table into the first snapshot. One goroutine scans it, some
// decode endpoints, and this one puts the rows in, in order of key. All have
// ended when it returns.
func (d *Directory) load(ctx context.Context) error {
	decode := make(chan *chunk, 2*runtime.GOMAXPROCS(0))
	inOrder := make(chan *chunk, cap(decode))
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(decode)
		defer close(inOrder)
		return d.scan(ctx, decode, inOrder)
	})
	decoders := make([]*decoder, runtime.GOMAXPROCS(0))
	for i := range decoders {
		decoders[i] = newDecoder()
		group.Go(func() error { return decodeChunks(decode, decoders[i]) })
	}
	b := d.build(new(Snapshot))
	b.loading = true
	group.Go(func() error { return b.collect(ctx, inOrder) })
	if err := group.Wait(); err != nil {
		return err
	}
	d.decoder = decoders[0]
	now, err := b.finish()
	if err != nil {
		return gatehouse.Errorf(gatehouse.Internal, "stored rules do not compile: %w", err)
	}
	b.sign(now, d.watched)
	d.current.Store(now)
	d.told = now
	return nil
}

// scan reads the table in chunks. The revision it has seen becomes watched.
func (d *Directory) scan(ctx context.Context, decode, inOrder chan<- *chunk) error {
	c := &chunk{rows: make([]row, 0, chunkRows), done: make(chan struct{})}
	send := func() error {
		for _, to := range []chan<- *chunk{decode, inOrder} {
			select {
			case to <- c:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		c = &chunk{rows: make([]row, 0, chunkRows), done: make(chan struct{})}
		return nil
	}
	revision, err := d.table.Scan(ctx, "", func(r engine.TableRow) error {
		if r.Key == vaultRow {
			return nil
		}
		account, k, name, ok := splitKey(r.Key)
		if !ok {
			return unknownRow(r.Key)
		}
		c.rows = append(c.rows, row{account: account, kind: k, name: name, value: r.Value, revision: r.Revision})
		if len(c.rows) < chunkRows {
			return nil
		}
		return send()
	})
	if err != nil {
		return err
	}
	d.watched = revision
	return send()
}

func unknownRow(key string) error {
	return gatehouse.Errorf(gatehouse.Internal, "the directory has a row %q that this version of Gatehouse does not know; it was written by a newer one", key)
}

func decodeChunks(chunks <-chan *chunk, d *decoder) error {
	for c := range chunks {
		for i := range c.rows {
			r := &c.rows[i]
			if r.kind != KindEndpoint {
				continue
			}
			var err error
			if r.endpoint, err = d.endpoint(r.value, r.revision); err != nil {
				return badRow(*r, err)
			}
			if r.endpoint.key != r.name {
				return badRow(*r, fmt.Errorf("it is the definition of %q", r.endpoint.name))
			}
			r.value = nil
		}
		close(c.done)
	}
	return nil
}

// collect puts the rows of chunks into b.
func (b *build) collect(ctx context.Context, chunks <-chan *chunk) error {
	for c := range chunks {
		select {
		case <-c.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		for i := range c.rows {
			if err := b.apply(c.rows[i]); err != nil {
				return err
			}
		}
	}
	return nil
}
