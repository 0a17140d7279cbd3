//go:build unix

package bench

import (
	"syscall"
	"time"
)

// processorTime is how long the process has kept processors busy.
func processorTime() time.Duration {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r) // cannot fail with these arguments
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// mostFiles is how many files the process may have open. The runtime has raised
// the limit as far as it goes.
func mostFiles() (uint64, error) {
	var l syscall.Rlimit
	err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l)
	return uint64(l.Cur), err
}
