package bench

import (
	"errors"
	"os"
	"syscall"
)

// datasync makes what was written to f durable.
func datasync(f *os.File) error { return syscall.Fdatasync(int(f.Fd())) }

// portLater has the port of a socket chosen when it connects
// (IP_BIND_ADDRESS_NO_PORT): see dialFrom.
func portLater(_, _ string, c syscall.RawConn) error {
	const bindAddressNoPort = 24
	var failed error
	err := c.Control(func(fd uintptr) {
		failed = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, bindAddressNoPort, 1)
	})
	return errors.Join(err, failed)
}
