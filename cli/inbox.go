package cli

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/gatehouse/gatehouse/admin"
	"github.com/gatehouse/gatehouse/admin/client"
)

// Inbox is "gatehouse inbox".
type Inbox struct {
	Of       Party `arg:"" placeholder:"ACCOUNT/ENDPOINT" help:"The endpoint whose inbox it is."`
	Dead     bool  `help:"Peek at, or purge, the dead letters."`
	Peek     bool  `xor:"what" help:"Show the messages without taking them."`
	Purge    bool  `xor:"what" help:"Remove the messages, but those under a lock."`
	Resubmit bool  `xor:"what" help:"Put the dead letters back, if they are still authorized."`
	Max      int   `default:"100" help:"How many messages to show."`
}

// Run shows or changes what the inbox holds.
func (c *Inbox) Run(ctx context.Context, g *Globals) error {
	api, err := g.client()
	if err != nil {
		return err
	}
	defer api.Close()
	path, q := c.Of.path()+"/inbox", url.Values{}
	if c.Dead {
		q.Set("dead", "true")
	}
	switch {
	case c.Peek:
		q.Set("limit", strconv.Itoa(c.Max))
		return c.peek(ctx, g, api, path, q)
	case c.Purge:
		var done admin.Purged
		if err := api.Do(ctx, http.MethodPost, path+"/purge", q, nil, &done); err != nil {
			return err
		}
		return g.result(done, "%d removed", done.Removed)
	case c.Resubmit:
		var done admin.Resubmitted
		if err := api.Do(ctx, http.MethodPost, path+"/resubmit", nil, struct{}{}, &done); err != nil {
			return err
		}
		if done.Reason != "" {
			return g.result(done, "%d put back, %d kept: %s", done.Moved, done.Kept, done.Reason)
		}
		return g.result(done, "%d put back", done.Moved)
	}
	var d admin.Depth
	if err := api.Do(ctx, http.MethodGet, path, nil, nil, &d); err != nil {
		return err
	}
	return g.result(d, "%d active, %d locked, %d deferred, %d scheduled, %d dead; %d bytes", d.Active, d.Locked, d.Deferred, d.Scheduled, d.Dead, d.Bytes)
}

func (g *Globals) result(v any, format string, args ...any) error {
	if g.Output == "json" {
		return g.print(v)
	}
	return g.say(format, args...)
}

func (c *Inbox) peek(ctx context.Context, g *Globals, api *client.Client, path string, q url.Values) error {
	var all []admin.Waiting
	if err := api.Do(ctx, http.MethodGet, path+"/messages", q, nil, &all); err != nil {
		return err
	}
	if g.Output == "json" {
		return g.print(all)
	}
	for i := range all {
		w := &all[i]
		if err := g.say("%d  %s  delivered %d times", w.Sequence, w.State, w.Count); err != nil {
			return err
		}
		if w.DeadLetter != nil {
			if err := g.say("  dead: %s: %s", w.DeadLetter.Reason, w.DeadLetter.Description); err != nil {
				return err
			}
		}
		if err := g.showEvent(w.Message); err != nil {
			return err
		}
	}
	return nil
}
