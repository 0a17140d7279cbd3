package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/cloudevents"
)

// envelope is what a message can be given on the command line.
type envelope struct {
	Body        string            `arg:"" optional:"" help:"The body; none reads standard input if --stdin is given."`
	Stdin       bool              `help:"Read the body from standard input."`
	ID          string            `help:"Message id; one is made if there is none."`
	Type        string            `help:"Type."`
	Subject     string            `help:"Subject."`
	ContentType string            `help:"Content type of the body."`
	To          []string          `help:"Addresses: endpoints/NAME or channels/NAME."`
	Key         string            `help:"Ordering key."`
	Group       string            `help:"Group (session)."`
	ReplyTo     string            `help:"Address for answers."`
	TTL         time.Duration     `help:"Time to live."`
	In          time.Duration     `help:"Deliver it only after this time."`
	Attribute   map[string]string `help:"Attributes, NAME=VALUE."`
}

func (e *envelope) message(g *Globals) (*gatehouse.Message, error) {
	m := &gatehouse.Message{
		ID: e.ID, Type: e.Type, Subject: e.Subject, ContentType: e.ContentType, To: e.To, Key: e.Key, Group: e.Group, ReplyTo: e.ReplyTo, TTL: e.TTL,
		Body: []byte(e.Body),
	}
	if e.In > 0 {
		m.NotBefore = time.Now().Add(e.In)
	}
	for name, value := range e.Attribute {
		m.Attributes = append(m.Attributes, gatehouse.Attribute{Name: name, Value: gatehouse.String(value)})
	}
	if e.Stdin {
		body, err := io.ReadAll(g.Stdin)
		if err != nil {
			return nil, err
		}
		m.Body = body
	}
	return m, nil
}

// Send is "gatehouse send".
type Send struct {
	As Party `arg:"" placeholder:"ACCOUNT/ENDPOINT" help:"The endpoint to send as."`
	envelope
}

// Run sends one message over HTTPS, as the endpoint would.
func (c *Send) Run(ctx context.Context, g *Globals) error {
	m, err := c.message(g)
	if err != nil {
		return err
	}
	v, err := g.visit(ctx, c.As, "publishers", string(gatehouse.PolicySend))
	if err != nil {
		return err
	}
	defer v.close()
	var receipt json.RawMessage
	h := http.Header{"Content-Type": {cloudevents.ContentType}, "Accept": {"application/json"}}
	if _, err := v.do(ctx, http.MethodPost, "/messages", h, cloudevents.Append(nil, m), &receipt); err != nil {
		return err
	}
	if g.Output == "json" {
		return g.print(receipt)
	}
	var r struct {
		ID                   string
		Channels             []string
		Partition, Offset    uint64
		Duplicate, Scheduled bool
	}
	if err := json.Unmarshal(receipt, &r); err != nil {
		return err
	}
	where := "in " + strings.Join(r.Channels, ", ") + fmt.Sprintf(", partition %d, offset %d", r.Partition, r.Offset)
	switch {
	case r.Scheduled:
		where = "scheduled"
	case r.Duplicate:
		where = "a duplicate, not stored again"
	}
	return g.say("%s is durable: %s", r.ID, where)
}

// Receive is "gatehouse receive".
type Receive struct {
	Of     Party         `arg:"" placeholder:"ACCOUNT/ENDPOINT" help:"The endpoint whose inbox it is."`
	Dead   bool          `help:"Receive the dead letters."`
	Follow bool          `help:"Go on receiving until interrupted."`
	Max    int           `default:"1" help:"How many messages to receive."`
	Wait   time.Duration `default:"10s" help:"How long to wait for the next message."`
	Keep   bool          `help:"Only look: give each message back after showing it."`
}

// Run receives messages and completes each once it was shown.
func (c *Receive) Run(ctx context.Context, g *Globals) error {
	v, err := g.visit(ctx, c.Of, "inboxes", string(gatehouse.PolicyListen))
	if err != nil {
		return err
	}
	defer v.close()
	queue := ""
	if c.Dead {
		queue = "/$deadletterqueue"
	}
	for n := 0; c.Follow || n < c.Max; n++ {
		got, err := c.one(ctx, g, v, queue)
		switch {
		case errors.Is(err, context.Canceled):
			return nil
		case err != nil:
			return err
		case !got && !c.Follow:
			if n == 0 {
				return gatehouse.Errorf(gatehouse.NotFound, "no message came within %v", c.Wait)
			}
			return nil
		}
	}
	return nil
}

// one receives a message, shows it and settles it.
func (c *Receive) one(ctx context.Context, g *Globals, v *visit, queue string) (bool, error) {
	const longest = 60 * time.Second
	seconds := int(min(c.Wait, longest).Seconds())
	var event json.RawMessage
	h := http.Header{"Accept": {cloudevents.ContentType}}
	w, err := v.do(ctx, http.MethodPost, queue+"/messages/head?timeout="+strconv.Itoa(seconds), h, nil, &event)
	if err != nil || w.StatusCode == http.StatusNoContent {
		return false, err
	}
	if err := g.showEvent(event); err != nil {
		return false, err
	}
	method := http.MethodDelete
	if c.Keep {
		method = http.MethodPut
	}
	at, err := url.Parse(w.Header.Get("Location"))
	if err != nil {
		return false, err
	}
	_, err = v.send(ctx, method, at.EscapedPath(), nil, nil, nil)
	return true, err
}

func (g *Globals) showEvent(event json.RawMessage) error {
	if g.Output == "json" {
		_, err := fmt.Fprintln(g.Stdout, string(bytes.TrimSpace(event)))
		return err
	}
	m, err := cloudevents.Decode(event)
	if err != nil {
		return err
	}
	var d struct {
		DeliveryCount                      int
		DeadLetterReason, DeadLetterDetail string
	}
	if err := json.Unmarshal(event, &d); err != nil {
		return err
	}
	line := fmt.Sprintf("%s  from %s", m.ID, m.Source)
	if m.Type != "" {
		line += "  type " + m.Type
	}
	if m.Subject != "" {
		line += "  subject " + m.Subject
	}
	if d.DeliveryCount > 1 {
		line += fmt.Sprintf("  delivery %d", d.DeliveryCount)
	}
	if d.DeadLetterReason != "" {
		line += fmt.Sprintf("\n  dead: %s: %s", d.DeadLetterReason, d.DeadLetterDetail)
	}
	return g.say("%s\n%s", line, m.Body)
}
