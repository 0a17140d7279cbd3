package httpapi

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/gate"
)

// A server answers the requests of one listener.
type server struct {
	*Options
	gate     *gate.Gate
	protocol string
	stopping context.Context // done when Serve is told to stop
	requests sync.WaitGroup
	guests   map[string]http.Handler // by path, or by what it is below an endpoint
}

// A call is a request with what is known of it once its session is open.
type call struct {
	*server
	w       http.ResponseWriter
	r       *http.Request
	target  target
	session *gate.Session
}

// ServeHTTP answers one request: find out what it is about, open or find its
// session, do it, and turn an error into an answer.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.requests.Add(1)
	defer s.requests.Done()
	conn := connectionOf(r.Context())
	conn.from.spoke(conn)
	if guest := s.guests[r.URL.Path]; guest != nil {
		guest.ServeHTTP(w, r)
		return
	}
	t, ok := parsePath(r.URL.EscapedPath())
	if !ok || s.Revoker == nil && (t.op == opRevoked || t.op == opRevokedOne) || t.op == opGuest && s.guests[t.guest] == nil {
		s.fail(w, r, gatehouse.Errorf(gatehouse.NotFound, "nothing is at this address; an endpoint sends to /ACCOUNT/publishers/ENDPOINT/messages and receives from /ACCOUNT/inboxes/ENDPOINT/messages/head"))
		return
	}
	origin := r.Header.Get("Origin")
	let := s.gate.Origin(t.account, t.endpoint, origin)
	if r.Method == http.MethodOptions {
		preflight(w, r, t.op, origin, let)
		return
	}
	if let {
		exposeTo(w.Header(), origin)
	}
	if t.op == opGuest {
		s.welcome(w, r, &t)
		return
	}
	if !t.op.allows(r.Method) {
		s.refuseMethod(w, r, t.op)
		return
	}
	l, err := s.open(conn, r, &t, origin)
	if err != nil {
		if conn.failedTooOften() {
			w.Header().Set("Connection", "close")
		}
		s.fail(w, r, err)
		return
	}
	defer conn.give(l)
	c := call{server: s, w: w, r: r, target: t, session: l.session}
	if err := c.do(); err != nil {
		s.fail(w, r, err)
	}
}

// welcome has a guest that is below an endpoint answer.
func (s *server) welcome(w http.ResponseWriter, r *http.Request, t *target) {
	r.SetPathValue("account", string(t.account))
	r.SetPathValue("endpoint", string(t.endpoint))
	r.SetPathValue("rest", t.rest)
	s.guests[t.guest].ServeHTTP(w, r)
}

// open returns the session for the request's credentials and address.
func (s *server) open(conn *connection, r *http.Request, t *target, origin string) (*lease, error) {
	key := sessionKey{
		authorization: authorization(r.Header), origin: origin, need: need[t.op],
		account: t.account, endpoint: t.endpoint, channel: t.channel,
	}
	if t.op == opRevoked || t.op == opRevokedOne {
		key.endpoint = "" // the account is managed, not the endpoint
	}
	return conn.take(key, func() (*gate.Session, error) {
		shown, err := credentials(r, key.authorization)
		if err != nil {
			return nil, err
		}
		// Other requests may come to share the session: it must not depend on
		// this one.
		return s.gate.Open(context.WithoutCancel(r.Context()), conn.attempt(&key, shown, s.protocol, r.TLS != nil))
	})
}

func (c *call) do() error {
	switch c.target.op {
	case opSend, opProduce:
		return c.send()
	case opPeek:
		return c.peek()
	case opReceive:
		return c.receive()
	case opDeferred:
		return c.receiveDeferred()
	case opLock:
		return c.settle()
	case opDeadLetter:
		return c.deadLetter()
	case opDefer:
		return c.deferMessage()
	case opRevoked:
		return c.listRevoked()
	case opRevokedOne:
		return c.revoke()
	}
	return gatehouse.Errorf(gatehouse.Internal, "operation %d has no code", c.target.op)
}

// errGone says that there is nobody to answer.
var errGone = errors.New("the client is gone")

// fail answers with an error. If the request failed because its client is gone
// the connection is cut, for no answer to go out that says it went well.
func (s *server) fail(w http.ResponseWriter, r *http.Request, err error) {
	if err == errGone || r.Context().Err() != nil && gatehouse.KindOf(err) == gatehouse.Internal { //nolint:errorlint // ours, bare
		panic(http.ErrAbortHandler)
	}
	newProblem(s.Logger, r, err).write(w, r)
}

func (s *server) refuseMethod(w http.ResponseWriter, r *http.Request, op operation) {
	w.Header().Set("Allow", allowed[op])
	p := newProblem(s.Logger, r, gatehouse.Errorf(gatehouse.Invalid, "this address does not take %s; it takes %s", r.Method, allowed[op]))
	p.Title, p.Status = "Method not allowed", http.StatusMethodNotAllowed
	p.write(w, r)
}

// allowTime gives a request that waits for messages the time it needs, beyond
// what the server's timeouts allow.
func (c *call) allowTime(wait time.Duration) {
	control := http.NewResponseController(c.w)
	// A connection that cannot do this is gone, which shows soon enough.
	_ = control.SetReadDeadline(time.Time{})
	_ = control.SetWriteDeadline(time.Now().Add(wait + c.WriteTime))
}
