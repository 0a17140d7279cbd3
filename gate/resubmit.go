package gate

import (
	"context"
	"strconv"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/inbox"
)

// Resubmit puts dead letters of an endpoint's inbox back into it, those with
// the given sequence numbers or all, if they are still authorized to be there:
// see inbox.Set.Resubmit.
func (g *Gate) Resubmit(ctx context.Context, a gatehouse.AccountName, e gatehouse.EndpointName, sequences ...gatehouse.Offset) (inbox.Resubmitted, error) {
	v := newView(g.snapshot.Load(), a, e, nil)
	if err := v.accountStands(a); err != nil {
		return inbox.Resubmitted{}, err
	}
	if v.endpoint == nil {
		return inbox.Resubmitted{}, gatehouse.Errorf(gatehouse.NotFound, "account %q has no endpoint %q", a, e)
	}
	allow := func(m *gatehouse.Message) error { return v.route.Egress(m.Channel, m, time.Now()) }
	return g.Inboxes.Resubmit(ctx, inbox.Key{Account: a, Endpoint: e}, allow, sequences...)
}

// quote shows a text from a message, within bounds.
func quote(s string) string {
	const most = 100
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strconv.Quote(s)
}
