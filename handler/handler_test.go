package handler_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/handler"
)

func TestOutcome(t *testing.T) {
	t.Parallel()
	plain := errors.New("no")
	limited := gatehouse.Errorf(gatehouse.RateLimited, "slow down")
	limited.RetryAfter = time.Minute
	for _, tt := range []struct {
		name      string
		err       error
		transient bool
		after     time.Duration
		reason    string
	}{
		{"plain", plain, false, 0, handler.ReasonFailed},
		{"marked", handler.Transient(plain, time.Second), true, time.Second, handler.ReasonFailed},
		{"marked and wrapped", fmt.Errorf("to x: %w", handler.Transient(plain, 0)), true, 0, handler.ReasonFailed},
		{"invalid", gatehouse.Errorf(gatehouse.Invalid, "bad"), false, 0, handler.ReasonFailed},
		{"unavailable", gatehouse.Errorf(gatehouse.Unavailable, "away"), true, 0, handler.ReasonFailed},
		{"rate limited", limited, true, time.Minute, handler.ReasonFailed},
		{"rejected", handler.Reject("NoDestination", plain), false, 0, "NoDestination"},
		{"rejected and wrapped", fmt.Errorf("x: %w", handler.Reject("NoDestination", plain)), false, 0, "NoDestination"},
		{"rejected for good", handler.Reject("Gone", limited), false, 0, "Gone"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			after, ok := handler.IsTransient(tt.err)
			if ok != tt.transient || after != tt.after {
				t.Errorf("IsTransient: %v, %v; want %v, %v", after, ok, tt.after, tt.transient)
			}
			if got := handler.Reason(tt.err); got != tt.reason {
				t.Errorf("Reason: %q; want %q", got, tt.reason)
			}
			if !errors.Is(tt.err, plain) && !errors.Is(tt.err, limited) && gatehouse.KindOf(tt.err) == gatehouse.Internal {
				t.Error("the cause is hidden")
			}
		})
	}
}
