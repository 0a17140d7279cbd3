package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/gatehouse/gatehouse"

	"github.com/coder/websocket"
)

// signalR measures SignalR over WebSockets without TLS, with the JSON protocol:
// invocations that were encoded beforehand, without negotiation.
func (r *run) signalR(ctx context.Context) error {
	return r.overWire(ctx, &protocol{
		name: "signalr", adapter: "http", publisher: dialSignalRPublisher, receiver: dialSignalRReceiver,
		idle: []idleClient{{"with a hub that waits for messages", signalRIdle}},
		loads: []load{
			{name: "100x16", conns: 100, flight: 16},
			{name: "100x1", conns: 100, flight: 1, timed: true},
			{name: "paced", conns: 100, flight: pacedWindow, paced: true},
		},
	})
}

// recordEnd ends each record of the JSON protocol.
const recordEnd = '\x1e'

// maxRecords is the most that one message of the WebSocket may hold.
const maxRecords = 16 << 20

// A signalRConn is a connection to a hub, behind its handshake.
type signalRConn struct {
	ctx    context.Context
	cancel context.CancelFunc
	ws     *websocket.Conn
	out    []byte
}

func dialSignalR(ctx context.Context, g *remote, endpoint int, key string) (*signalRConn, error) {
	dialing, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	url := "ws://" + g.addresses["http"] + "/" + account + "/endpoints/" + endpointName(endpoint) + "/signalr"
	h := http.Header{}
	r := http.Request{Header: h}
	r.SetBasicAuth(account+"/"+endpointName(endpoint), key)
	ws, _, err := websocket.Dial(dialing, url, &websocket.DialOptions{HTTPHeader: h})
	if err != nil {
		return nil, err
	}
	ws.SetReadLimit(maxRecords)
	c := &signalRConn{ws: ws}
	c.ctx, c.cancel = context.WithCancel(ctx)
	if err := c.handshake(dialing); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (c *signalRConn) handshake(ctx context.Context) error {
	if err := c.ws.Write(ctx, websocket.MessageText, []byte(`{"protocol":"json","version":1}`+string(recordEnd))); err != nil {
		return err
	}
	_, answer, err := c.ws.Read(ctx)
	if err == nil && !bytes.HasPrefix(answer, []byte{'{', '}', recordEnd}) {
		err = gatehouse.Errorf(gatehouse.Internal, "the hub refuses: %s", answer)
	}
	return err
}

// Close ends the connection at once.
func (c *signalRConn) Close() error {
	c.cancel()
	return c.ws.CloseNow()
}

// records calls visit for each record until the connection ends, and then
// flush for each message of the WebSocket. It returns nil after Close.
func (c *signalRConn) records(visit func(record []byte) error, flush func() error) error {
	for {
		_, text, err := c.ws.Read(c.ctx)
		if err != nil {
			if c.ctx.Err() != nil {
				return nil
			}
			return err
		}
		for len(text) > 0 {
			record, rest, _ := bytes.Cut(text, []byte{recordEnd})
			if err := visit(record); err != nil {
				return err
			}
			text = rest
		}
		if err := flush(); err != nil {
			if c.ctx.Err() != nil {
				return nil
			}
			return err
		}
	}
}

// A hubRecord is what is looked at of a record.
type hubRecord struct {
	Type      int
	Error     string
	Arguments []struct{ LockToken string }
}

func parseRecord(text []byte) (r hubRecord, err error) {
	if bytes.HasPrefix(text, []byte(`{"type":3,`)) && !bytes.Contains(text, []byte(`"error"`)) {
		return hubRecord{Type: 3}, nil // nearly all
	}
	if err = json.Unmarshal(text, &r); err != nil {
		return r, err
	}
	if r.Type == 7 || r.Error != "" {
		return r, gatehouse.Errorf(gatehouse.Internal, "the hub says: %s", text)
	}
	return r, nil
}

// A signalRPublisher invokes Send.
type signalRPublisher struct {
	*signalRConn
	rest []byte // of the record, behind the invocation's id
}

func dialSignalRPublisher(ctx context.Context, g *remote, endpoint int, o sending) (publisher, error) {
	event := map[string]any{"specversion": "1.0", "id": "1", "source": "bench", "type": "work", "datacontenttype": "text/plain", "data": strings.Repeat("x", o.body)}
	if o.to != "" {
		event["to"] = gatehouse.EndpointPrefix + o.to
	}
	text, err := json.Marshal(event)
	if err != nil {
		return nil, err
	}
	c, err := dialSignalR(ctx, g, endpoint, g.Send)
	if err != nil {
		return nil, err
	}
	return &signalRPublisher{c, append(append([]byte(`","target":"Send","arguments":[`), text...), `]}`+string(recordEnd)...)}, nil
}

// write implements publisher.
func (p *signalRPublisher) write(first uint64, n int) error {
	p.out = p.out[:0]
	for i := range n {
		p.out = append(p.out, `{"type":1,"invocationId":"`...)
		p.out = strconv.AppendUint(p.out, first+uint64(i), 10)
		p.out = append(p.out, p.rest...)
	}
	return p.ws.Write(p.ctx, websocket.MessageText, p.out)
}

// read implements publisher. Invocations are completed in order.
func (p *signalRPublisher) read(w *window) error {
	w.permit(math.MaxUint64)
	var done uint64
	n := 0
	return p.records(func(record []byte) error {
		r, err := parseRecord(record)
		if err == nil && r.Type == 3 {
			n++
		}
		return err
	}, func() error {
		w.acknowledge(done, n)
		done += uint64(n)
		n = 0
		return nil
	})
}

// A signalRReceiver invokes Complete for each delivery. A message is completed
// when that invocation is.
type signalRReceiver struct{ *signalRConn }

func dialSignalRReceiver(ctx context.Context, g *remote, endpoint int) (receiver, error) {
	c, err := dialSignalR(ctx, g, endpoint, g.Listen)
	if err != nil {
		return nil, err
	}
	return &signalRReceiver{c}, nil
}

// read implements receiver.
func (r *signalRReceiver) read(taken func(n int)) error {
	completed := 0
	return r.records(func(record []byte) error {
		h, err := parseRecord(record)
		switch {
		case err != nil:
			return err
		case h.Type == 3:
			completed++
		case h.Type == 1 && len(h.Arguments) == 1:
			r.out = append(r.out, `{"type":1,"invocationId":"0","target":"Complete","arguments":["`...)
			r.out = append(append(r.out, h.Arguments[0].LockToken...), `"]}`+string(recordEnd)...)
		}
		return nil
	}, func() error {
		if completed > 0 {
			taken(completed)
			completed = 0
		}
		if len(r.out) == 0 {
			return nil
		}
		err := r.ws.Write(r.ctx, websocket.MessageText, r.out)
		r.out = r.out[:0]
		return err
	})
}

func signalRIdle(ctx context.Context, g *remote, endpoint int) (io.Closer, error) {
	c, err := dialSignalR(ctx, g, endpoint, g.Send+","+g.Listen)
	if err != nil {
		return nil, err
	}
	return c, nil
}
