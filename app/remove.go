package app

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/channel"
	"github.com/gatehouse/gatehouse/directory"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/gate"
	"github.com/gatehouse/gatehouse/inbox"
)

// A remover removes the rest of what was deleted: what the inbox of an endpoint
// holds, what is kept of a channel or a handler, and all of that of an account.
//
// Before a definition is deleted its rest is noted in a table of its own. It is
// removed behind the deletion, by run, and the note then; after a crash the notes
// say what is left to do. A note of something that exists, as when its deletion
// was refused in the end, means nothing until it is deleted.
//
// Before a definition is created the rest of a former one of its name is removed,
// so that whoever has the name next finds nothing of it: what run has not done
// yet; and, of channels and handlers, what was on its way when the former one was
// deleted and has come behind that, and what was left by versions that removed
// nothing. (Inboxes take nothing that comes behind.) For what is noted that may take clearTime; then the creation is
// refused.
//
// Who removes what is noted holds a lease for it, and with an account for all that
// is noted of what was in it: it is not removed by two, and its note is gone when
// the lease ends. So nothing is removed of what was created since.
type remover struct {
	engine    engine.Engine
	directory *directory.Directory
	channels  *channel.Set
	inboxes   *inbox.Set
	gate      *gate.Gate
	follower  *follower
	mine      []byte // the value of notes: those of other environments are left alone
	logger    *slog.Logger
	wake      chan struct{} // has a token when there may be work
}

const (
	restTable = "deletions"     // and what the names of leases begin with
	restAgain = time.Second     // rests that could not be removed are left alone
	clearTime = 5 * time.Second // a creation waits for the rests of former ones
	manyMade  = 16              // so many notes are looked for one by one

	noteVersion = 1
)

// start has the remover told of deletions.
func (r *remover) start() {
	r.wake = make(chan struct{}, 1)
	r.wake <- struct{}{} // for what was left before
	r.directory.Subscribe(func(old, now *directory.Snapshot, changed []directory.Ref) {
		if gone, _ := compare(old, now, changed); len(gone) == 0 {
			return
		}
		select {
		case r.wake <- struct{}{}:
		default:
		}
	})
}

// before is asked before a change is stored: it clears the way for what the
// change creates, and notes the rests of what it deletes.
func (r *remover) before(ctx context.Context, old, now *directory.Snapshot, changed []directory.Ref) error {
	gone, made := compare(old, now, changed)
	if err := r.clear(ctx, made); err != nil {
		return err
	}
	if len(gone) == 0 {
		return nil
	}
	changes := make([]engine.Change, len(gone))
	for i, t := range gone {
		changes[i] = engine.Change{Key: t.key(), Value: r.mine}
	}
	_, err := r.engine.Table(restTable).Update(ctx, changes...)
	return err
}

// clear removes what there may be of former definitions of the names of those
// being created.
func (r *remover) clear(ctx context.Context, made []rest) error {
	noted, err := r.notedOf(ctx, made)
	if err != nil {
		return err
	}
	short, cancel := context.WithTimeout(ctx, clearTime)
	defer cancel()
	var channels []channel.ID
	var handlers []channel.Handler
	for i, t := range made {
		switch {
		case noted[i]:
			err = r.removeNoted(short, t)
		case t.kind == directory.KindAccount:
			err = r.channels.DropAccount(ctx, t.id().Account)
		case t.kind == directory.KindChannel:
			channels = append(channels, t.id())
		case t.kind == directory.KindHandler:
			handlers = append(handlers, t.handler())
		}
		if err != nil {
			return t.inTheWay(ctx, err)
		}
	}
	if len(channels) > 0 {
		err = r.channels.Drop(ctx, channels...)
	}
	if len(handlers) > 0 {
		err = errors.Join(err, r.channels.DropHandlers(ctx, handlers...))
	}
	return err
}

// notedOf tells which of those being created have a note to do with them.
func (r *remover) notedOf(ctx context.Context, made []rest) ([]bool, error) {
	all := make([]bool, len(made))
	var known map[string]bool
	if len(made) > manyMade { // most probably there is none of any
		rows, err := r.notes(ctx, made[0].account+"/")
		if err != nil {
			return nil, err
		}
		known = make(map[string]bool, len(rows))
		for _, row := range rows {
			known[row.Key] = true
		}
	}
	for i, t := range made {
		if known != nil && t.kind != directory.KindAccount {
			all[i] = known[t.key()]
			continue
		}
		rows, err := r.noted(ctx, t)
		if err != nil {
			return nil, err
		}
		all[i] = len(rows) > 0
	}
	return all, nil
}

// noted returns the notes that are done with when a rest is removed: its own,
// and with an account those of all that was in it.
func (r *remover) noted(ctx context.Context, t rest) ([]engine.TableRow, error) {
	if t.kind == directory.KindAccount {
		return r.notes(ctx, t.account+"/")
	}
	row, err := r.engine.Table(restTable).Get(ctx, t.key())
	switch {
	case errors.Is(err, gatehouse.NotFound):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return []engine.TableRow{row}, nil
}

func (r *remover) notes(ctx context.Context, prefix string) (all []engine.TableRow, err error) {
	_, err = r.engine.Table(restTable).Scan(ctx, prefix, func(row engine.TableRow) error {
		all = append(all, row)
		return nil
	})
	return all, err
}

// run removes rests until ctx is done.
func (r *remover) run(ctx context.Context) error {
	for {
		var again <-chan time.Time
		if !r.removeAll(ctx) {
			again = time.After(restAgain)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-r.wake:
		case <-again:
		}
	}
}

// removeAll removes all rests that are noted, and reports whether it could.
func (r *remover) removeAll(ctx context.Context) bool {
	all, err := r.notes(ctx, "")
	for _, row := range all {
		if ctx.Err() != nil {
			return false
		}
		if !bytes.Equal(row.Value, r.mine) {
			continue
		}
		t, ok := parseRest(row.Key)
		if !ok {
			r.logger.Error("the note of a deletion is not understood; it was written by a newer version", "note", row.Key)
			continue
		}
		if e := r.removeNoted(ctx, t); e != nil {
			err = e
		}
	}
	if err != nil && ctx.Err() == nil {
		r.logger.Warn("what is left of deleted definitions cannot be removed yet; it is tried again", "error", err)
	}
	return err == nil
}

// removeNoted removes a rest, unless that was done meanwhile or what it would be
// the rest of exists.
func (r *remover) removeNoted(ctx context.Context, t rest) error {
	lease, err := r.engine.Lease(ctx, restTable+"/"+t.key())
	if err != nil {
		return err
	}
	defer lease.Release()
	if t.exists(r.directory.Current()) {
		return nil
	}
	noted, err := r.noted(ctx, t)
	if err != nil || len(noted) == 0 {
		return err
	}
	if t.kind == directory.KindAccount {
		release, err := r.leaseParts(ctx, t, noted)
		defer release()
		if err != nil {
			return err
		}
		// What others had in hand they have removed. As long as the account does
		// not exist nothing of it is noted anew.
		if noted, err = r.noted(ctx, t); err != nil {
			return err
		}
	}
	return r.remove(ctx, t, noted)
}

// leaseParts waits for the leases of what else is noted of an account.
func (r *remover) leaseParts(ctx context.Context, account rest, noted []engine.TableRow) (release func(), err error) {
	var held []engine.Lease
	release = func() {
		for _, l := range held {
			l.Release()
		}
	}
	for _, row := range noted {
		if row.Key == account.key() {
			continue
		}
		l, err := r.engine.Lease(ctx, restTable+"/"+row.Key)
		if err != nil {
			return release, err
		}
		held = append(held, l)
	}
	return release, nil
}

// remove removes a rest and its notes, while the lease is held. The handlers
// concerned have stopped by then.
func (r *remover) remove(ctx context.Context, t rest, noted []engine.TableRow) error {
	if err := r.removeRest(ctx, t); err != nil {
		return err
	}
	changes := make([]engine.Change, len(noted))
	for i := range noted {
		changes[i] = engine.Change{Key: noted[i].Key, If: engine.If(noted[i].Revision)}
	}
	_, err := r.engine.Table(restTable).Update(ctx, changes...)
	return err
}

// removeRest removes a rest, whatever there is of it.
func (r *remover) removeRest(ctx context.Context, t rest) error {
	id := t.id()
	if t.kind == directory.KindEndpoint {
		return r.inboxes.Delete(ctx, inbox.Key{Account: id.Account, Endpoint: gatehouse.EndpointName(t.name)})
	}
	err := r.follower.settle(ctx)
	if err != nil {
		return err
	}
	switch t.kind {
	case directory.KindAccount:
		err = errors.Join(r.inboxes.DeleteAccount(ctx, id.Account), r.channels.DropAccount(ctx, id.Account))
	case directory.KindChannel:
		err = r.channels.Drop(ctx, id)
	case directory.KindHandler:
		err = r.channels.DropHandlers(ctx, t.handler())
	}
	r.gate.Forget(id)
	return err
}
