// Package idle waits for connections that have nothing to say. A goroutine that
// waits for one holds 2 to 8 KiB of stack and several hundred bytes beside it,
// as much as all the rest of a connection, and every collection of garbage looks
// at it. A Watcher holds about a hundred bytes, the kernel about as many.
//
// It only tells that there is something to read. Whoever is told reads, by
// package net or TLS, until nothing more comes.
//
// It uses epoll, and so does nothing on systems other than Linux.
package idle

import (
	"crypto/tls"
	"net"
	"syscall"
)

// An Awaker is what waits.
type Awaker interface {
	// Awake is called once for each Watch. It must not block.
	Awake()
}

// socket returns the socket of a connection, or nil.
func socket(nc net.Conn) syscall.RawConn {
	if secure, ok := nc.(*tls.Conn); ok {
		nc = secure.NetConn()
	}
	c, ok := nc.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}
