package web

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/gate"
	"github.com/gatehouse/gatehouse/inbox"
	"github.com/gatehouse/gatehouse/signalr"
	"github.com/gatehouse/gatehouse/signalr/wire"
)

// SignalR returns a handler that serves endpoints as hubs of SignalR. stop ends
// its connections within the drain time, and returns when all are gone; the
// handler is not to be called any more then.
func (a *Adapter) SignalR(g *gate.Gate) (h http.Handler, stop func()) {
	v := &hubs{serving: newServing(a, g, ProtocolSignalR)}
	o := &a.options
	v.server = signalr.NewServer(v, signalr.Options{
		Origin: v.letsIn, MaxConnections: o.Connections, KeepAlive: o.KeepAlive, ClientTimeout: 2 * o.KeepAlive, WriteTimeout: o.WriteTime,
		MaxRecord: int(o.MaxBody*4/3) + maxEnvelope, Invocations: o.Sending, InvocationBytes: o.SendingBytes, SendBuffer: o.WindowBytes, Logger: o.Logger,
	})
	return http.HandlerFunc(v.serve), v.stop
}

// hubs are the connections of SignalR of one listener: the signalr.Hub of all
// endpoints.
type hubs struct {
	*serving
	server *signalr.Server
}

var _ signalr.Hub = (*hubs)(nil)

// negotiate is where clients begin, below the hub.
const negotiate = "negotiate"

func (v *hubs) serve(w http.ResponseWriter, r *http.Request) {
	r.URL.Path = strings.TrimSuffix(r.URL.Path, "/")
	switch rest := r.PathValue("rest"); {
	case rest == "":
	case strings.EqualFold(rest, negotiate):
		r.URL.Path = r.URL.Path[:len(r.URL.Path)-len(negotiate)] + negotiate
	default:
		v.refuse(w, gatehouse.Errorf(gatehouse.NotFound, "nothing is at this address; the hub is at /ACCOUNT/endpoints/ENDPOINT/signalr"))
		return
	}
	v.server.ServeHTTP(w, r)
}

// letsIn reports whether pages of an origin may use the endpoint of a request.
func (v *hubs) letsIn(r *http.Request, origin string) bool {
	return v.at.Origin(gatehouse.AccountName(r.PathValue("account")), gatehouse.EndpointName(r.PathValue("endpoint")), origin)
}

// stop ends the connections within the drain time.
func (v *hubs) stop() {
	deadline := time.Now().Add(v.options.Drain)
	v.stopSessions(deadline)
	ctx, cancel := context.WithDeadline(context.Background(), deadline.Add(minClosing))
	defer cancel()
	if err := v.server.Close(ctx); err != nil {
		v.options.Logger.Debug("clients of SignalR were cut off", "error", err)
	}
	v.cut()
}

// A hubClient is a client of SignalR.
type hubClient struct {
	*session
	auto   bool                              // the client's handler settles a delivery by returning
	ahead  int                               // how many bytes may wait when a delivery is handed over
	proof  atomic.Pointer[[sha256.Size]byte] // of what the client showed last
	conn   atomic.Pointer[signalr.Conn]      // nil until it is connected
	parted atomic.Pointer[time.Time]         // when the session ended
}

// Open implements signalr.Hub.
func (v *hubs) Open(r *http.Request) (any, error) {
	s, err := v.open(r, gatehouse.RightSend|gatehouse.RightListen)
	if err != nil {
		return nil, v.refusal(err)
	}
	c := &hubClient{session: s, auto: strings.EqualFold(r.URL.Query().Get("ack"), "auto"), ahead: maxAhead}
	if r.URL.Query().Get("useStatefulReconnect") == "true" {
		c.ahead = v.options.WindowBytes / 2
	}
	c.proof.Store(shownBy(r))
	s.deliver, s.ended = c.pass, c.part
	return c, nil
}

// refusal returns what a client is told of an error.
func (v *hubs) refusal(err error) *signalr.Refusal {
	p := v.tell(err)
	return &signalr.Refusal{Status: p.Status, Text: p.Kind + ": " + p.Detail}
}

// shownBy tells one proof from another without keeping it. Clients show the
// same in a header or in the query, as the request allows, and perhaps a
// certificate.
func shownBy(r *http.Request) *[sha256.Size]byte {
	text := r.Header.Get("Authorization")
	if scheme, token, _ := strings.Cut(text, " "); strings.EqualFold(scheme, "Bearer") {
		text = token
	}
	sum := sha256.Sum256([]byte(cmp.Or(text, r.URL.Query().Get("access_token"))))
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		sum = sha256.Sum256(append(sum[:], r.TLS.PeerCertificates[0].Raw...))
	}
	return &sum
}

// Continue implements signalr.Hub: every request shows a proof, which may be
// another than the one before, but of the same client.
func (v *hubs) Continue(conn *signalr.Conn, r *http.Request) error {
	c := conn.Owner().(*hubClient)
	who, proof := c.gate.Identity(), shownBy(r)
	same, ended := *proof == *c.proof.Load(), c.gate.Err()
	if gatehouse.Fold(r.PathValue("account")) != gatehouse.Fold(who.Account) || gatehouse.Fold(r.PathValue("endpoint")) != gatehouse.Fold(who.Endpoint) ||
		ended != nil && !same { // nobody can prove anything any more
		return v.refusal(gatehouse.Errorf(gatehouse.NotFound, "this endpoint has no such connection"))
	}
	if ended != nil && r.Method != http.MethodDelete && !c.mayHear() {
		return v.refusal(ended)
	}
	if same {
		return nil
	}
	shown, err := credentials(r)
	if err == nil {
		_, err = c.reauthenticate(r.Context(), shown)
	}
	if err != nil {
		return v.refusal(err)
	}
	c.proof.Store(proof)
	return nil
}

// hearTime is how long a client that polls may ask why its session has ended.
const hearTime = time.Second

// mayHear reports whether a client whose session has ended may ask why.
func (c *hubClient) mayHear() bool {
	parted := c.parted.Load()
	return parted == nil || time.Since(*parted) < hearTime
}

// Connected implements signalr.Hub.
func (v *hubs) Connected(conn *signalr.Conn) error {
	c := conn.Owner().(*hubClient)
	c.conn.Store(conn)
	v.take(c.session)
	if c.start() != nil {
		return nil // part has closed it, or does
	}
	if c.listens() {
		return c.receive(c.asked)
	}
	return nil
}

// Closed implements signalr.Hub.
func (v *hubs) Closed(conn *signalr.Conn, _ error) {
	conn.Owner().(*hubClient).finish(errGone)
}

// part tells the client why its session has ended, and whether to connect again.
func (c *hubClient) part(err error) {
	now := time.Now()
	c.parted.Store(&now)
	conn := c.conn.Load()
	if conn == nil || err == errGone { //nolint:errorlint // ours, bare
		return
	}
	p := c.tell(err)
	conn.Close(p.Kind+": "+p.Detail, mayReturn(gatehouse.KindOf(err)))
}

// mayReturn reports whether a client whose session has ended for that kind of
// reason should connect again by itself, with a fresh token.
func mayReturn(k gatehouse.Kind) bool {
	switch k {
	case gatehouse.Expired, gatehouse.Unavailable, gatehouse.Internal:
		return true
	}
	return false
}

// The client's method that deliveries are handed to.
const receiveMethod = "Receive"

// maxAhead is how many bytes may wait to be written when a further delivery is
// handed over. What waits is written even if the session ends meanwhile. With
// stateful reconnect what was written counts until the client acknowledges it,
// which it does once a second: there it is half of what may wait at all.
const maxAhead = 16 << 10

// pass hands a delivery to the client, waiting for one that reads slowly.
func (c *hubClient) pass(d *inbox.Delivery) bool {
	conn := c.conn.Load()
	if conn.Buffered() > c.ahead {
		flushed := make(chan struct{})
		conn.Flushed(c.ahead, func() { close(flushed) })
		<-flushed // or the connection has ended
	}
	select {
	case <-c.over:
		return false
	default:
	}
	err := c.call(conn, d, wire.JSON(appendDelivery(nil, d)))
	if errors.Is(err, signalr.ErrFull) { // it reads, but does not answer
		c.finish(gatehouse.Errorf(gatehouse.Unavailable, "the client has left too many deliveries unanswered"))
	}
	return err == nil
}

func (c *hubClient) call(conn *signalr.Conn, d *inbox.Delivery, text wire.Value) error {
	if !c.auto {
		return conn.Send(receiveMethod, text)
	}
	lock := d.Lock
	_, err := conn.Invoke(receiveMethod, func(_ wire.Value, err error) { c.answered(lock, err) }, text)
	return err
}

// answered settles a delivery as the client's handler has ended.
func (c *hubClient) answered(lock inbox.LockToken, err error) {
	t := inbox.Settlement{Lock: lock}
	switch {
	case errors.Is(err, signalr.ErrClosed):
		return // it goes back to its place
	case err != nil:
		t.Outcome = inbox.Abandon
	}
	_ = c.settle(t, func(error) {}) // or the lock runs out
}
