package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/cloudevents"
	"github.com/gatehouse/gatehouse/inbox"

	"github.com/danielgtaylor/huma/v2"
)

// Depth is what an inbox holds. Each message counts once, as deferred before
// locked before scheduled before active.
type Depth struct {
	Active    int        `json:"active"`
	Locked    int        `json:"locked"`
	Deferred  int        `json:"deferred"`
	Scheduled int        `json:"scheduled"`
	Dead      int        `json:"dead" doc:"Dead letters"`
	Bytes     int64      `json:"bytes" doc:"Of all but the dead letters, as stored"`
	Oldest    *time.Time `json:"oldest,omitempty" doc:"When the first of them was put"`
}

// Waiting is a message in an inbox, or among its dead letters.
type Waiting struct {
	Sequence    uint64          `json:"sequence"`
	State       string          `json:"state" enum:"Active,Deferred,Scheduled"`
	Count       uint32          `json:"deliveryCount" doc:"Deliveries that failed"`
	LockedUntil *time.Time      `json:"lockedUntil,omitempty"`
	Enqueued    time.Time       `json:"enqueued"`
	Expires     *time.Time      `json:"expires,omitempty"`
	Channel     string          `json:"channel,omitempty" doc:"It came from"`
	Message     json.RawMessage `json:"message" doc:"CloudEvent in JSON"`
	DeadLetter  *DeadLetter     `json:"deadLetter,omitempty"`
}

// DeadLetter says why a message could not be delivered.
type DeadLetter struct {
	Reason      string    `json:"reason"`
	Description string    `json:"description"`
	From        string    `json:"from"`
	Time        time.Time `json:"time"`
}

func (s *server) inboxes(api huma.API) {
	const one = "/accounts/{account}/endpoints/{name}/inbox"
	huma.Register(api, operation(http.MethodGet, one, "get-inbox", "What an inbox holds; it reads all of it", "inboxes"),
		func(ctx context.Context, in *NamePath) (*struct{ Body Depth }, error) {
			k, err := s.inboxKey(in, false)
			if err != nil {
				return nil, s.fail(err)
			}
			t, err := s.Inboxes.Stats(ctx, k)
			if err != nil {
				return nil, s.fail(err)
			}
			return &struct{ Body Depth }{Depth{
				Active: t.Active, Locked: t.Locked, Deferred: t.Deferred, Scheduled: t.Scheduled, Dead: t.Dead, Bytes: t.Bytes, Oldest: timeOf(t.Oldest),
			}}, nil
		})
	huma.Register(api, operation(http.MethodGet, one+"/messages", "peek-inbox", "Look at messages without taking them", "inboxes"),
		func(ctx context.Context, in *struct {
			NamePath
			Dead  bool   `query:"dead" doc:"Look at the dead letters"`
			From  uint64 `query:"from" doc:"First sequence number"`
			Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
		},
		) (*struct{ Body []Waiting }, error) {
			k, err := s.inboxKey(&in.NamePath, in.Dead)
			if err != nil {
				return nil, s.fail(err)
			}
			got, err := s.Inboxes.Peek(ctx, k, gatehouse.Offset(in.From), in.Limit)
			if err != nil {
				return nil, s.fail(err)
			}
			out := make([]Waiting, len(got))
			for i, d := range got {
				out[i] = waitingOf(d)
			}
			return &struct{ Body []Waiting }{out}, nil
		})
	huma.Register(api, operation(http.MethodPost, one+"/resubmit", "resubmit-dead-letters", "Put dead letters back into the inbox, if they are still authorized", "inboxes"),
		func(ctx context.Context, in *struct {
			NamePath
			Body struct {
				Sequences []uint64 `json:"sequences,omitempty" doc:"Of the dead letters; none: all"`
			}
		},
		) (*struct{ Body Resubmitted }, error) {
			sequences := make([]gatehouse.Offset, len(in.Body.Sequences))
			for i, n := range in.Body.Sequences {
				sequences[i] = gatehouse.Offset(n)
			}
			r, err := s.Gate.Resubmit(ctx, gatehouse.AccountName(in.Account), gatehouse.EndpointName(in.Name), sequences...)
			if err != nil {
				return nil, s.fail(err)
			}
			s.audit(ctx, "resubmit dead letters", in.Account, in.Name)
			out := Resubmitted{Moved: r.Moved, Kept: r.Kept}
			if r.Err != nil {
				out.Reason = r.Err.Error()
			}
			return &struct{ Body Resubmitted }{out}, nil
		})
	huma.Register(api, operation(http.MethodPost, one+"/purge", "purge-inbox", "Remove messages from an inbox or its dead letters, but not those under a lock", "inboxes"),
		func(ctx context.Context, in *struct {
			NamePath
			Dead   bool      `query:"dead" doc:"Purge the dead letters"`
			Before time.Time `query:"before" doc:"Only what was put before this time"`
		},
		) (*struct{ Body Purged }, error) {
			k, err := s.inboxKey(&in.NamePath, in.Dead)
			if err != nil {
				return nil, s.fail(err)
			}
			n, err := s.Inboxes.Purge(ctx, k, in.Before)
			if err != nil {
				return nil, s.fail(err)
			}
			s.audit(ctx, "purge inbox", in.Account, in.Name)
			return &struct{ Body Purged }{Purged{n}}, nil
		})
}

// Resubmitted says what became of dead letters.
type Resubmitted struct {
	Moved  int    `json:"moved"`
	Kept   int    `json:"kept"`
	Reason string `json:"reason,omitempty" doc:"Why the first of those was kept"`
}

// Purged says how many messages were removed.
type Purged struct {
	Removed int `json:"removed"`
}

// inboxKey names the inbox of an endpoint that exists.
func (s *server) inboxKey(in *NamePath, dead bool) (inbox.Key, error) {
	a, err := s.account(in.Account)
	if err != nil {
		return inbox.Key{}, err
	}
	e := a.Endpoint(gatehouse.EndpointName(in.Name))
	if e == nil {
		return inbox.Key{}, gatehouse.Errorf(gatehouse.NotFound, "account %q has no endpoint %q", in.Account, in.Name)
	}
	return inbox.Key{Account: a.Name(), Endpoint: e.Name(), Dead: dead}, nil
}

func timeOf(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func waitingOf(d *inbox.Delivery) Waiting {
	w := Waiting{
		Sequence: uint64(d.Sequence), State: d.State.String(), Count: d.Count, LockedUntil: timeOf(d.LockedUntil),
		Enqueued: d.Enqueued, Expires: timeOf(d.Expires), Channel: string(d.Message.Channel), Message: cloudevents.Append(nil, d.Message),
	}
	if dead := d.Message.Dead; dead != nil {
		w.DeadLetter = &DeadLetter{dead.Reason, dead.Description, dead.From, dead.Time}
	}
	return w
}
