package gate_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/adapter/adaptertest"
	"github.com/gatehouse/gatehouse/auth"
	"github.com/gatehouse/gatehouse/auth/secret"
	"github.com/gatehouse/gatehouse/channel"
	"github.com/gatehouse/gatehouse/directory"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/engine/memory"
	"github.com/gatehouse/gatehouse/gate"
	"github.com/gatehouse/gatehouse/handler"
	"github.com/gatehouse/gatehouse/inbox"
	"github.com/gatehouse/gatehouse/sas"
)

const (
	account  = adaptertest.Account
	sender   = adaptertest.Sender
	receiver = adaptertest.Receiver
	work     = adaptertest.Channel
)

// A tb is what helpers need of a test, be it of testing or of rapid.
type tb interface {
	Helper()
	Error(args ...any)
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// A rig is a world with what tests do in it.
type rig struct {
	tb
	*adaptertest.World
	engine   *memory.Engine
	sessions []*gate.Session // to be closed at the end
}

func newRig(t testing.TB) *rig {
	t.Helper()
	r := &rig{tb: t, engine: memory.New(memory.Options{})}
	r.World = adaptertest.NewWorld(t, func() engine.Engine { return r.engine }, secret.New)
	t.Cleanup(func() {
		for _, s := range r.sessions {
			s.Close()
		}
	})
	return r
}

// bubble runs a test under fake time.
func bubble(t *testing.T, f func(*rig)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { f(newRig(t)) })
}

func key(e gatehouse.EndpointName, rights gatehouse.Rights) auth.Credentials {
	k := adaptertest.SendKey(e)
	if rights == gatehouse.RightListen {
		k = adaptertest.ListenKey(e)
	}
	return auth.Password{User: account + "/" + string(e), Password: k}
}

func attempt(e gatehouse.EndpointName, need gatehouse.Rights) gate.Attempt {
	a := gate.Attempt{Account: account, Endpoint: e, Need: need, Protocol: "test", TLS: true}
	for _, right := range []gatehouse.Rights{gatehouse.RightSend, gatehouse.RightListen} {
		if need.Has(right) {
			a.Credentials = append(a.Credentials, key(e, right))
		}
	}
	return a
}

func (r *rig) open(a gate.Attempt) *gate.Session {
	r.Helper()
	s, err := r.Gate.Open(context.Background(), a)
	if err != nil {
		r.Fatal(err)
	}
	r.sessions = append(r.sessions, s)
	return s
}

// refused opens in vain and returns the kind of the refusal.
func (r *rig) refused(a gate.Attempt) gatehouse.Kind {
	r.Helper()
	s, err := r.Gate.Open(context.Background(), a)
	if err == nil {
		s.Close()
		r.Fatal("a session was opened")
	}
	return gatehouse.KindOf(err)
}

func (r *rig) sender() *gate.Session { return r.open(attempt(sender, gatehouse.RightSend)) }

func (r *rig) receiver() *gate.Session { return r.open(attempt(receiver, gatehouse.RightListen)) }

// change makes definitions, or fails.
func (r *rig) change(specs ...directory.Spec) {
	r.Helper()
	changes := make([]directory.Change, len(specs))
	for i, s := range specs {
		changes[i] = directory.Change{Spec: s}
	}
	if _, err := r.Directory.Update(context.Background(), account, changes...); err != nil {
		r.Fatal(err)
	}
}

func (r *rig) delete(k directory.Kind, name string) {
	r.Helper()
	if err := r.Directory.Delete(context.Background(), account, k, name, 0); err != nil {
		r.Fatal(err)
	}
}

// spec returns the present definition of an endpoint, to be changed.
func (r *rig) spec(e gatehouse.EndpointName) *directory.EndpointSpec {
	return r.Directory.Current().Account(account).Endpoint(e).Spec()
}

// An outcome is what a message's done was told.
type outcome struct {
	gate.Receipt
	err error
}

// submit submits messages and waits for their outcomes.
func submit(t tb, s *gate.Session, all bool, messages ...*gatehouse.Message) []outcome {
	t.Helper()
	var mu sync.Mutex
	var got []outcome
	done := make(chan struct{})
	take := func(r gate.Receipt, err error) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, outcome{r, err})
		if len(got) == len(messages) {
			close(done)
		}
	}
	f := s.Submit
	if all {
		f = s.SubmitAll
	}
	if err := f(context.Background(), take, messages...); err != nil {
		t.Fatal(err)
	}
	<-done
	return got
}

func one(t tb, s *gate.Session, m *gatehouse.Message) outcome {
	t.Helper()
	return submit(t, s, false, m)[0]
}

func note(i int) *gatehouse.Message {
	return &gatehouse.Message{ID: fmt.Sprint("n-", i), Body: fmt.Append(nil, i), To: []string{gatehouse.EndpointPrefix + receiver}}
}

// receive waits for a message.
func receive(t tb, s *gate.Session, dead bool) *inbox.Delivery {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	got, err := s.Receive(ctx, dead, inbox.ReceiveOptions{})
	if err != nil || len(got) != 1 {
		t.Fatalf("received %v: %v", got, err)
	}
	return got[0]
}

// nothing checks that no message waits.
func nothing(t tb, s *gate.Session) {
	t.Helper()
	got, err := s.Receive(context.Background(), false, inbox.ReceiveOptions{NoWait: true})
	if err != nil || len(got) != 0 {
		t.Fatalf("received %v: %v", got, err)
	}
}

// deliver gives the gate what a handler of the channel sent for one message at
// offset source.
func (r *rig) deliver(source gatehouse.Offset, outputs ...handler.Output) {
	r.Helper()
	if err := r.tryDeliver(source, outputs...); err != nil {
		r.Fatal(err)
	}
}

func (r *rig) tryDeliver(source gatehouse.Offset, outputs ...handler.Output) error {
	for i := range outputs {
		outputs[i].Source = source
	}
	return r.Gate.Deliver(context.Background(), &handler.Batch{
		Account: account, Channel: work, Handler: "h", Group: "h", Partition: 3, Outputs: outputs, Through: source,
	})
}

// dead returns the dead letters of handler h, in all partitions.
func (r *rig) dead(h string) []*gatehouse.Message {
	r.Helper()
	var all []*gatehouse.Message
	for p := range r.Gate.Channels.Partitions() {
		_, err := r.Gate.Channels.ReadDead(context.Background(), channel.ID{Account: account, Channel: work}, h, engine.Shard(p), 0, nil, func(m *gatehouse.Message) bool {
			all = append(all, m)
			return true
		})
		if err != nil {
			r.Fatal(err)
		}
	}
	return all
}

// token signs a token for the endpoint's publisher.
func token(e gatehouse.EndpointName, expires time.Time) auth.Credentials {
	return auth.SAS{Token: sas.Sign(account+"/publishers/"+string(e), "send", adaptertest.SendKey(e), expires)}
}
