package directory

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
)

// Changes cross when two nodes make them at once. Every row is written on the
// condition that it still has the revision that the change was checked
// against, and every change of an account's structure writes the account's
// fence row on the same condition. So of two changes that could contradict
// each other one fails with Conflict; its node then reads what the other has
// made and checks and makes the change again.

const (
	maxAttempts = 10              // to make a change that crosses others
	catchUpTime = 5 * time.Second // to learn of the change that crossed
)

// write makes changes to the table and puts them into the snapshot. It asks
// for them with the snapshot they are to be made to, again if they cross those
// of another node. It returns the snapshot with the changes in it.
func (d *Directory) write(ctx context.Context, changes func(now *Snapshot) ([]engine.Change, error)) (*Snapshot, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for attempt := 1; ; attempt++ {
		if d.closed {
			return nil, gatehouse.Errorf(gatehouse.Unavailable, "the gateway is shutting down; try again shortly")
		}
		now, err := d.attempt(ctx, changes)
		if err == nil {
			return now, nil
		}
		again, behind := d.isBehind(ctx, err)
		if !behind || attempt == maxAttempts {
			return nil, again
		}
		if !d.catchUp(ctx) {
			return nil, again
		}
	}
}

// attempt is one try of write.
func (d *Directory) attempt(ctx context.Context, changes func(now *Snapshot) ([]engine.Change, error)) (*Snapshot, error) {
	old := d.Current()
	rows, err := changes(old)
	if err != nil || len(rows) == 0 {
		return old, err
	}
	b := d.build(old)
	if err := b.applyChanges(rows); err != nil {
		return nil, err
	}
	now, err := b.finish()
	if err != nil {
		return nil, err
	}
	if f := d.opts.Before; f != nil && len(b.changed) > 0 {
		if err := f(ctx, old, now, b.changed); err != nil {
			return nil, err
		}
	}
	revision, err := d.table.Update(ctx, rows...)
	if errors.Is(err, gatehouse.Conflict) {
		return nil, &crossedError{err}
	}
	if err != nil {
		return nil, err
	}
	b.sign(now, revision)
	d.own[revision] = true
	d.publish(now, b.changed)
	return now, nil
}

// A crossedError is a Conflict that the engine found.
type crossedError struct{ error }

func (e *crossedError) Unwrap() error { return e.error }

// isBehind reports whether err may come from the snapshot being older than the
// table, and what to return if it is not mended.
func (d *Directory) isBehind(ctx context.Context, err error) (error, bool) {
	if crossed, ok := errors.AsType[*crossedError](err); ok {
		return gatehouse.Wrap(gatehouse.Conflict, crossed.error, "the account is being changed by others at the same time; try again"), true
	}
	condition, ok := errors.AsType[*conditionError](err)
	if !ok {
		return err, false
	}
	r, getErr := d.table.Get(ctx, condition.key)
	if getErr != nil && !errors.Is(getErr, gatehouse.NotFound) {
		return condition.err, false
	}
	return condition.err, r.Revision != condition.revision
}

// applyChanges puts changes in that have no revision yet.
func (b *build) applyChanges(changes []engine.Change) error {
	rows := make([]row, 0, len(changes))
	for _, c := range changes {
		account, k, name, ok := splitKey(c.Key)
		if !ok {
			return unknownRow(c.Key)
		}
		rows = append(rows, row{account: account, kind: k, name: name, value: c.Value})
	}
	return b.applyAll(rows)
}

// applyAll applies the rows of accounts first: nothing goes into one that is
// not there.
func (b *build) applyAll(rows []row) error {
	slices.SortStableFunc(rows, func(a, b row) int {
		return cmp.Compare(min(a.kind, KindEndpoint), min(b.kind, KindEndpoint))
	})
	for _, r := range rows {
		if err := b.apply(r); err != nil {
			return err
		}
	}
	return nil
}

// Run follows the changes that other nodes make. It returns nil when ctx is
// done, and an error if one comes that this node cannot understand or if the
// engine fails.
func (d *Directory) Run(ctx context.Context) error {
	d.mu.Lock()
	from := d.watched
	d.mu.Unlock()
	err := d.table.Watch(ctx, from, func(rows []engine.TableRow) error {
		d.mu.Lock()
		defer d.mu.Unlock()
		_, err := d.absorb(ctx, rows)
		return err
	})
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// errCaughtUp ends a Watch.
var errCaughtUp = errors.New("caught up")

// catchUp takes in, with the lock held, at least one update of others that the
// snapshot does not have, and reports whether there was one.
func (d *Directory) catchUp(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, catchUpTime)
	defer cancel()
	err := d.table.Watch(ctx, d.watched, func(rows []engine.TableRow) error {
		fresh, err := d.absorb(ctx, rows)
		if err != nil {
			return err
		}
		if fresh {
			return errCaughtUp
		}
		return nil
	})
	return errors.Is(err, errCaughtUp)
}

// absorb puts an update of the table that Watch told of into the snapshot,
// with the lock held, and reports whether it was news. Updates come in order,
// but may come to several calls, from Run and catchUp.
func (d *Directory) absorb(ctx context.Context, update []engine.TableRow) (fresh bool, err error) {
	old := d.Current()
	b := d.build(old)
	latest := d.watched
	rows := make([]row, 0, len(update))
	for _, r := range update {
		if r.Revision <= d.watched {
			continue
		}
		latest = max(latest, r.Revision)
		if d.own[r.Revision] || r.Key == vaultRow {
			continue
		}
		account, k, name, ok := splitKey(r.Key)
		if !ok {
			return false, unknownRow(r.Key)
		}
		if !old.has(account, k, name, r.Revision) {
			rows = append(rows, row{account: account, kind: k, name: name, value: r.Value, revision: r.Revision})
		}
		fresh = true
	}
	if rows, err = d.withNew(ctx, old, rows); err != nil {
		return false, err
	}
	if err := b.applyAll(rows); err != nil {
		return false, err
	}
	now, err := b.finish()
	if err != nil {
		return false, gatehouse.Errorf(gatehouse.Internal, "rules that another node has stored do not compile: %w", err)
	}
	b.sign(now, latest)
	d.watched = latest
	for revision := range d.own {
		if revision <= latest {
			delete(d.own, revision)
		}
	}
	if fresh {
		d.publish(now, b.changed)
	}
	return fresh, nil
}

// has reports whether the snapshot has a row, or what came after it.
func (s *Snapshot) has(account string, k Kind, name string, revision uint64) bool {
	a := s.accounts.Get(account)
	if a == nil {
		return false
	}
	if k == kindFence {
		return a.fence >= revision
	}
	known := a.find(k, name)
	return known != nil && known.Revision() >= revision
}

// withNew adds all rows of accounts that are new to the snapshot: some of them
// may have been told of before the account was.
func (d *Directory) withNew(ctx context.Context, old *Snapshot, rows []row) ([]row, error) {
	var fresh []string
	for _, r := range rows {
		if r.kind == KindAccount && r.value != nil && old.accounts.Get(r.account) == nil {
			fresh = append(fresh, r.account)
		}
	}
	for _, account := range fresh {
		rows = slices.DeleteFunc(rows, func(r row) bool { return r.account == account })
		_, err := d.table.Scan(ctx, account+"/", func(r engine.TableRow) error {
			account, k, name, ok := splitKey(r.Key)
			if !ok {
				return unknownRow(r.Key)
			}
			rows = append(rows, row{account: account, kind: k, name: name, value: r.Value, revision: r.Revision})
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return rows, nil
}
