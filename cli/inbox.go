package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/gatehouse/gatehouse/admin"
)

// Inbox is "gatehouse inbox".
type Inbox struct {
	Of       Party `arg:"" name:"account/endpoint" help:"The endpoint whose inbox it is."`
	Dead     bool  `help:"Peek at, or purge, the dead letters."`
	Peek     bool  `xor:"what" help:"Show the messages without taking them."`
	Purge    bool  `xor:"what" help:"Remove the messages, but those under a lock."`
	Resubmit bool  `xor:"what" help:"Put the dead letters back, if they are still authorized."`
	Max      int   `default:"100" help:"How many messages to show."`
}

// Run shows or changes what the inbox holds.
func (c *Inbox) Run(ctx context.Context, g *Globals) error {
	a, err := g.client()
	if err != nil {
		return err
	}
	defer a.Close()
	path, q := c.Of.path()+"/inbox", url.Values{}
	if c.Dead {
		q.Set("dead", "true")
	}
	switch {
	case c.Peek:
		q.Set("limit", strconv.Itoa(c.Max))
		return c.peek(ctx, g, a, path, q)
	case c.Purge:
		var done admin.Purged
		if err := a.Do(ctx, http.MethodPost, path+"/purge", q, nil, &done); err != nil {
			return err
		}
		return g.result(done, "%d removed", done.Removed)
	case c.Resubmit:
		var done admin.Resubmitted
		if err := a.Do(ctx, http.MethodPost, path+"/resubmit", nil, struct{}{}, &done); err != nil {
			return err
		}
		if done.Reason != "" {
			return g.result(done, "%d put back, %d kept: %s", done.Moved, done.Kept, done.Reason)
		}
		return g.result(done, "%d put back", done.Moved)
	}
	var d admin.Depth
	if err := a.Do(ctx, http.MethodGet, path, nil, nil, &d); err != nil {
		return err
	}
	return g.result(d, "%d active, %d locked, %d deferred, %d scheduled, %d dead; %d bytes", d.Active, d.Locked, d.Deferred, d.Scheduled, d.Dead, d.Bytes)
}

func (c *Inbox) peek(ctx context.Context, g *Globals, a *api, path string, q url.Values) error {
	var all []admin.Waiting
	if err := a.Do(ctx, http.MethodGet, path+"/messages", q, nil, &all); err != nil {
		return err
	}
	if g.Output == "json" {
		return g.print(all)
	}
	for i := range all {
		w := &all[i]
		line := fmt.Sprintf("#%d  %s", w.Sequence, w.State)
		if w.Count > 0 {
			line += fmt.Sprintf("  failed %d times", w.Count)
		}
		if d := w.DeadLetter; d != nil {
			line += fmt.Sprintf("\n  dead: %s: %s", printable(d.Reason), printable(d.Description))
		}
		if err := g.say("%s", line); err != nil {
			return err
		}
		if err := g.showEvent(w.Message); err != nil {
			return err
		}
	}
	return nil
}
