package gate_test

import (
	"context"
	"errors"
	"testing"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/auth"
	"github.com/gatehouse/gatehouse/directory"
	"github.com/gatehouse/gatehouse/gate"
	"github.com/gatehouse/gatehouse/inbox"
)

// A given is what ReceiveLater gave.
type given struct {
	got []*inbox.Delivery
	err error
}

func later(r *rig, s *gate.Session) (*inbox.Waiting, chan given) {
	r.Helper()
	ch := make(chan given, 1)
	w, err := s.ReceiveLater(context.Background(), false, inbox.ReceiveOptions{Max: 10}, func(got []*inbox.Delivery, err error) { ch <- given{got, err} })
	if err != nil {
		r.Fatal(err)
	}
	return w, ch
}

// Receivers that wait without a goroutine have their turn with others; given
// back, a message comes again, also after the end of the session.
func TestReceiveLater(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.receiver()
	first, one1 := later(r, s)
	_, two := later(r, s)
	if !first.Cancel() {
		t.Fatal("a waiting receive could not be cancelled")
	}
	one(t, r.sender(), note(1))
	g := <-two
	if g.err != nil || len(g.got) != 1 || g.got[0].Count != 1 {
		t.Fatalf("%v, %v", g.got, g.err)
	}
	third, three := later(r, s)
	s.Close()
	if err := s.GiveBack(context.Background(), false, true, g.got[0].Lock); err != nil {
		t.Fatal(err)
	}
	if g := <-three; g.got != nil || g.err == nil {
		t.Errorf("after the end of the session: %v, %v", g.got, g.err)
	}
	if third.Cancel() {
		t.Error("cancelled what had come")
	}
	if d := receive(t, r.receiver(), false); d.Count != 2 {
		t.Errorf("delivery %d", d.Count)
	}
	if len(one1) != 0 {
		t.Error("a cancelled receive was given something")
	}
}

// A session that wants rights gets those that are proven and not revoked.
func TestWantedRights(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const both = gatehouse.RightSend | gatehouse.RightListen
	want := func(rights gatehouse.Rights) gate.Attempt {
		a := attempt(receiver, rights)
		a.Need, a.Want = 0, both
		return a
	}
	for _, rights := range []gatehouse.Rights{gatehouse.RightSend, gatehouse.RightListen, both} {
		s := r.open(want(rights))
		if got := s.Identity().Rights; got != rights {
			t.Errorf("with proof of %b: %b", rights, got)
		}
		if err := s.Reauthenticate(context.Background(), want(rights).Credentials...); err != nil {
			t.Errorf("renewed: %v", err)
		}
		if err := s.Reauthenticate(context.Background(), auth.Password{User: account + "/" + receiver, Password: "wrong"}); !errors.Is(err, gatehouse.Unauthenticated) {
			t.Errorf("renewed with a wrong key: %v", err)
		}
	}
	if err := r.Directory.Revoke(context.Background(), account, receiver, directory.Revoked{Send: true}); err != nil {
		t.Fatal(err)
	}
	if got := r.open(want(both)).Identity().Rights; got != gatehouse.RightListen {
		t.Errorf("without the publisher: %b", got)
	}
	if kind := r.refused(want(gatehouse.RightSend)); kind != gatehouse.Revoked {
		t.Errorf("with the revoked publisher alone: %v", kind)
	}
	a := want(0)
	a.Credentials = []auth.Credentials{auth.Password{User: account + "/" + receiver, Password: "wrong"}}
	if kind := r.refused(a); kind != gatehouse.Unauthenticated {
		t.Errorf("with a wrong key: %v", kind)
	}
}
