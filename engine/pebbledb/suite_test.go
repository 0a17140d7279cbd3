package pebbledb_test

import (
	"testing"

	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/engine/enginetest"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func TestEngine(t *testing.T) {
	t.Parallel()
	enginetest.Run(t, enginetest.Harness{
		Open: func(t *testing.T) engine.Engine { return open(t, testOptions(vfs.NewMem())) },
	})
}
