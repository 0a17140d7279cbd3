package mqttadapter

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/auth"
	"github.com/gatehouse/gatehouse/gate"
	"github.com/gatehouse/gatehouse/mqtt"

	"github.com/google/uuid"
)

// methodSAS is the method of authentication by which a client of MQTT 5 renews
// its proof: it names the method in CONNECT, and sends AUTH with a new token, or
// two joined by a comma, as authentication data.
const methodSAS = "SAS"

// both are the rights that a client may have, by one credential or by two.
const both = gatehouse.RightSend | gatehouse.RightListen

// A refusal is why a client is not let in.
type refusal struct {
	code mqtt.Code // of MQTT 5
	old  byte      // of 3.1.1; 0: none fits, the connection is closed without a word
	err  error
}

func (r *refusal) Error() string { return r.err.Error() }

func refuse(code mqtt.Code, old byte, format string, args ...any) *refusal {
	return &refusal{code, old, gatehouse.Errorf(gatehouse.Invalid, format, args...)}
}

// connect deals with the first packet.
func (c *connection) connect(p *mqtt.Connect) error {
	c.v5 = p.Version == mqtt.Version5
	c.quiet = c.v5 && p.Properties.NoProblemInformation
	c.limits.packet = int(p.Properties.MaximumPacketSize)
	answer, err := c.admitClient(p)
	if err == nil {
		c.accept(p, answer)
		return nil
	}
	r, ok := errors.AsType[*refusal](err)
	if !ok {
		row := answers[gatehouse.KindOf(err)]
		r = &refusal{row.connect, row.old, err}
	}
	c.sendRefusal(r)
	return r
}

// admitClient finds out who the client is and gives it its session.
func (c *connection) admitClient(p *mqtt.Connect) (*mqtt.ConnAck, error) {
	if p.ClientID == "" && !p.CleanStart && !c.v5 {
		return nil, refuse(mqtt.ClientIdentifierNotValid, returnClientID, "a client without an identifier cannot have a session that lasts; set the clean session flag")
	}
	if len(p.ClientID) > maxClientID {
		return nil, refuse(mqtt.ClientIdentifierNotValid, returnClientID, "the client identifier is %d bytes long; at most %d are allowed", len(p.ClientID), maxClientID)
	}
	shown, user, err := c.credentials(p)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithDeadline(c.ctx, c.deadline)
	defer cancel()
	s, err := c.serving.gate.Open(ctx, gate.Attempt{
		Account: user.Account, Endpoint: user.Endpoint, Want: both, Credentials: shown,
		Protocol: c.protocol, TLS: c.secure, Remote: c.remote, Origin: c.origin,
	})
	if err != nil {
		return nil, err
	}
	id := s.Identity()
	c.self = id.Endpoint
	answer := new(mqtt.ConnAck)
	if err := c.bequeath(p, s); err != nil {
		s.Close()
		return nil, err
	}
	client := p.ClientID
	if client == "" {
		client = "auto-" + uuid.NewString()
		answer.Properties.AssignedClientID = client
	}
	key := clientKey{party{gatehouse.Fold(id.Account), gatehouse.Fold(id.Endpoint), s.Incarnation()}, client}
	state, present, err := c.options.Sessions.claim(ctx, c, key, p.CleanStart, id.Rights.Has(gatehouse.RightListen))
	if err != nil {
		c.disinherit()
		s.Close()
		return nil, err
	}
	c.keep = c.lasting(p)
	if err := c.options.Sessions.begin(state, c.keep); err != nil {
		c.options.Sessions.leave(state, time.Until(state.expires), nil) // as it was
		c.disinherit()
		s.Close()
		return nil, err
	}
	c.session, c.state, answer.SessionPresent = s, state, present
	return answer, nil
}

// maxClientID is how long a client identifier may be.
const maxClientID = 256

// credentials returns what the client shows as proof, and who it says it is.
func (c *connection) credentials(p *mqtt.Connect) ([]auth.Credentials, auth.User, error) {
	var shown []auth.Credentials
	switch method := p.Properties.AuthMethod; {
	case method == "":
	case !strings.EqualFold(method, methodSAS):
		return nil, auth.User{}, &refusal{mqtt.BadAuthenticationMethod, 0, gatehouse.Errorf(gatehouse.Unauthenticated, "authentication method %.32q is not known here; use %s, or a user name and a password", method, methodSAS)}
	default:
		c.method = method
	}
	u, name, err := c.who(p)
	if err != nil {
		return nil, u, err
	}
	c.user = name
	if len(p.Password) > 0 {
		shown = append(shown, auth.Password{User: name, Password: string(p.Password)})
	}
	if data := p.Properties.AuthData; len(data) > 0 {
		shown = append(shown, auth.FromToken(string(data))...)
	}
	if c.shown != nil {
		shown = append(shown, *c.shown)
	}
	return shown, u, nil
}

// who returns who the client says it is. One that shows a certificate may leave
// that to the certificate, or to its client identifier.
func (c *connection) who(p *mqtt.Connect) (auth.User, string, error) {
	if p.UserName != "" || c.shown == nil {
		return parseUser(p.UserName)
	}
	if u, name, err := parseUser(c.shown.Chain[0].Subject.CommonName); err == nil {
		return u, name, nil
	}
	return parseUser(p.ClientID)
}

// bequeath takes the client's will.
func (c *connection) bequeath(p *mqtt.Connect, s *gate.Session) error {
	w := p.Will
	if w == nil {
		return nil
	}
	if !s.Identity().Rights.Has(gatehouse.RightSend) {
		return gatehouse.Errorf(gatehouse.Forbidden, "the credentials do not let this client send, and so it cannot have a will")
	}
	if w.Retain && c.v5 {
		return refuse(mqtt.RetainNotSupported, 0, "a will cannot be retained: the gateway keeps no messages by topic")
	}
	if int64(len(w.Payload)) > c.options.MaxBody {
		return gatehouse.Errorf(gatehouse.TooLarge, "the will is %d bytes long; at most %d are allowed", len(w.Payload), c.options.MaxBody)
	}
	d, err := parseTopic(w.Topic, c.self)
	if err != nil {
		return &refusal{mqtt.TopicNameInvalid, returnForbidden, err}
	}
	m, err := c.message(&d, &w.Properties, w.Payload)
	if err != nil {
		return err
	}
	if w.Retain {
		markRetained(m)
	}
	c.wills.Add(1)
	c.will = &will{serving: c.serving, session: s, message: m, delay: time.Duration(w.Properties.WillDelay) * time.Second}
	return nil
}

// disinherit forgets the will of a client that is not let in.
func (c *connection) disinherit() {
	if c.will != nil {
		c.wills.Done()
		c.will = nil
	}
}

// accept tells the client that it is let in, and begins.
func (c *connection) accept(p *mqtt.Connect, a *mqtt.ConnAck) {
	c.limits.deliveries = c.options.Deliveries
	if n := int(p.Properties.ReceiveMaximum); n > 0 {
		c.limits.deliveries = min(n, c.limits.deliveries)
	}
	c.in.limit = int(c.options.MaxBody) + maxOverhead
	c.stored = c.take

	alive := time.Duration(p.KeepAlive) * time.Second
	if alive == 0 || alive > c.options.KeepAlive {
		alive = c.options.KeepAlive
		a.Properties.ServerKeepAlive, a.Properties.HasServerKeepAlive = uint16(alive/time.Second), true
	}
	c.keepAlive = alive + alive/2
	if c.v5 {
		c.offer(p, a)
	}
	c.mu.Lock()
	c.put(a)
	c.greeted = true
	c.resume()
	c.mu.Unlock()
	c.unwatch = c.session.AfterDone(c.expelled)
	for i := range c.feeds {
		c.takeUp(&c.feeds[i])
	}
}

// maxOverhead is how long a PUBLISH may be beside its payload.
const maxOverhead = 128 << 10

// offer sets what a client of MQTT 5 is told about the gateway.
func (c *connection) offer(p *mqtt.Connect, a *mqtt.ConnAck) {
	o := &a.Properties
	o.ReceiveMaximum = uint16(c.options.Window)
	o.TopicAliasMaximum = maxAliases
	o.RetainUnavailable = true
	o.MaximumPacketSize = uint32(c.in.limit)
	o.AuthMethod = c.method
	if asked := p.Properties.SessionExpiry; c.keep != time.Duration(asked)*time.Second {
		o.SessionExpiry, o.HasSessionExpiry = uint32(c.keep/time.Second), true
	}
	if p.Properties.RequestResponse {
		o.ResponseInformation = gatehouse.EndpointPrefix + string(c.self)
	}
}

// lasting returns how long the session of a client lasts.
func (c *connection) lasting(p *mqtt.Connect) time.Duration {
	switch {
	case c.v5:
		return c.atMost(p.Properties.SessionExpiry)
	case p.CleanStart:
		return 0
	}
	return c.options.SessionTime
}

// atMost returns how long a session lasts whose client asks for so many seconds.
func (c *connection) atMost(asked uint32) time.Duration {
	return min(time.Duration(asked)*time.Second, c.options.SessionTime)
}

// resume takes up what the session has; c.mu is held.
func (c *connection) resume() {
	c.refeed()
	for _, o := range c.state.released {
		c.sent = append(c.sent, o)
		c.unsettled++
		c.sendRelease(o.id, mqtt.Success)
	}
	c.state.released = nil
}

// refuseConnect answers a CONNECT that cannot be read.
func (c *connection) refuseConnect(p *mqtt.Connect, err error) {
	e, ok := errors.AsType[*mqtt.Error](err)
	switch {
	case !ok:
	case e.Code == mqtt.UnsupportedProtocolVersion && p.Version < mqtt.Version5:
		c.sendRefusal(&refusal{e.Code, returnVersion, err})
	case e.Code == mqtt.UnsupportedProtocolVersion, p.Version == mqtt.Version5:
		c.v5 = true
		c.sendRefusal(&refusal{e.Code, 0, gatehouse.Errorf(gatehouse.Invalid, "%s", e.Detail)})
	}
}
