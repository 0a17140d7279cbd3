package azuretest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/adapter/adaptertest"
	"github.com/gatehouse/gatehouse/adapter/amqp1"
	"github.com/gatehouse/gatehouse/adapter/httpapi"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/coder/websocket"
)

// http serves HTTP over the same gate, and returns where.
func (s *site) http(o httpapi.Options) (address string) {
	s.t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	s.must(err)
	serving, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- httpapi.New(o).Serve(serving, ln, s.world.Gate) }()
	s.t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			s.t.Errorf("Serve: %v", err)
		}
	})
	return ln.Addr().String()
}

// do makes a request as an endpoint.
func (s *site) do(endpoint, key, method, url string, header http.Header, body string) (int, http.Header, string) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.ctx, method, url, bytes.NewReader([]byte(body)))
	s.must(err)
	for name, values := range header {
		r.Header[name] = values
	}
	r.SetBasicAuth(adaptertest.Account+"/"+endpoint, key)
	r.Close = true
	w, err := http.DefaultClient.Do(r)
	s.must(err)
	defer w.Body.Close() //nolint:errcheck // it was read
	text, err := io.ReadAll(w.Body)
	s.must(err)
	return w.StatusCode, w.Header, string(text)
}

// What is sent by HTTP is received by AMQP.
func TestFromHTTP(t *testing.T) {
	s := newSite(t)
	base := "http://" + s.http(httpapi.Options{})
	r, c := s.receiver(nil), s.consumer(adaptertest.PolicyKey())
	send := func(header http.Header, body string) {
		t.Helper()
		code, _, text := s.do(adaptertest.Sender, adaptertest.SendKey(adaptertest.Sender), http.MethodPost, base+"/"+publisher+"/messages", header, body)
		if code != http.StatusCreated {
			t.Fatalf("%d %s", code, text)
		}
	}
	send(http.Header{
		"Content-Type": {"application/json"}, "Ce-Specversion": {"1.0"}, "Ce-Id": {"h-1"}, "Ce-Type": {"com.example.reading"}, "Ce-Source": {"/mine"},
		"Ce-Subject": {"line/7"}, "Ce-To": {receiver}, "Ce-Site": {"oslo"}, "Ce-Correlationid": {"c-1"}, "Ce-Ttl": {"60"},
	}, `{"t":1}`)
	m := s.take(r)
	if m.MessageID != "h-1" || string(m.Body) != `{"t":1}` || *m.ContentType != "application/json" || *m.Subject != "line/7" || *m.CorrelationID != "c-1" || *m.TimeToLive != time.Minute {
		t.Errorf("%+v", m)
	}
	if p := m.ApplicationProperties; p["site"] != "oslo" || p["cloudEvents:type"] != "com.example.reading" || p["cloudEvents:source"] != "/"+adaptertest.Account+"/endpoints/"+adaptertest.Sender {
		t.Errorf("%v", p)
	}
	if e := s.read(s.reader(c, s.filled(c).PartitionID, earliest()), 1)[0]; *e.MessageID != "h-1" || string(e.Body) != `{"t":1}` || e.Properties["site"] != "oslo" {
		t.Errorf("%+v", e)
	}
	// As Azure's REST has it.
	send(http.Header{"Content-Type": {"text/plain"}, "Brokerproperties": {`{"MessageId":"h-2","Label":"L","To":"` + receiver + `","SessionId":"g"}`}, "Priority": {`"High"`}, "Level": {"7"}}, "rest")
	m = s.take(r)
	if m.MessageID != "h-2" || *m.Subject != "L" || *m.SessionID != "g" || *m.ContentType != "text/plain" || m.ApplicationProperties["Priority"] != "High" || m.ApplicationProperties["Level"] != int64(7) {
		t.Errorf("%+v", m)
	}
}

// What is sent by AMQP is received by HTTP, and what HTTP settles is settled.
func TestToHTTP(t *testing.T) {
	s := newSite(t)
	base := "http://" + s.http(httpapi.Options{})
	m := message("a-1", `{"t":2}`)
	m.Subject, m.ContentType, m.CorrelationID, m.SessionID = new("line/8"), new("application/json"), new("c-2"), new("g")
	m.ApplicationProperties = map[string]any{"site": "oslo", "level": int32(7)}
	s.must(s.sender().SendMessage(s.ctx, m, nil))
	head := base + "/" + inboxOf + "/messages/head?timeout=30"
	key := adaptertest.ListenKey(adaptertest.Receiver)
	code, header, body := s.do(adaptertest.Receiver, key, http.MethodPost, head, nil, "")
	if code != http.StatusCreated || body != `{"t":2}` || header.Get("Content-Type") != "application/json" || header.Get("Ce-Subject") != "line/8" || header.Get("Ce-Site") != "oslo" || header.Get("Ce-Level") != "7" {
		t.Fatalf("%d %v %s", code, header, body)
	}
	var p struct {
		MessageID     string `json:"MessageId"`
		CorrelationID string `json:"CorrelationId"`
		SessionID     string `json:"SessionId"`
		DeliveryCount int
	}
	s.must(json.Unmarshal([]byte(header.Get("BrokerProperties")), &p))
	if p.MessageID != "a-1" || p.CorrelationID != "c-2" || p.SessionID != "g" || p.DeliveryCount != 1 {
		t.Errorf("%+v", p)
	}
	// Given back by HTTP, it is received by AMQP, and the other way round.
	if code, _, text := s.do(adaptertest.Receiver, key, http.MethodPut, header.Get("Location"), nil, ""); code != http.StatusOK {
		t.Fatalf("%d %s", code, text)
	}
	r := s.receiver(nil)
	got := s.receive(r, 1)[0]
	if got.MessageID != "a-1" || got.DeliveryCount != 2 || got.ApplicationProperties["level"] != int32(7) {
		t.Errorf("%+v", got)
	}
	s.must(r.AbandonMessage(s.ctx, got, nil))
	s.must(r.Close(s.ctx))
	code, header, _ = s.do(adaptertest.Receiver, key, http.MethodDelete, head, nil, "")
	s.must(json.Unmarshal([]byte(header.Get("BrokerProperties")), &p))
	if code != http.StatusOK || p.MessageID != "a-1" || p.DeliveryCount != 3 {
		t.Errorf("%d %+v", code, p)
	}
	s.empty(s.receiver(nil))
	// An event of the other SDK.
	producer := s.publisher()
	batch, err := producer.NewEventDataBatch(s.ctx, nil)
	s.must(err)
	s.must(batch.AddEventData(&azeventhubs.EventData{Body: []byte("event"), MessageID: new("a-2"), Properties: map[string]any{"cloudEvents:to": receiver}}, nil))
	s.must(producer.SendEventDataBatch(s.ctx, batch, nil))
	code, header, body = s.do(adaptertest.Receiver, key, http.MethodDelete, head, nil, "")
	s.must(json.Unmarshal([]byte(header.Get("BrokerProperties")), &p))
	if code != http.StatusOK || body != "event" || p.MessageID != "a-2" {
		t.Errorf("%d %s %+v", code, body, p)
	}
}

// Both SDKs work over TLS.
func TestTLS(t *testing.T) {
	t.Parallel()
	server, trusting := adaptertest.TLS(t)
	o := amqp1.Options{}
	o.TLS = server
	s := newSiteWith(t, o)
	text := func(policy, key, entity string) string {
		return fmt.Sprintf("Endpoint=sb://%s;SharedAccessKeyName=%s;SharedAccessKey=%s;EntityPath=%s", s.address, policy, key, entity)
	}
	sending, listening := text("send", adaptertest.SendKey(adaptertest.Sender), publisher), text("listen", adaptertest.ListenKey(adaptertest.Receiver), inboxOf)
	s.overTransport(sending, listening, &azeventhubs.ProducerClientOptions{TLSConfig: trusting}, &azservicebus.ClientOptions{TLSConfig: trusting})
}

// With TLS and a port of its own, an SDK for Go holds the certificate against
// HOST:PORT, which no certificate has, unless it is told the host: trap 21, of
// which the documents warn.
func TestTLSWithPort(t *testing.T) {
	t.Parallel()
	server, trusting := adaptertest.TLS(t)
	o := amqp1.Options{}
	o.TLS = server
	s := newSiteWith(t, o)
	unnamed := trusting.Clone()
	unnamed.ServerName = ""
	text := fmt.Sprintf(";SharedAccessKeyName=send;SharedAccessKey=%s", adaptertest.SendKey(adaptertest.Sender))
	for name, c := range map[string]struct {
		endpoint string
		options  azservicebus.ClientOptions
		fails    bool
	}{
		"as it is":        {"sb://" + s.address, azservicebus.ClientOptions{TLSConfig: unnamed}, true},
		"server name":     {"sb://" + s.address, azservicebus.ClientOptions{TLSConfig: trusting}, false},
		"custom endpoint": {"sb://localhost", azservicebus.ClientOptions{TLSConfig: unnamed, CustomEndpoint: s.address}, false},
	} {
		c.options.RetryOptions.MaxRetries = -1
		client, err := azservicebus.NewClientFromConnectionString("Endpoint="+c.endpoint+text, &c.options)
		s.must(err)
		s.closing(client)
		err = s.trySend(client, publisher)
		if c.fails != (err != nil) || s.ctx.Err() != nil {
			t.Errorf("%s: %v", name, err)
		}
		if c.fails && !strings.Contains(err.Error(), "certificate") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Both SDKs work over WebSocket, on the listener of HTTP.
func TestWebSocket(t *testing.T) {
	s := newSite(t)
	guest := amqp1.New(amqp1.Options{})
	address := s.http(httpapi.Options{Guests: []httpapi.Guest{{Path: amqp1.WebSocketPath, Begin: guest.WebSocket}}})
	dial := func(ctx context.Context) (net.Conn, error) {
		ws, _, err := websocket.Dial(ctx, "ws://"+address+amqp1.WebSocketPath, &websocket.DialOptions{Subprotocols: []string{"amqp"}})
		if err != nil {
			return nil, err
		}
		return websocket.NetConn(context.WithoutCancel(ctx), ws, websocket.MessageBinary), nil
	}
	s.overTransport(
		s.connectionString("send", adaptertest.SendKey(adaptertest.Sender), publisher), s.connectionString("listen", adaptertest.ListenKey(adaptertest.Receiver), inboxOf),
		&azeventhubs.ProducerClientOptions{NewWebSocketConn: func(ctx context.Context, _ azeventhubs.WebSocketConnParams) (net.Conn, error) { return dial(ctx) }},
		&azservicebus.ClientOptions{NewWebSocketConn: func(ctx context.Context, _ azservicebus.NewWebSocketConnArgs) (net.Conn, error) { return dial(ctx) }},
	)
}

// overTransport sends an event and receives it.
func (s *site) overTransport(sending, listening string, hubs *azeventhubs.ProducerClientOptions, bus *azservicebus.ClientOptions) {
	s.t.Helper()
	p, err := azeventhubs.NewProducerClientFromConnectionString(sending, "", hubs)
	s.must(err)
	s.closing(p)
	batch, err := p.NewEventDataBatch(s.ctx, nil)
	s.must(err)
	s.must(batch.AddEventData(&azeventhubs.EventData{Body: bytes.Repeat([]byte("x"), 40000), Properties: map[string]any{"cloudEvents:to": gatehouse.EndpointPrefix + adaptertest.Receiver}}, nil))
	s.must(p.SendEventDataBatch(s.ctx, batch, nil))
	c, err := azservicebus.NewClientFromConnectionString(listening, bus)
	s.must(err)
	s.closing(c)
	r, err := c.NewReceiverForQueue(inboxOf, nil)
	s.must(err)
	if m := s.take(r); len(m.Body) != 40000 {
		s.t.Errorf("%d bytes", len(m.Body))
	}
}
