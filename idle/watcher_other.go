//go:build !linux

package idle

import (
	"net"
	"time"
)

// A Watcher watches nothing.
type Watcher struct{}

// A Place is that of a connection at a Watcher.
type Place struct{}

// New returns a Watcher.
func New() (*Watcher, error) { return new(Watcher), nil }

// Close ends the watching.
func (*Watcher) Close() {}

// Watch reports false: nobody will be told.
func (*Watcher) Watch(*Place, net.Conn, time.Time, Awaker) bool { return false }

// Wake does nothing.
func (*Watcher) Wake(*Place) {}
