package handlertest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/handler"
)

type work func(ctx context.Context, m *gatehouse.Message, out handler.Sender) error

func (w work) Handle(ctx context.Context, m *gatehouse.Message, out handler.Sender) error {
	return w(ctx, m, out)
}

func good(_ context.Context, m *gatehouse.Message, out handler.Sender) error {
	if m.Type == "bad" {
		return handler.Reject("Bad", errors.New("bad"))
	}
	out.Send("endpoints/e", m)
	out.SendLabels("site=oslo", &gatehouse.Message{ID: m.ID + "-copy", Body: m.Body})
	return nil
}

func harness(make func() work) Harness {
	return Harness{
		New: func(*testing.T) handler.Handler { return make() },
		Messages: []*gatehouse.Message{
			{ID: "1", To: []string{"endpoints/a"}, Body: []byte("one")}, {ID: "2", Attributes: []gatehouse.Attribute{{Name: "x"}}, Body: []byte("two")},
		},
		Rejected: map[string]*gatehouse.Message{"Bad": {ID: "3", Type: "bad"}},
	}
}

func TestRun(t *testing.T) {
	t.Parallel()
	h := harness(func() work { return good })
	h.Blocked = func(*testing.T) (handler.Handler, *gatehouse.Message) {
		return work(func(ctx context.Context, _ *gatehouse.Message, _ handler.Sender) error {
			<-ctx.Done()
			return ctx.Err()
		}), &gatehouse.Message{}
	}
	Run(t, h)
}

// Each check finds the handler that does what it forbids.
func TestChecksFind(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		check func(*Harness, func() handler.Handler) error
		make  func() work
		text  string
	}{
		{"fails", checkOutcome, func() work {
			return func(context.Context, *gatehouse.Message, handler.Sender) error { return errors.New("no") }
		}, `message "1": no`},
		{"accepts everything", checkOutcome, func() work {
			return func(context.Context, *gatehouse.Message, handler.Sender) error { return nil }
		}, "want it given up with reason Bad"},
		{"sends nowhere", checkOutcome, func() work {
			return func(ctx context.Context, m *gatehouse.Message, out handler.Sender) error {
				out.Send("", m)
				return good(ctx, m, out)
			}
		}, "output 0 is incomplete"},
		{"changes", checkUnchanged, func() work {
			return func(_ context.Context, m *gatehouse.Message, _ handler.Sender) error {
				if len(m.Body) > 0 {
					m.Body[0] ^= 1
				}
				return nil
			}
		}, "was changed"},
		{"counts", checkRepeat, func() work {
			n := 0
			return func(_ context.Context, m *gatehouse.Message, out handler.Sender) error {
				if n++; n > 3 {
					out.Send("endpoints/e", m)
				}
				return nil
			}
		}, "1 messages are sent; 0 were"},
		{"reuses memory", checkRepeat, func() work {
			shared := new(gatehouse.Message)
			return func(_ context.Context, m *gatehouse.Message, out handler.Sender) error {
				*shared = *m
				out.Send("endpoints/e", shared)
				return nil
			}
		}, "what was sent has changed"},
		{"mixes callers up", checkConcurrent, func() work {
			var mu sync.Mutex
			n := 0
			return func(_ context.Context, m *gatehouse.Message, out handler.Sender) error {
				mu.Lock()
				defer mu.Unlock()
				if n++; n > 10 {
					return errors.New("too many")
				}
				return nil
			}
		}, "while others are handled"},
		{"panics", checkOdd, func() work {
			return func(_ context.Context, m *gatehouse.Message, _ handler.Sender) error {
				_ = m.To[0]
				return nil
			}
		}, "makes the handler panic"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := harness(func() work { return good })
			make := func() handler.Handler { return tt.make() }
			if err := tt.check(&h, make); err == nil || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("error %v; want %q", err, tt.text)
			}
		})
	}
}

func TestDoneFinds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := harness(func() work { return good })
		forever := make(chan struct{})
		deaf := work(func(context.Context, *gatehouse.Message, handler.Sender) error { <-forever; return nil })
		if err := checkDone(&h, func() handler.Handler { return deaf }); err == nil {
			t.Error("a handler that ignores its context is not found")
		}
		if err := checkBlocked(deaf, &gatehouse.Message{}); err == nil {
			t.Error("a handler that waits on is not found")
		}
		close(forever)
	})
}
