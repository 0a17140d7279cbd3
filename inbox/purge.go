package inbox

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
)

// Purge removes the messages of an inbox that were put before a time, or all
// if it is zero, and returns how many: also those deferred and scheduled, but
// not those under a lock. It reads the envelopes of the inbox. They are not counted as
// dropped. If it fails, some may be gone.
func (s *Set) Purge(ctx context.Context, k Key, before time.Time) (int, error) {
	q := k.fold()
	sh := s.shardOf(q)
	b, err := sh.enter(ctx, q)
	if err != nil {
		return 0, err
	}
	sh.mu.Unlock()
	defer func() {
		sh.mu.Lock()
		sh.leave(b)
	}()
	limit := before.UnixNano()
	more := true
	return sh.withdrawAll(ctx, b, "", func() bool { return more }, func(v *engine.Envelope) bool {
		more = before.IsZero() || v.Enqueued < limit
		return more
	})
}

// Delete removes everything of an inbox, with its dead letters and the states
// of its groups, for when its endpoint is deleted; k.Dead makes no difference.
// Those who wait at it fail with NotFound, and locks are lost. What comes behind
// that, having been on its way, is refused: see Put.Incarnation. It ends when that
// is durable.
func (s *Set) Delete(ctx context.Context, k Key) error {
	q := k.fold()
	q.dead = false
	return s.shardOf(q).delete(ctx, q)
}

// deleteAtOnce is how many inboxes DeleteAccount deletes in one commit.
const deleteAtOnce = 256

// DeleteAccount is Delete for all inboxes that an account had. It costs in
// proportion to those that hold anything. If it fails, some may be gone.
func (s *Set) DeleteAccount(ctx context.Context, a gatehouse.AccountName) error {
	account := gatehouse.Fold(a)
	for _, sh := range s.shards {
		if err := sh.deleteAccount(ctx, account); err != nil {
			return err
		}
	}
	return nil
}

func (sh *shard) deleteAccount(ctx context.Context, account string) error {
	if err := sh.settleAccount(ctx, account); err != nil {
		return err
	}
	some, err := sh.remembered(account)
	if err != nil {
		return err
	}
	for len(some) > 0 {
		n := min(len(some), deleteAtOnce)
		if err := sh.delete(ctx, some[:n]...); err != nil {
			return err
		}
		some = some[n:]
	}
	after := account + "/"
	for {
		some = some[:0]
		err := sh.queues.Names(ctx, after, func(name string) bool {
			q, ok := parseQueue(name)
			if !ok || q.account != account {
				return false
			}
			q.dead, after = false, name
			if len(some) == 0 || some[len(some)-1] != q {
				some = append(some, q)
			}
			return len(some) < deleteAtOnce
		})
		if err != nil || len(some) == 0 {
			return err
		}
		if err := sh.delete(ctx, some...); err != nil {
			return err
		}
	}
}

// settleAccount removes what is kept beside the messages of an account. Once it
// has returned, what was on its way to its inboxes is to be seen, and as there
// is no such account nothing else comes.
func (sh *shard) settleAccount(ctx context.Context, account string) error {
	o := &op{sh: sh}
	o.Clear = []string{statePrefix(account)}
	o.apply = func(error, int64) {}
	return o.doNow(ctx)
}

// remembered returns the inboxes of an account of which there is something in
// memory, or a row.
func (sh *shard) remembered(account string) ([]qkey, error) {
	found := make(map[qkey]struct{})
	sh.mu.Lock()
	running := sh.running
	for q := range sh.boxes {
		if q.account == account {
			q.dead = false
			found[q] = struct{}{}
		}
	}
	for q := range sh.usages {
		if q.account == account {
			found[q] = struct{}{}
		}
	}
	sh.mu.Unlock()
	if !running {
		return nil, errNotRunning
	}
	prefix := statePrefix(account)
	err := sh.set.engine.State(sh.id).Scan(prefix, func(key string, _ []byte) bool {
		endpoint, _, _ := strings.Cut(key[len(prefix):], "/")
		found[qkey{account: account, endpoint: endpoint}] = struct{}{}
		return true
	})
	return slices.Collect(maps.Keys(found)), err
}

// delete removes everything of inboxes in one commit.
func (sh *shard) delete(ctx context.Context, all ...qkey) error {
	o := &op{sh: sh}
	for _, q := range all {
		o.ClearQueues = append(o.ClearQueues, q.queue(), q.deadLetters().queue())
		o.Clear = append(o.Clear, q.statePrefix())
	}
	forget := func() {
		for _, q := range all {
			sh.forget(q)
		}
	}
	// What comes after this in the order of commits is not of the deleted
	// inboxes; what was begun before must not leave rows behind.
	o.admit = func() error { forget(); return nil }
	o.apply = func(error, int64) { forget() }
	return o.doNow(ctx)
}

// doNow is do, in the present epoch of a shard that runs.
func (o *op) doNow(ctx context.Context) error {
	o.sh.mu.Lock()
	running := o.sh.running
	o.sh.mu.Unlock()
	if !running {
		return errNotRunning
	}
	o.Epoch = o.sh.queues.Epoch()
	return o.do(ctx)
}

// forget closes the boxes of an inbox that is deleted, with sh.mu locked.
func (sh *shard) forget(q qkey) {
	for _, q := range [...]qkey{q, q.deadLetters()} {
		if b := sh.boxes[q]; b != nil {
			sh.close(b, errDeleted)
		}
	}
	delete(sh.usages, q)
}
