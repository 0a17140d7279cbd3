package problem_test

import (
	"errors"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/problem"
)

// TestTotal says that every kind has a status of its own choosing, and comes
// back as the same kind.
func TestTotal(t *testing.T) {
	t.Parallel()
	for _, k := range gatehouse.Kinds() {
		p := problem.New(gatehouse.Errorf(k, "why"))
		if p.Kind != k.String() || p.Status < 400 || p.Title == "" {
			t.Errorf("%v: %+v", k, p)
		}
		if k != gatehouse.Internal && (p.Detail != "why" || p.Status == 500) {
			t.Errorf("%v: %+v", k, p)
		}
		if err := p.Err(); !errors.Is(err, k) {
			t.Errorf("%v came back as %v", k, gatehouse.KindOf(err))
		}
	}
}

func TestInternalIsNotShown(t *testing.T) {
	t.Parallel()
	for _, err := range []error{errors.New("secret"), gatehouse.Errorf(gatehouse.Internal, "secret"), gatehouse.Errorf(gatehouse.Kind(200), "secret")} {
		if p := problem.New(err); p.Detail != "" || p.Status != 500 || p.Kind != "Internal" {
			t.Errorf("%+v", p)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	if p := problem.New(gatehouse.Errorf(gatehouse.Unavailable, "x")); p.RetryAfter != 1 {
		t.Errorf("%+v", p)
	}
	limited := gatehouse.Errorf(gatehouse.RateLimited, "x")
	limited.RetryAfter, limited.Rule = 2500*time.Millisecond, "slow"
	p := problem.New(limited)
	if p.RetryAfter != 2.5 || p.Rule != "slow" {
		t.Errorf("%+v", p)
	}
	var e *gatehouse.Error
	if err := p.Err(); !errors.As(err, &e) || e.RetryAfter != limited.RetryAfter || e.Rule != "slow" {
		t.Errorf("%+v", err)
	}
}
