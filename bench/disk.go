package bench

import (
	"context"
	"os"
	"path/filepath"
)

// disk measures how long the disk takes to make 256 bytes durable: what every
// acknowledgement waits for.
func (r *run) disk(ctx context.Context) error {
	dir, remove, err := r.folder()
	if err != nil {
		return err
	}
	defer remove()
	f, err := os.Create(filepath.Join(dir, "file"))
	if err != nil {
		return err
	}
	defer f.Close()
	record := make([]byte, 256)
	m, err := measure(ctx, 1, min(r.For, maxDisk), true, func(int) (turn, error) {
		return func(context.Context) error {
			if _, err := f.Write(record); err != nil {
				return err
			}
			return datasync(f)
		}, nil
	})
	if err != nil {
		return err
	}
	r.line("  fdatasync p50 %v  p90 %v  p99 %v  worst %v  (%d writes)", m.quantile(0.5), m.quantile(0.9), m.quantile(0.99), m.quantile(1), m.n)
	r.noteTimes("fdatasync", m)
	r.note("fdatasync, worst", milliseconds(m.quantile(1)), "ms")
	return nil
}
