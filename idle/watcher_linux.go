package idle

import (
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// atOnce is how many events are taken at a time.
const atOnce = 256

// A Watcher watches connections. Its methods are safe for concurrent use.
type Watcher struct {
	fd    int      // of epoll
	file  *os.File // the same, which the runtime waits for
	begun time.Time
	over  chan struct{}

	mu     sync.Mutex
	closed bool
	places map[int32]*Place // that are watched, by file descriptor
	due    map[int64]*Place // the same by the second of their deadline, from begun: the first of a list
	swept  int64            // the second before which nothing is due any more
}

// A Place is that of one connection at one Watcher, for as long as it lives. The
// zero value is ready for use. It must not be copied.
type Place struct {
	// mu of the watcher guards all.
	who        Awaker // nil: it is not watched
	fd         int32
	registered bool // with epoll, which forgets it when it is closed
	second     int64
	next, prev *Place // that are due in the same second
}

// New returns a Watcher, which must be closed.
func New() (*Watcher, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := syscall.SetNonblock(fd, true); err != nil { // so that the runtime waits for it
		return nil, errors.Join(os.NewSyscallError("fcntl", err), syscall.Close(fd))
	}
	w := &Watcher{
		fd: fd, file: os.NewFile(uintptr(fd), "epoll"), begun: time.Now(), over: make(chan struct{}),
		places: make(map[int32]*Place), due: make(map[int64]*Place),
	}
	events, err := w.file.SyscallConn()
	if err != nil {
		return nil, errors.Join(err, w.file.Close())
	}
	go w.run(events)
	return w, nil
}

// Close ends the watching. Who waits still is told.
func (w *Watcher) Close() {
	w.mu.Lock()
	w.closed = true
	for _, p := range w.places {
		w.tell(p)
	}
	w.mu.Unlock()
	_ = w.file.Close() // run ends with it
	<-w.over
}

// Watch has who told as soon as there is something to read on nc, its other side
// has closed it, or it is until, with up to two seconds more. Nothing may have
// come whole that was not read. It reports false if that is not possible: then
// nobody will be told. A place can be watched only once at a time, and is to be
// woken when its connection is closed on this side.
func (w *Watcher) Watch(p *Place, nc net.Conn, until time.Time, who Awaker) bool {
	c := socket(nc)
	if c == nil {
		return false
	}
	done := false
	err := c.Control(func(fd uintptr) { // which cannot be that of another connection meanwhile
		w.mu.Lock()
		defer w.mu.Unlock()
		done = w.enter(p, int32(fd), until, who)
	})
	return done && err == nil
}

// enter begins to watch; w.mu is held.
func (w *Watcher) enter(p *Place, fd int32, until time.Time, who Awaker) bool {
	if w.closed {
		return false
	}
	op := syscall.EPOLL_CTL_ADD
	if p.registered {
		op = syscall.EPOLL_CTL_MOD
	}
	event := syscall.EpollEvent{Events: syscall.EPOLLIN | syscall.EPOLLRDHUP | syscall.EPOLLONESHOT, Fd: fd}
	if err := syscall.EpollCtl(w.fd, op, int(fd), &event); err != nil {
		return false // there are as many as the system allows
	}
	p.registered, p.who, p.fd = true, who, fd
	p.second = max(w.second(until)+1, w.swept)
	p.prev, p.next = nil, w.due[p.second]
	if p.next != nil {
		p.next.prev = p
	}
	w.due[p.second], w.places[fd] = p, p
	return true
}

// Wake has who waits at a place told at once, if anybody does.
func (w *Watcher) Wake(p *Place) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tell(p)
}

// tell ends the watching of a place; w.mu is held.
func (w *Watcher) tell(p *Place) {
	who := p.who
	if who == nil {
		return
	}
	p.who = nil
	if w.places[p.fd] == p { // its connection may be closed, and the descriptor that of another
		delete(w.places, p.fd)
	}
	switch {
	case p.prev != nil:
		p.prev.next = p.next
	case p.next != nil:
		w.due[p.second] = p.next
	default:
		delete(w.due, p.second)
	}
	if p.next != nil {
		p.next.prev = p.prev
	}
	p.next, p.prev = nil, nil
	who.Awake()
}

// run tells what happens, until the Watcher is closed.
func (w *Watcher) run(c syscall.RawConn) {
	defer close(w.over)
	events := make([]syscall.EpollEvent, atOnce)
	for {
		now := time.Now()
		w.sweep(w.second(now))
		n := 0
		err := w.file.SetReadDeadline(now.Add(time.Second))
		if err == nil {
			err = c.Read(func(fd uintptr) bool {
				n, _ = syscall.EpollWait(int(fd), events, 0) // no events and an error are the same
				return n > 0
			})
		}
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return // it is closed
		}
		w.mu.Lock()
		for i := range max(n, 0) {
			if p := w.places[events[i].Fd]; p != nil {
				w.tell(p)
			}
		}
		w.mu.Unlock()
	}
}

// second returns which second since the beginning t is in.
func (w *Watcher) second(t time.Time) int64 { return int64(t.Sub(w.begun) / time.Second) }

// sweep tells those whose time is over.
func (w *Watcher) sweep(now int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for ; w.swept <= now; w.swept++ {
		for p := w.due[w.swept]; p != nil; p = w.due[w.swept] {
			w.tell(p)
		}
	}
}
