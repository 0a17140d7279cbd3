package memory_test

import (
	"math/rand/v2"
	"testing"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/engine/enginetest"
	"github.com/gatehouse/gatehouse/engine/memory"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEngine(t *testing.T) {
	t.Parallel()
	enginetest.Run(t, enginetest.Harness{
		Open:   func(*testing.T) engine.Engine { return memory.New(memory.Options{}) },
		Reopen: func(_ *testing.T, e engine.Engine) engine.Engine { return e.(*memory.Engine).Reopen() },
		Crash: func(_ *testing.T, e engine.Engine, r *rand.Rand) engine.Engine {
			return e.(*memory.Engine).Crash(func(n int) int { return r.IntN(n + 1) })
		},
		Faults: []enginetest.Fault{{Name: "DiskFull", Open: failing}},
		Corrupt: func(t *testing.T, e engine.Engine, p enginetest.Place) engine.Engine {
			if !e.(*memory.Engine).Damage(p.Shard, p.Stream, p.Queue, p.Offset) {
				t.Fatalf("there is no record at %+v", p)
			}
			return e
		},
	})
}

func failing(*testing.T) (engine.Engine, func(bool)) {
	e := memory.New(memory.Options{})
	return e, func(failing bool) {
		if !failing {
			e.Fail(nil)
			return
		}
		e.Fail(gatehouse.Errorf(gatehouse.Unavailable, "the disk is full"))
	}
}
