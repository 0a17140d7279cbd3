package app

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/channel"
	"github.com/gatehouse/gatehouse/directory"
	"github.com/gatehouse/gatehouse/dispatch"
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
// yet, and, of channels and handlers, also what was on its way when the former one
// was deleted, or was left by versions that removed nothing. So a creation may
// take as long as that does, and is refused if storage fails meanwhile.
//
// Who removes holds a lease, for as long as one rest takes: one is not removed
// by two, and never while one of its name is created.
type remover struct {
	engine    engine.Engine
	directory *directory.Directory
	channels  *channel.Set
	inboxes   *inbox.Set
	gate      *gate.Gate
	follower  *follower
	logger    *slog.Logger
	wake      chan struct{} // has a token when there may be work
}

const (
	restTable   = "deletions"     // and what the names of leases begin with
	removeAgain = time.Second     // rests that could not be removed are left alone
	clearTime   = 5 * time.Second // a creation waits for the rest of a former one
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

// A rest is what is left of a definition. All names are folded.
type rest struct {
	kind          directory.Kind
	account, name string
	channel       string // of a handler
}

// key returns the key of the note.
func (t rest) key() string {
	key := t.account + "/" + t.kind.String()
	for _, name := range [...]string{t.channel, t.name} {
		if name != "" {
			key += "/" + name
		}
	}
	return key
}

// parseRest reads the key of a note.
func parseRest(key string) (t rest, ok bool) {
	parts := strings.Split(key, "/")
	if len(parts) < 2 {
		return rest{}, false
	}
	kind, err := directory.ParseKind(parts[1])
	t = rest{kind: kind, account: parts[0]}
	if n := len(parts); n > 2 {
		t.name = parts[n-1]
	}
	if len(parts) == 4 {
		t.channel = parts[2]
	}
	return t, err == nil && t.key() == key
}

func (t rest) id() channel.ID {
	c := t.channel
	if t.kind == directory.KindChannel {
		c = t.name
	}
	return channel.ID{Account: gatehouse.AccountName(t.account), Channel: gatehouse.ChannelName(c)}
}

// exists reports whether what this would be the rest of is there.
func (t rest) exists(s *directory.Snapshot) bool {
	a := s.Account(gatehouse.AccountName(t.account))
	if a == nil {
		return false
	}
	switch t.kind {
	case directory.KindEndpoint:
		return a.Endpoint(gatehouse.EndpointName(t.name)) != nil
	case directory.KindChannel:
		return a.Channel(gatehouse.ChannelName(t.name)) != nil
	case directory.KindHandler:
		h := a.Handler(t.name)
		return h != nil && gatehouse.Fold(h.Channel()) == t.channel
	}
	return true
}

// compare returns what is deleted and what is created by a change. A handler
// that is given another channel is another handler. The account stands for all
// that is in it.
func compare(old, now *directory.Snapshot, changed []directory.Ref) (gone, made []rest) {
	add := func(t rest) {
		switch before, after := t.exists(old), t.exists(now); {
		case before && !after:
			gone = append(gone, t)
		case after && !before:
			made = append(made, t)
		}
	}
	for _, ref := range changed {
		t := rest{kind: ref.Kind, account: gatehouse.Fold(ref.Account), name: gatehouse.Fold(ref.Name)}
		before, after := old.Account(ref.Account), now.Account(ref.Account)
		switch {
		case ref.Kind == directory.KindAccount:
			t.name = ""
			add(t)
		case before == nil || after == nil:
		case ref.Kind == directory.KindEndpoint, ref.Kind == directory.KindChannel:
			add(t)
		case ref.Kind == directory.KindHandler:
			for _, a := range [...]*directory.Account{before, after} {
				if h := a.Handler(ref.Name); h != nil {
					t.channel = gatehouse.Fold(h.Channel())
					add(t)
				}
			}
		}
	}
	slices.SortFunc(gone, func(a, b rest) int { return strings.Compare(a.key(), b.key()) })
	return slices.Compact(gone), made
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
		changes[i] = engine.Change{Key: t.key(), Value: []byte{1}}
	}
	_, err := r.engine.Table(restTable).Update(ctx, changes...)
	return err
}

// clear removes what there may be of former definitions of the names of those
// being created.
func (r *remover) clear(outside context.Context, made []rest) error {
	if len(made) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(outside, clearTime)
	defer cancel()
	var channels []channel.ID
	for _, t := range made {
		noted, err := r.noted(ctx, t)
		switch {
		case err != nil:
		case len(noted) > 0:
			err = r.removeNoted(ctx, t)
		case t.kind == directory.KindChannel:
			channels = append(channels, t.id())
		case t.kind == directory.KindAccount:
			err = r.channels.DropAccount(ctx, t.id().Account)
		case t.kind == directory.KindHandler:
			err = r.channels.DropHandler(ctx, t.id(), t.name, dispatch.Groups(t.name)...)
		}
		if err != nil {
			return t.inTheWay(outside, err)
		}
	}
	if len(channels) == 0 {
		return nil
	}
	if err := r.channels.Drop(ctx, channels...); err != nil {
		return made[0].inTheWay(outside, err)
	}
	return nil
}

// inTheWay says why something cannot be created yet.
func (t rest) inTheWay(outside context.Context, err error) error {
	what := t.kind.String() + " " + strconv.Quote(cmp.Or(t.name, t.account))
	switch {
	case outside.Err() != nil:
		return err
	case errors.Is(err, context.DeadlineExceeded):
		return gatehouse.Errorf(gatehouse.Conflict, "a former %s is still being deleted; try again in a moment", what)
	}
	return gatehouse.Wrap(gatehouse.KindOf(err), err, "what is left of a former "+what+" cannot be removed: "+err.Error())
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
			again = time.After(removeAgain)
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
	return r.remove(ctx, t, noted)
}

// remove removes a rest and its notes, while the lease is held. The handlers
// concerned have stopped by then.
func (r *remover) remove(ctx context.Context, t rest, noted []engine.TableRow) error {
	if t.kind != directory.KindEndpoint {
		if err := r.follower.settle(ctx); err != nil {
			return err
		}
	}
	var err error
	id := t.id()
	switch t.kind {
	case directory.KindAccount:
		err = errors.Join(r.inboxes.DeleteAccount(ctx, id.Account), r.channels.DropAccount(ctx, id.Account))
	case directory.KindEndpoint:
		err = r.inboxes.Delete(ctx, inbox.Key{Account: id.Account, Endpoint: gatehouse.EndpointName(t.name)})
	case directory.KindChannel:
		err = r.channels.Drop(ctx, id)
	case directory.KindHandler:
		err = r.channels.DropHandler(ctx, id, t.name, dispatch.Groups(t.name)...)
	}
	if err != nil {
		return err
	}
	if t.kind != directory.KindEndpoint {
		r.gate.Forget(id)
	}
	changes := make([]engine.Change, len(noted))
	for i := range noted {
		changes[i] = engine.Change{Key: noted[i].Key, If: engine.If(noted[i].Revision)}
	}
	_, err = r.engine.Table(restTable).Update(ctx, changes...)
	return err
}
