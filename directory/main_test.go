package directory_test

import (
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// now is when decisions are asked about.
var now = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
