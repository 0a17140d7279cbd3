// Package enginetest proves that an engine keeps the promises of
// engine.Engine. Each engine's tests call Run with a Harness that says how to
// open one, and as much as it can of how to reopen, crash, fail and damage it.
package enginetest

import (
	"math/rand/v2"
	"testing"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
)

// A Harness is an engine to prove. All but Open may be nil: what needs it is
// skipped then. Its functions are called by many tests at once, and fail t if
// they cannot do what they are to do. Each takes engines that any of them has
// returned. The suite closes the engines they return when the test ends, even
// those it has closed before; folders and the like are the Harness's own, by
// t.Cleanup.
type Harness struct {
	// Open returns an empty engine of at least two shards, on storage of its
	// own.
	Open func(t *testing.T) engine.Engine

	// Reopen returns an engine over the storage of e, which the suite has
	// closed.
	Reopen func(t *testing.T, e engine.Engine) engine.Engine

	// Crash returns an engine over what the storage of e would hold if the
	// power failed now, while e is in use: what was synced, and of what was
	// not as much as r decides. Before it returns it ends e for good: commits
	// in flight get an outcome, no matter which, and later ones fail.
	Crash func(t *testing.T, e engine.Engine, r *rand.Rand) engine.Engine

	// Faults are the ways in which the storage of an engine can fail and
	// recover.
	Faults []Fault

	// Corrupt changes the stored bytes of a record behind the back of e, and
	// returns the engine to read it with: e, or another over the same storage
	// if e had to be closed for it.
	Corrupt func(t *testing.T, e engine.Engine, p Place) engine.Engine

	// Runs is how many random runs the model tests make of each sort; 0: 12.
	Runs int
}

// A Fault is a way to fail, such as a full disk.
type Fault struct {
	Name string
	// Open returns an empty engine and a function that has its storage fail,
	// and work again. Writing must fail from the moment that set(true) has
	// returned, as far as it needs more of the storage.
	Open func(t *testing.T) (e engine.Engine, set func(failing bool))
}

// A Place names a record of a log or a queue.
type Place struct {
	Shard  engine.Shard
	Stream string
	Queue  bool
	Offset gatehouse.Offset
}

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	for _, group := range []struct {
		name  string
		tests []test
	}{
		{"Commit", commitTests},
		{"Own", ownTests},
		{"Queue", queueTests},
		{"Log", logTests},
		{"Drop", dropTests},
		{"State", stateTests},
		{"Table", tableTests},
		{"Lease", leaseTests},
		{"Close", closeTests},
		{"Reopen", reopenTests},
		{"Corrupt", corruptTests},
		{"Fault", faultTests},
		{"Crash", crashTests},
		{"Model", modelTests},
	} {
		t.Run(group.name, func(t *testing.T) {
			t.Parallel()
			for _, test := range group.tests {
				t.Run(test.name, func(t *testing.T) {
					t.Parallel()
					test.run(t, h)
				})
			}
		})
	}
}

// A test is one of the suite.
type test struct {
	name string
	run  func(t *testing.T, h Harness)
}

// on makes a test of one that needs an open engine and no more.
func on(run func(r *rig)) func(*testing.T, Harness) {
	return func(t *testing.T, h Harness) { run(open(t, h)) }
}
