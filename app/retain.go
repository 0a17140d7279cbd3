package app

import (
	"context"
	"errors"
	"time"

	"github.com/gatehouse/gatehouse/channel"
	"github.com/gatehouse/gatehouse/directory"
	"github.com/gatehouse/gatehouse/gate"
)

// retainEvery is how often what is past its retention is dropped.
const retainEvery = time.Minute

// retain drops what channels keep beyond their retention, dead letters
// included, and the ids of duplicate detection past their window, until ctx is
// done. On several nodes one does it: the holder of a lease.
func (a *App) retain(ctx context.Context) error {
	for ctx.Err() == nil {
		lease, err := a.Engine.Lease(ctx, "retention")
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		a.retainWhile(ctx, lease.Lost())
		lease.Release()
	}
	return nil
}

func (a *App) retainWhile(ctx context.Context, lost <-chan struct{}) {
	tick := time.NewTicker(retainEvery)
	defer tick.Stop()
	for {
		a.retainAll(ctx, time.Now())
		select {
		case <-ctx.Done():
			return
		case <-lost:
			return
		case <-tick.C:
		}
	}
}

// retainAll goes through all channels once. A channel that fails is logged and
// tried again the next time.
func (a *App) retainAll(ctx context.Context, now time.Time) {
	for account := range a.Directory.Current().Accounts() {
		for c := range account.Channels() {
			if ctx.Err() != nil {
				return
			}
			id := channel.ID{Account: account.Name(), Channel: c.Name()}
			if err := a.retainChannel(ctx, id, account, c, now); err != nil && ctx.Err() == nil {
				a.logger.Warn("retention of a channel failed; it is tried again", "account", id.Account, "channel", id.Channel, "error", err)
			}
		}
	}
}

func (a *App) retainChannel(ctx context.Context, id channel.ID, account *directory.Account, c *directory.Channel, now time.Time) error {
	age, bytes := c.Retention()
	err := a.Channels.Retain(ctx, id, age, bytes)
	err = errors.Join(err, a.Channels.ForgetDuplicates(ctx, id, c.Duplicates(), now))
	dead := c.DeadLetterRetention()
	if dead == 0 {
		dead = time.Duration(a.Config.Handlers.DeadLetterMaxAge)
	}
	err = errors.Join(err, a.Channels.RetainDead(ctx, id, gate.ScheduleHandler, dead))
	for h := range account.Handlers() {
		if h.Channel() == c.Name() {
			err = errors.Join(err, a.Channels.RetainDead(ctx, id, h.Name(), dead))
		}
	}
	return err
}
