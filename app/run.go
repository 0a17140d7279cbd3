package app

import (
	"context"
	"errors"
	"slices"

	"golang.org/x/sync/errgroup"
)

// A task runs until its context is done, or fails.
type task func(context.Context) error

// A stage is tasks that start and stop together.
type stage struct {
	group  *errgroup.Group
	cancel context.CancelFunc
}

// start starts the tasks. They stop by stop only, whatever becomes of ctx; the
// first that fails calls fail.
func start(ctx context.Context, fail context.CancelCauseFunc, tasks ...task) *stage {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s := &stage{group: new(errgroup.Group), cancel: cancel}
	for _, t := range tasks {
		s.group.Go(func() error {
			err := t(ctx)
			if err != nil && ctx.Err() == nil {
				fail(err)
			}
			return err
		})
	}
	return s
}

// stop ends the tasks and waits for them.
func (s *stage) stop() error {
	s.cancel()
	err := s.group.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// Run serves until outside is done or a part fails for good, then stops everything,
// from the edge inwards, and closes the App. It returns nil if it was told to
// stop and all went well.
func (a *App) Run(outside context.Context) error {
	ctx, fail := context.WithCancelCause(outside)
	defer fail(nil)
	var stages []*stage
	begin := func(tasks ...task) { stages = append(stages, start(ctx, fail, tasks...)) }

	begin(a.serveAdmin)
	begin(a.Directory.Run, a.Inboxes.Run)
	select {
	case <-a.Inboxes.Ready():
		begin(a.Dispatcher.Run, a.Gate.Run, a.follower.run, a.remover.run, a.retain)
		begin(a.serveAll()...)
		a.setPhase("")
		close(a.ready)
		a.logger.Info("the gateway is ready", "listeners", a.Listeners(), "admin", a.AdminAddress())
		<-ctx.Done()
	case <-ctx.Done():
	}

	a.setPhase("the gateway is stopping")
	a.logger.Info("the gateway stops: clients may finish what is under way", "drain", a.Config.Drain)
	var err error
	for _, s := range slices.Backward(stages) {
		err = errors.Join(err, s.stop())
	}
	return errors.Join(err, a.Close())
}

// serveAll returns the tasks that serve the listeners.
func (a *App) serveAll() []task {
	tasks := make([]task, len(a.listeners))
	for i, l := range a.listeners {
		tasks[i] = func(ctx context.Context) error { return l.adapter.Serve(ctx, l.Listener, a.Gate) }
	}
	return tasks
}
