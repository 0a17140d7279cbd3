//go:build !linux

package bench

import (
	"os"
	"syscall"
)

// datasync makes what was written to f durable.
func datasync(f *os.File) error { return f.Sync() }

// portLater does nothing where there is no such option.
func portLater(_, _ string, _ syscall.RawConn) error { return nil }
