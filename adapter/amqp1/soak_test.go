package amqp1

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/adapter/adaptertest"
	"github.com/gatehouse/gatehouse/amqp/frame"
	"github.com/gatehouse/gatehouse/auth/secret"
	"github.com/gatehouse/gatehouse/config"
	"github.com/gatehouse/gatehouse/directory"

	"go.uber.org/goleak"
)

// Size of the soak test.
const (
	soakConnections = 10_000
	soakClients     = 32      // connections at a time
	soakMargin      = 8 << 20 // bytes that may be held more than before: about 800 for each connection
)

// TestSoak opens and ends 10,000 connections in all ways there are, several at
// a time. Nothing of them stays: no goroutine, session or memory; and what a
// client held that was cut off can be received when its lock has expired.
func TestSoak(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some 10 s")
	}
	s := newSoak(t)
	kinds := []func() error{s.clean, s.wait, s.cutHello, s.cutSilent, s.cutTransfer, s.cutLock, s.resetWaiting, s.refused}
	locks := soakConnections / len(kinds)
	s.publish(locks + 8*len(kinds)) // one for each connection that holds one, warm-up included
	s.rush(kinds, 8*len(kinds))     // buffers, pools and tables are there
	goroutines, heap := goleak.IgnoreCurrent(), heapInUse()
	s.rush(kinds, soakConnections)

	s.open.Wait() // the gateway has noticed the end of all
	s.receiveAll(int(s.sent))
	s.open.Wait()
	if grown := heapInUse() - heap; grown > soakMargin {
		t.Errorf("%d bytes more are held than before", grown)
	}
	s.stop()
	if left := s.world.Gate.Sessions(adaptertest.Account); len(left) > 0 {
		t.Errorf("%d sessions are left, such as %+v", len(left), left[0].Info())
	}
	if err := goleak.Find(goroutines); err != nil {
		t.Errorf("goroutines are left: %v", err)
	}
}

func heapInUse() int64 {
	runtime.GC()
	runtime.GC() // pools let go in the second collection
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// A soak is an adapter that a crowd connects to.
type soak struct {
	site
	open sync.WaitGroup // connections that the adapter has not closed
	sent uint32         // messages to the receiver
	stop func()
}

func newSoak(t *testing.T) *soak {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	s := &soak{site: site{t: t, world: adaptertest.NewWorld(t, newEngine, secret.New), address: ln.Addr().String()}}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- New(Options{}).Serve(ctx, &countingListener{ln, &s.open}, s.world.Gate) }()
	lock, often := config.Duration(time.Second), -1 // a slow machine takes long enough for a message to be lost many times
	_, err = s.world.Directory.Update(ctx, adaptertest.Account, directory.Change{Spec: &directory.EndpointSpec{
		Name: adaptertest.Receiver, AllowPlaintext: true, Inbox: &directory.InboxSpec{Lock: &lock, MaxDeliveries: &often},
	}})
	must(t, err)
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(s.stop)
	return s
}

// A countingListener counts connections that were accepted and not closed.
type countingListener struct {
	net.Listener
	open *sync.WaitGroup
}

func (l *countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.open.Add(1)
	return &countedConn{c.(*net.TCPConn), sync.OnceFunc(l.open.Done)}, nil
}

type countedConn struct {
	*net.TCPConn
	closed func()
}

func (c *countedConn) Close() error {
	defer c.closed()
	return c.TCPConn.Close()
}

// publish sends messages to the receiver.
func (s *soak) publish(n int) {
	c, err := s.raw()
	must(s.t, err)
	must(s.t, c.attachSender())
	must(s.t, c.publish(n, 0, payloadTo(gatehouse.EndpointPrefix+adaptertest.Receiver)))
	must(s.t, c.shut())
	s.sent += uint32(n)
}

// receiveAll completes messages: it waits for those that are locked.
func (s *soak) receiveAll(n int) {
	c, err := s.raw()
	must(s.t, err)
	must(s.t, c.attachReceiver())
	must(s.t, c.grant(1<<20))
	must(s.t, c.complete(n))
	must(s.t, c.shut())
}

// rush opens n connections, of each kind in turn.
func (s *soak) rush(kinds []func() error, n int) {
	var next atomic.Int64
	errs := make(chan error, soakClients)
	for range soakClients {
		go func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				kind := int(i) % len(kinds)
				if err := kinds[kind](); err != nil {
					errs <- fmt.Errorf("connection %d, of kind %d: %w", i, kind, err)
					return
				}
			}
			errs <- nil
		}()
	}
	for range soakClients {
		must(s.t, <-errs)
	}
}

// shut closes the connection as the protocol has it.
func (c *rawClient) shut() error {
	defer c.Close()
	out := rawFrame(nil, frame.TypeAMQP, func(dst []byte) []byte { return frame.AppendClose(dst, nil) })
	if _, err := c.Write(out); err != nil {
		return err
	}
	for {
		code, _, err := c.next()
		if err != nil || code == frame.CodeClose {
			return err
		}
	}
}

// clean publishes a message and says goodbye.
func (s *soak) clean() error {
	c, err := s.raw()
	if err != nil {
		return err
	}
	if err := errors.Join(c.attachSender(), c.publish(1, 0, payloadTo(""))); err != nil {
		return err
	}
	return c.shut()
}

// wait waits for dead letters, of which there are none, and says goodbye.
func (s *soak) wait() error {
	c, err := s.waiting()
	if err != nil {
		return err
	}
	return c.shut()
}

func (s *soak) waiting() (*rawClient, error) {
	c, err := s.raw()
	if err != nil {
		return nil, err
	}
	a := receiverAttach()
	a.Source.Address += "/$deadletterqueue"
	return c, errors.Join(c.attach(receiverUser, adaptertest.ListenKey(adaptertest.Receiver), a), c.grant(1))
}

// cutHello is cut off in the middle of the handshake.
func (s *soak) cutHello() error {
	c, err := s.raw()
	if err != nil {
		return err
	}
	defer c.Close()
	all := hello(receiverUser, adaptertest.ListenKey(adaptertest.Receiver))
	_, err = c.Write(all[:len(all)/2])
	return err
}

// cutSilent says nothing at all.
func (s *soak) cutSilent() error {
	c, err := s.raw()
	if err != nil {
		return err
	}
	return c.Close()
}

// cutTransfer is cut off in the middle of a frame, in the middle of a message.
func (s *soak) cutTransfer() error {
	c, err := s.raw()
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.attachSender(); err != nil {
		return err
	}
	out := appendTransfer(nil, 0, 0, true, make([]byte, 1000))
	out = append(out, out[:len(out)/2]...)
	_, err = c.Write(out)
	return err
}

// cutLock is cut off when it has a message under a lock.
func (s *soak) cutLock() error {
	c, err := s.raw()
	if err != nil {
		return err
	}
	defer c.Close()
	return errors.Join(c.attachReceiver(), c.grant(1), c.until(frame.CodeTransfer))
}

// resetWaiting has its connection reset while it waits for messages.
func (s *soak) resetWaiting() error {
	c, err := s.waiting()
	if err != nil {
		return err
	}
	_ = c.Conn.(*net.TCPConn).SetLinger(0) // a socket can
	return c.Close()
}

// refused shows a wrong key.
func (s *soak) refused() error {
	c, err := s.raw()
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.attach(receiverUser, "wrong", receiverAttach()); err == nil {
		return errors.New("a wrong key was accepted")
	}
	return nil
}
