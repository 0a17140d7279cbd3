package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/gate"
	"github.com/gatehouse/gatehouse/sas"
)

// A Journey is what became of one message.
type Journey struct {
	ID, Body             string
	Channel              string
	Partition            int
	Offset               uint64
	RouteIn, RouteOut    string // the rules that let it pass
	Deliveries           int    // how often it was delivered, this time included
	Sent, Taken, Settled time.Duration
}

// Run sends a message from Sender to Receiver and takes it there.
func (d *Demo) Run(ctx context.Context) (*Journey, error) {
	j := &Journey{ID: idPrefix + strconv.FormatInt(time.Now().UnixMicro(), 36), Body: `{"pressure": 4.2, "unit": "bar"}`}
	for _, step := range []func(context.Context, *Journey) error{d.submit, d.ask, d.take} {
		if err := step(ctx, j); err != nil {
			return j, err
		}
	}
	return j, nil
}

// submit sends the message as Sender.
func (d *Demo) submit(ctx context.Context, j *Journey) error {
	p := path("publishers", Sender, "")
	h := http.Header{
		"Content-Type": {"application/json"}, "Accept": {"application/json"},
		"Ce-Specversion": {"1.0"}, "Ce-Id": {j.ID}, "Ce-Type": {"com.example.pump.reading"}, "Ce-To": {gatehouse.EndpointPrefix + Receiver},
	}
	began := time.Now()
	_, answer, err := d.do(ctx, http.MethodPost, d.base+p, d.token("publishers", Sender, gatehouse.PolicySend, d.sender.Send.Primary), h, j.Body)
	j.Sent = time.Since(began)
	if err != nil {
		return err
	}
	var receipt struct {
		Channels  []string
		Partition int
		Offset    uint64
	}
	if err := json.Unmarshal(answer, &receipt); err != nil || len(receipt.Channels) == 0 {
		return gatehouse.Errorf(gatehouse.Internal, "the receipt says nothing about a channel: %q", answer)
	}
	j.Channel, j.Partition, j.Offset = receipt.Channels[0], receipt.Partition, receipt.Offset
	return nil
}

// ask has the gateway explain by which rules such a message passes.
func (d *Demo) ask(_ context.Context, j *Journey) error {
	m := &gatehouse.Message{ID: j.ID, Type: "com.example.pump.reading", To: []string{gatehouse.EndpointPrefix + Receiver}, Body: []byte(j.Body)}
	j.RouteIn = allowing(d.app.Gate.Explain(gate.Question{Account: Account, Endpoint: Sender, Message: m}))
	j.RouteOut = allowing(d.app.Gate.Explain(gate.Question{Account: Account, Endpoint: Receiver, From: gatehouse.ChannelName(j.Channel), Message: m}))
	return nil
}

// allowing returns the rule that let the message pass.
func allowing(a gate.Answer) string {
	if !a.Allowed {
		return ""
	}
	for _, s := range a.Steps {
		if s.Kind == "route" && s.Outcome == "allowed" {
			return s.Rule
		}
	}
	return ""
}

// idPrefix is what the ids of the demo's messages begin with.
const idPrefix = "demo-"

// take takes messages as Receiver until it has this one, and completes it.
func (d *Demo) take(ctx context.Context, j *Journey) error {
	token := d.token("inboxes", Receiver, gatehouse.PolicyListen, d.receiver.Listen.Primary)
	for {
		began := time.Now()
		w, _, err := d.do(ctx, http.MethodPost, d.base+path("inboxes", Receiver, "/head?timeout=20"), token, nil, "")
		if err != nil {
			return err
		}
		if w.StatusCode == http.StatusNoContent {
			return gatehouse.Errorf(gatehouse.Unavailable, "the message did not arrive within 20 s; its channel's handler may be stuck: see the log")
		}
		j.Taken = time.Since(began)
		var p struct {
			MessageID     string `json:"MessageId"`
			DeliveryCount int
		}
		if err := json.Unmarshal([]byte(w.Header.Get("BrokerProperties")), &p); err != nil {
			return gatehouse.Errorf(gatehouse.Internal, "the answer's BrokerProperties are not JSON: %w", err)
		}
		if !strings.HasPrefix(p.MessageID, idPrefix) {
			continue // somebody else's: its lock will expire
		}
		// One left from an earlier start is done with as well.
		settling := time.Now()
		if _, _, err := d.do(ctx, http.MethodDelete, w.Header.Get("Location"), token, nil, ""); err != nil {
			return err
		}
		if p.MessageID == j.ID {
			j.Settled, j.Deliveries = time.Since(settling), p.DeliveryCount
			return nil
		}
	}
}

// token signs a token for an address of an endpoint, good for an hour.
func (d *Demo) token(kind, endpoint string, policy gatehouse.PolicyName, key string) string {
	resource := d.base + "/" + Account + "/" + kind + "/" + endpoint
	return sas.Sign(resource, string(policy), key, time.Now().Add(time.Hour))
}

// do makes a request. An answer that is a refusal is an error with its text.
func (d *Demo) do(ctx context.Context, method, url, token string, h http.Header, body string) (*http.Response, []byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	if h != nil {
		r.Header = h.Clone()
	}
	r.Header.Set("Authorization", token)
	w, err := d.client.Do(r)
	if err != nil {
		return nil, nil, gatehouse.Errorf(gatehouse.Unavailable, "the demo's client: %w", err)
	}
	defer w.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(w.Body, 1<<20))
	if err != nil {
		return nil, nil, gatehouse.Errorf(gatehouse.Unavailable, "the demo's client: %w", err)
	}
	if w.StatusCode >= http.StatusBadRequest {
		return nil, nil, gatehouse.Errorf(gatehouse.Internal, "%s %s was answered %s: %s", method, url, w.Status, bytes.TrimSpace(answer))
	}
	return w, answer, nil
}
