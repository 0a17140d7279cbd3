package inbox_test

import (
	"math/rand/v2"
	"sync"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
)

// A shaky engine can be told to fail commits: cleanly, or in doubt, when they
// are reported as failed and are stored nevertheless, as after a crash or a
// disk error in the middle of a write.
type shaky struct {
	engine.Engine
	mu    sync.Mutex
	mode  mode
	rand  *rand.Rand
	fakes gatehouse.Offset
	lines []chan func() // by shard, so that outcomes come in order
	wg    sync.WaitGroup
}

type mode int

const (
	sound   mode = iota
	failing      // nothing is stored
	doubt        // each commit is stored or not
	dying        // the first are stored, and from some point on none
)

var errDisk = gatehouse.Errorf(gatehouse.Unavailable, "the disk failed")

func newShaky(e engine.Engine, r *rand.Rand) *shaky {
	s := &shaky{Engine: e, rand: r, lines: make([]chan func(), e.Shards())}
	for i := range s.lines {
		s.lines[i] = make(chan func(), 64)
		s.wg.Go(func() {
			for f := range s.lines[i] {
				f()
			}
		})
	}
	return s
}

func (s *shaky) set(m mode) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mode = m
}

func (s *shaky) close() {
	for _, l := range s.lines {
		close(l)
	}
	s.wg.Wait()
}

func (s *shaky) Commit(id engine.Shard, b *engine.Batch, done func(error)) {
	s.mu.Lock()
	m := s.mode
	stored := m == sound || m == doubt && s.rand.IntN(2) == 0 || m == dying && s.rand.IntN(3) > 0
	if m == dying && !stored {
		s.mode = failing
	}
	s.mu.Unlock()
	outcome := make(chan error, 1)
	if stored {
		s.Engine.Commit(id, b, func(err error) { outcome <- err })
	} else {
		outcome <- errDisk
		for i := range b.Records {
			s.fakes++
			b.Records[i].Offset = 1<<40 + s.fakes
		}
	}
	s.lines[id] <- func() {
		err := <-outcome
		if m != sound && err == nil {
			err = errDisk
		}
		done(err)
	}
}
