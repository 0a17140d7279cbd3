package app

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/directory"
	"github.com/gatehouse/gatehouse/inbox"
)

// An emptier removes what the inboxes of deleted endpoints hold, so that it
// does not fall to another endpoint that is given the name. It works behind the
// deletion; an endpoint that is there again by then keeps what there is. What
// is still to be done when the gateway stops is not remembered.
type emptier struct {
	directory *directory.Directory
	inboxes   *inbox.Set
	logger    *slog.Logger
	wake      chan struct{} // has a token when there is work

	mu   sync.Mutex
	gone []gone
}

// gone is a deleted endpoint, or (Endpoint empty) all those of an account.
type gone struct {
	account  gatehouse.AccountName
	endpoint gatehouse.EndpointName
	before   *directory.Account // with no endpoint: as it was
}

func newEmptier(d *directory.Directory, s *inbox.Set, l *slog.Logger) *emptier {
	e := &emptier{directory: d, inboxes: s, logger: l, wake: make(chan struct{}, 1)}
	d.Subscribe(e.told)
	return e
}

// told is told of every change of the directory.
func (e *emptier) told(old, now *directory.Snapshot, changed []directory.Ref) {
	var all []gone
	for _, ref := range changed {
		account := now.Account(ref.Account)
		switch {
		case ref.Kind == directory.KindAccount && account == nil:
			all = append(all, gone{account: ref.Account, before: old.Account(ref.Account)})
		case ref.Kind == directory.KindEndpoint && account != nil && account.Endpoint(gatehouse.EndpointName(ref.Name)) == nil:
			all = append(all, gone{account: ref.Account, endpoint: gatehouse.EndpointName(ref.Name)})
		}
	}
	if len(all) == 0 {
		return
	}
	e.mu.Lock()
	e.gone = append(e.gone, all...)
	e.mu.Unlock()
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// run empties inboxes until ctx is done.
func (e *emptier) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-e.wake:
		}
		e.mu.Lock()
		all := e.gone
		e.gone = nil
		e.mu.Unlock()
		for _, g := range all {
			e.empty(ctx, g)
		}
	}
}

func (e *emptier) empty(ctx context.Context, g gone) {
	if g.endpoint != "" {
		e.emptyOne(ctx, g.account, g.endpoint)
		return
	}
	if g.before == nil {
		return
	}
	for endpoint := range g.before.Endpoints("") {
		if ctx.Err() != nil {
			return
		}
		e.emptyOne(ctx, g.account, endpoint.Name())
	}
}

// emptyAgain is how long an inbox that could not be emptied rests.
const emptyAgain = time.Second

func (e *emptier) emptyOne(ctx context.Context, account gatehouse.AccountName, endpoint gatehouse.EndpointName) {
	for ctx.Err() == nil {
		if a := e.directory.Current().Account(account); a != nil && a.Endpoint(endpoint) != nil {
			return
		}
		err := e.inboxes.Delete(ctx, inbox.Key{Account: account, Endpoint: endpoint})
		if err == nil {
			return
		}
		e.logger.Warn("the inbox of a deleted endpoint cannot be emptied yet", "account", account, "endpoint", endpoint, "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(emptyAgain):
		}
	}
}
