package httpapi

import (
	"testing"

	"github.com/gatehouse/gatehouse/adapter/adaptertest"
	"github.com/gatehouse/gatehouse/auth/secret"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/engine/memory"
)

func newEngine() engine.Engine { return memory.New(memory.Options{}) }

func newWorld(t testing.TB) *adaptertest.World {
	t.Helper()
	return adaptertest.NewWorld(t, newEngine, secret.New)
}
