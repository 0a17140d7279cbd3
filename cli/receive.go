package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/cloudevents"
	"github.com/gatehouse/gatehouse/config"
)

// Receive is "gatehouse receive".
type Receive struct {
	Of     Party           `arg:"" name:"account/endpoint" help:"The endpoint whose inbox it is."`
	Dead   bool            `help:"Receive the dead letters."`
	Follow bool            `xor:"end" help:"Go on receiving until interrupted."`
	Max    int             `default:"1" help:"How many messages to receive."`
	Wait   config.Duration `default:"10s" placeholder:"TIME" help:"How long to wait for the next message (default: 10s)."`
	Keep   bool            `xor:"end" help:"Give the messages back in the end."`
}

// Run receives messages and completes each once it was shown.
func (c *Receive) Run(ctx context.Context, g *Globals) error {
	v, err := g.visit(ctx, c.Of, "inboxes")
	if err != nil {
		return err
	}
	defer v.close()
	r := receiver{Receive: c, globals: g, visit: v}
	for n := 0; c.Follow || n < c.Max; n++ {
		var got bool
		if got, err = r.one(ctx); err != nil {
			break
		}
		if !got && !c.Follow {
			if n == 0 {
				err = gatehouse.Errorf(gatehouse.NotFound, "no message came within %v", c.Wait)
			}
			break
		}
	}
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return errors.Join(err, r.giveBack(context.WithoutCancel(ctx)))
}

// A receiver is a "gatehouse receive" under way.
type receiver struct {
	*Receive
	globals *Globals
	visit   *visit
	kept    []string // where the messages to give back are settled
}

// one receives a message, shows it and completes it, unless it is kept.
func (r *receiver) one(ctx context.Context) (got bool, err error) {
	var event json.RawMessage
	w, err := r.next(ctx, &event)
	if err != nil || w == nil {
		return false, err
	}
	at, err := url.Parse(w.Header.Get("Location"))
	if err != nil {
		return false, err
	}
	r.kept = append(r.kept, at.EscapedPath())
	if err := r.globals.showEvent(event); err != nil || r.Keep {
		return true, err
	}
	if _, err = r.visit.send(ctx, http.MethodDelete, at.EscapedPath(), nil, nil, nil); err == nil {
		r.kept = r.kept[:len(r.kept)-1]
	}
	return true, err
}

// next waits for a message; nil says that none came in time.
func (r *receiver) next(ctx context.Context, event *json.RawMessage) (*http.Response, error) {
	queue := ""
	if r.Dead {
		queue = "/$deadletterqueue"
	}
	const longest = 60 * time.Second // the gateway waits no longer
	h := http.Header{"Accept": {cloudevents.ContentType}}
	for left := time.Duration(r.Wait); ; left -= longest {
		seconds := int(min(left, longest).Seconds())
		w, err := r.visit.do(ctx, http.MethodPost, queue+"/messages/head?timeout="+strconv.Itoa(seconds), h, nil, event)
		if err != nil {
			return nil, err
		}
		if w.StatusCode != http.StatusNoContent {
			return w, nil
		}
		if left <= longest {
			return nil, nil
		}
	}
}

// giveBack gives back what is kept. A message whose lock is over has gone back
// by itself.
func (r *receiver) giveBack(ctx context.Context) error {
	for _, at := range r.kept {
		_, err := r.visit.send(ctx, http.MethodPut, at, nil, nil, nil)
		if err != nil && !errors.Is(err, gatehouse.LockLost) {
			return err
		}
	}
	return nil
}

// showEvent shows a message: for people, or as the line of JSON that it is.
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
	line := printable(m.ID) + "  from " + printable(m.Source)
	if m.Type != "" {
		line += "  type " + printable(m.Type)
	}
	if m.Subject != "" {
		line += "  subject " + printable(m.Subject)
	}
	if d.DeliveryCount > 1 {
		line += fmt.Sprintf("  delivery %d", d.DeliveryCount)
	}
	if d.DeadLetterReason != "" {
		line += fmt.Sprintf("\n  dead: %s: %s", printable(d.DeadLetterReason), printable(d.DeadLetterDetail))
	}
	return g.say("%s\n%s", line, bodyText(m.Body))
}

// printable returns s as it is if a terminal may have it, and quoted if not:
// whoever sends a message must not steer the screen of who looks at it.
func printable(s string) string {
	if utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0 {
		return s
	}
	return strconv.Quote(s)
}

// bodyText returns a body as it is if it is text, and otherwise quoted.
func bodyText(b []byte) string {
	control := func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' && r != '\r' }
	if utf8.Valid(b) && bytes.IndexFunc(b, control) < 0 {
		return string(b)
	}
	return strconv.Quote(string(b))
}
