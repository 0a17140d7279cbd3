package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/cloudevents"
	"github.com/gatehouse/gatehouse/config"
)

// envelope is what a message can be given on the command line.
type envelope struct {
	Body        string            `arg:"" optional:"" help:"The body; with --stdin it is read from standard input."`
	Stdin       bool              `help:"Read the body from standard input."`
	ID          string            `placeholder:"ID" help:"Message id; one is made if there is none."`
	Type        string            `placeholder:"TYPE" help:"Type."`
	Subject     string            `placeholder:"TEXT" help:"Subject."`
	ContentType string            `placeholder:"TYPE" help:"Content type of the body."`
	To          []string          `placeholder:"ADDRESS" help:"Addresses: endpoints/NAME or channels/NAME."`
	Key         string            `placeholder:"TEXT" help:"Ordering key."`
	Group       string            `placeholder:"TEXT" help:"Group (session)."`
	ReplyTo     string            `placeholder:"ADDRESS" help:"Address for answers."`
	TTL         config.Duration   `placeholder:"TIME" help:"Time to live: 90s, 24h, 7d."`
	In          config.Duration   `placeholder:"TIME" help:"Deliver it only after this time."`
	Attribute   map[string]string `placeholder:"NAME=VALUE" help:"Attributes."`
}

func (e *envelope) message(g *Globals) (*gatehouse.Message, error) {
	m := &gatehouse.Message{
		ID: e.ID, Type: e.Type, Subject: e.Subject, ContentType: e.ContentType, To: e.To, Key: e.Key, Group: e.Group, ReplyTo: e.ReplyTo,
		TTL: time.Duration(e.TTL), Body: []byte(e.Body),
	}
	if e.In > 0 {
		m.NotBefore = time.Now().Add(time.Duration(e.In))
	}
	for _, name := range slices.Sorted(maps.Keys(e.Attribute)) {
		m.Attributes = append(m.Attributes, gatehouse.Attribute{Name: name, Value: gatehouse.String(e.Attribute[name])})
	}
	if !e.Stdin {
		return m, nil
	}
	if e.Body != "" {
		return nil, gatehouse.Errorf(gatehouse.Invalid, "a body is given, and --stdin as well; give one of them")
	}
	var err error
	m.Body, err = io.ReadAll(g.Stdin)
	return m, err
}

// Send is "gatehouse send".
type Send struct {
	As Party `arg:"" name:"account/endpoint" help:"The endpoint to send as."`
	envelope
}

// Run sends one message over HTTPS, as the endpoint would.
func (c *Send) Run(ctx context.Context, g *Globals) error {
	m, err := c.message(g)
	if err != nil {
		return err
	}
	v, err := g.visit(ctx, c.As, "publishers")
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
		where = "scheduled for " + m.NotBefore.Format(time.RFC3339)
	case r.Duplicate:
		where = "a duplicate, not stored again"
	}
	return g.say("%s is durable: %s", printable(r.ID), where)
}
