package gate_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/adapter/adaptertest"
	"github.com/gatehouse/gatehouse/auth"
	"github.com/gatehouse/gatehouse/config"
	"github.com/gatehouse/gatehouse/directory"
	"github.com/gatehouse/gatehouse/gate"
	"github.com/gatehouse/gatehouse/inbox"
	"github.com/gatehouse/gatehouse/restrict"
	"github.com/gatehouse/gatehouse/rule"
	"github.com/gatehouse/gatehouse/sas"
)

// TestEnds takes away, one by one, what a session stands on. Each session that
// stood on it has ended when the change returns, with the right kind.
func TestEnds(t *testing.T) {
	t.Parallel()
	everybody := rule.Selector{}
	for name, c := range map[string]struct {
		take func(*rig)
		kind gatehouse.Kind
	}{
		"revoked": {func(r *rig) { r.Revoke(sender) }, gatehouse.Revoked},
		"publisher revoked": {func(r *rig) {
			if err := r.Directory.Revoke(context.Background(), account, sender, directory.Revoked{Send: true}); err != nil {
				r.Fatal(err)
			}
		}, gatehouse.Revoked},
		"endpoint disabled": {func(r *rig) {
			s := r.spec(sender)
			s.Disabled = new(true)
			r.change(s)
		}, gatehouse.Revoked},
		"endpoint deleted": {func(r *rig) { r.delete(directory.KindEndpoint, sender) }, gatehouse.Revoked},
		"account disabled": {func(r *rig) { r.change(&directory.AccountSpec{Name: account, Disabled: true}) }, gatehouse.Revoked},
		"account deleted":  {func(r *rig) { r.delete(directory.KindAccount, account) }, gatehouse.Revoked},
		"key rotated out": {func(r *rig) {
			if _, err := r.Directory.Rotate(context.Background(), account, sender, gatehouse.PolicySend, directory.Primary); err != nil {
				r.Fatal(err)
			}
		}, gatehouse.Revoked},
		"protocol not listed": {func(r *rig) {
			s := r.spec(sender)
			s.Protocols = []string{"other"}
			r.change(s)
		}, gatehouse.Restricted},
		"network restricted": {func(r *rig) {
			r.change(&directory.RestrictionSpec{Restriction: restrict.Restriction{Name: "net", Endpoints: everybody, Networks: []string{"10.0.0.0/8"}}})
		}, gatehouse.Restricted},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			a := attempt(sender, gatehouse.RightSend)
			a.Remote = netip.MustParseAddrPort("192.0.2.1:99")
			s := r.open(a)
			c.take(r)
			select {
			case <-s.Done():
			default:
				t.Fatal("the session goes on")
			}
			if !errors.Is(s.Err(), c.kind) {
				t.Errorf("it ended with %v (%v), want kind %v", s.Err(), gatehouse.KindOf(s.Err()), c.kind)
			}
			if err := s.Submit(context.Background(), nil, note(1)); !errors.Is(err, c.kind) {
				t.Errorf("submitting to it: %v", err)
			}
			if k := r.refused(a); k != c.kind && k != gatehouse.Unauthenticated {
				t.Errorf("opening another: %v", k)
			}
		})
	}
}

// TestStands changes what a session does not stand on.
func TestStands(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.sender()
	if err := r.Directory.Revoke(context.Background(), account, sender, directory.Revoked{Listen: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Directory.Rotate(context.Background(), account, sender, gatehouse.PolicySend, directory.Secondary); err != nil {
		t.Fatal(err)
	}
	r.Revoke(receiver)
	r.delete(directory.KindRoute, "in")
	if err := s.Err(); err != nil {
		t.Fatalf("it ended: %v", err)
	}
	if o := one(t, s, note(1)); !errors.Is(o.err, gatehouse.Forbidden) {
		t.Errorf("a message without a route: %v", o.err)
	}
}

func TestExpiry(t *testing.T) {
	bubble(t, func(r *rig) {
		a := attempt(sender, gatehouse.RightSend)
		a.Credentials = []auth.Credentials{token(sender, time.Now().Add(time.Minute))}
		s := r.open(a)
		if err := s.Reauthenticate(context.Background(), token(sender, time.Now().Add(2*time.Minute))); err != nil {
			r.Fatal(err)
		}
		if err := s.Reauthenticate(context.Background(), token(receiver, time.Now().Add(time.Hour))); err == nil {
			r.Error("it took a token of another endpoint")
		}
		<-time.After(90 * time.Second)
		synctest.Wait()
		if s.Err() != nil {
			r.Errorf("it ended with its first token: %v", s.Err())
		}
		<-time.After(31 * time.Second)
		synctest.Wait()
		if !errors.Is(s.Err(), gatehouse.Expired) {
			r.Errorf("after its token's end: %v", s.Err())
		}
	})
}

// TestHours says that a session ends when the hours that allow it do.
func TestHours(t *testing.T) {
	bubble(t, func(r *rig) {
		now := time.Now().UTC() // midnight, in a bubble
		r.change(&directory.RestrictionSpec{Restriction: restrict.Restriction{
			Name: "night", Hours: &restrict.Hours{From: now.Format("15:04"), To: now.Add(time.Hour).Format("15:04")},
		}})
		s := r.receiver()
		<-time.After(59 * time.Minute)
		synctest.Wait()
		if s.Err() != nil {
			r.Fatalf("it ended within the hours: %v", s.Err())
		}
		<-time.After(61 * time.Second)
		synctest.Wait()
		if !errors.Is(s.Err(), gatehouse.Restricted) {
			r.Errorf("after the hours: %v", s.Err())
		}
	})
}

func TestReceiveEndsWithSession(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.receiver()
	waiting := make(chan error, 1)
	go func() {
		_, err := s.Receive(context.Background(), false, inbox.ReceiveOptions{})
		waiting <- err
	}()
	r.Revoke(receiver)
	if err := <-waiting; !errors.Is(err, gatehouse.Revoked) {
		t.Errorf("receive ended with %v", err)
	}
}

func TestRights(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.sender()
	if _, err := s.Receive(context.Background(), false, inbox.ReceiveOptions{NoWait: true}); !errors.Is(err, gatehouse.Forbidden) {
		t.Errorf("a sender receives: %v", err)
	}
	l := r.receiver()
	if err := l.Submit(context.Background(), nil, note(1)); !errors.Is(err, gatehouse.Forbidden) {
		t.Errorf("a listener sends: %v", err)
	}
	a := attempt(sender, gatehouse.RightSend|gatehouse.RightListen)
	both := r.open(a)
	if o := one(t, both, note(1)); o.err != nil {
		t.Error(o.err)
	}
	a.Credentials = a.Credentials[:1]
	if k := r.refused(a); k != gatehouse.Unauthenticated && k != gatehouse.Forbidden {
		t.Errorf("one key for both: %v", k)
	}
	a.Credentials = nil
	if k := r.refused(a); k != gatehouse.Unauthenticated {
		t.Errorf("no key at all: %v", k)
	}
}

func TestPlaintext(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := r.spec(sender)
	e.AllowPlaintext = false
	r.change(e)
	a := attempt(sender, gatehouse.RightSend)
	a.TLS = false
	if k := r.refused(a); k != gatehouse.Restricted {
		t.Errorf("without TLS: %v", k)
	}
}

// TestTrusted says that code inside produces to a channel and needs no route.
func TestTrusted(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.delete(directory.KindRoute, "in")
	a := gate.Attempt{
		Account: account, Channel: work, Need: gatehouse.RightChannels, Protocol: "test", TLS: true,
		Credentials: []auth.Credentials{auth.Password{User: account + "/$policies/" + adaptertest.Policy, Password: adaptertest.PolicyKey()}},
	}
	s := r.open(a)
	o := one(t, s, note(1))
	if o.err != nil || len(o.Channels) != 1 || o.Channels[0] != work {
		t.Fatalf("%+v", o)
	}
	if d := receive(t, r.receiver(), false); d.Message.Source != "/"+account+"/$policies/"+adaptertest.Policy || d.Message.Channel != work {
		t.Errorf("%+v", d.Message)
	}
	a.Channel = "nowhere"
	if k := r.refused(a); k != gatehouse.NotFound {
		t.Errorf("a channel that is not there: %v", k)
	}
	r.delete(directory.KindChannel, work)
	if !errors.Is(s.Err(), gatehouse.NotFound) {
		t.Errorf("its channel is deleted: %v", s.Err())
	}
}

// TestSpelling says that a client may write names in any case, and that they
// are in messages as they were defined all the same.
func TestSpelling(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := attempt(sender, gatehouse.RightSend)
	a.Account, a.Endpoint = gatehouse.AccountName(strings.ToUpper(account)), gatehouse.EndpointName(strings.ToUpper(sender))
	if o := one(t, r.open(a), note(1)); o.err != nil {
		t.Fatal(o.err)
	}
	if d := receive(t, r.receiver(), false); d.Message.Source != "/"+account+"/endpoints/"+sender {
		t.Errorf("the source is %q", d.Message.Source)
	}
}

func TestSessions(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.receiver()
	all := r.Gate.Sessions(account)
	if len(all) != 1 || all[0].Info().Endpoint != receiver || all[0].Info().Rights != "listen" {
		t.Fatalf("%+v", all)
	}
	all[0].End("test")
	if !errors.Is(s.Err(), gatehouse.Unavailable) || len(r.Gate.Sessions(account)) != 0 {
		t.Errorf("%v", s.Err())
	}
}

// TestGroups goes through a group's life by the gate.
func TestGroups(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	m := note(1)
	m.Group = "g"
	if o := one(t, r.sender(), m); o.err != nil {
		t.Fatal(o.err)
	}
	s := r.receiver()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	lock, err := s.AcceptGroup(ctx, false, "", 0)
	if err != nil || lock.Group != "g" {
		t.Fatalf("%+v, %v", lock, err)
	}
	if err := s.SetGroupState(ctx, lock, []byte("half")); err != nil {
		t.Error(err)
	}
	if b, err := s.GroupState(lock); err != nil || string(b) != "half" {
		t.Errorf("%q, %v", b, err)
	}
	if _, err := s.RenewGroup(lock); err != nil {
		t.Error(err)
	}
	got, err := s.Receive(ctx, false, inbox.ReceiveOptions{Session: lock})
	if err != nil || len(got) != 1 {
		t.Fatalf("%v, %v", got, err)
	}
	other := r.open(attempt(sender, gatehouse.RightListen))
	if _, err := other.GroupState(lock); !errors.Is(err, gatehouse.Forbidden) {
		t.Errorf("another endpoint uses the lock: %v", err)
	}
	if err := s.Settle(ctx, false, inbox.Settlement{Lock: got[0].Lock}); err != nil {
		t.Error(err)
	}
	if err := s.ReleaseGroup(lock); err != nil {
		t.Error(err)
	}
}

// TestLimiterOutlivesSession says that opening anew does not refill a bucket.
func TestLimiterOutlivesSession(t *testing.T) {
	bubble(t, func(r *rig) {
		r.change(&directory.RestrictionSpec{Restriction: restrict.Restriction{
			Name: "slow", Rate: &restrict.Rate{Messages: 0.01, MessageBurst: 2, Bytes: config.Size(1 << 20)},
		}})
		for i, want := range []gatehouse.Kind{0, 0, gatehouse.RateLimited} {
			s := r.sender()
			o := one(r.tb, s, note(i))
			if want == 0 && o.err != nil || want != 0 && !errors.Is(o.err, want) {
				r.Errorf("message %d: %v", i, o.err)
			}
			s.Close()
		}
	})
}

// TestSendWhileRenewing says that a client may renew its token while it sends.
func TestSendWhileRenewing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := attempt(sender, gatehouse.RightSend)
	proof := token(sender, time.Now().Add(time.Hour))
	a.Credentials = []auth.Credentials{proof}
	s := r.open(a)
	var renewing sync.WaitGroup
	renewing.Go(func() {
		for range 500 {
			if err := s.Reauthenticate(context.Background(), proof); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for i := range 500 {
		if o := one(t, s, note(i)); o.err != nil {
			t.Error(o.err)
			break
		}
	}
	renewing.Wait()
}

// A rotating authenticator has a key rotated out just after it proved somebody.
type rotating struct {
	auth.Authenticator
	rotate func()
}

func (a rotating) Authenticate(ctx context.Context, r *auth.Request) (gatehouse.Identity, error) {
	id, err := a.Authenticator.Authenticate(ctx, r)
	if err == nil {
		a.rotate()
	}
	return id, err
}

// TestRotatedWhileRenewing rotates a key out while a session is renewed with it:
// nobody looks at the session again, so it must end.
func TestRotatedWhileRenewing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := attempt(sender, gatehouse.RightSend)
	a.Credentials = []auth.Credentials{auth.SAS{Token: sas.Sign(account+"/endpoints/"+sender, adaptertest.Policy, adaptertest.PolicyKey(), time.Now().Add(time.Hour))}}
	s := r.open(a)
	r.Gate.Auth = rotating{r.Gate.Auth, func() {
		if _, err := r.Directory.Rotate(context.Background(), account, sender, gatehouse.PolicySend, directory.Primary); err != nil {
			t.Error(err)
		}
	}}
	if err := s.Reauthenticate(context.Background(), token(sender, time.Now().Add(time.Hour))); !errors.Is(err, gatehouse.Revoked) {
		t.Fatalf("renewed: %v", err)
	}
	if !errors.Is(s.Err(), gatehouse.Revoked) {
		t.Errorf("the session goes on: %v", s.Err())
	}
}

// What is taken away while a session is being opened, after it was looked at,
// keeps it from being opened, and who counts sessions ends with none.
func TestTakenWhileOpening(t *testing.T) {
	t.Parallel()
	for name, take := range map[string]func(*rig){
		"revoked": func(r *rig) { r.Revoke(sender) },
		"deleted": func(r *rig) { r.delete(directory.KindEndpoint, sender) },
		"rotated out": func(r *rig) {
			if _, err := r.Directory.Rotate(context.Background(), account, sender, gatehouse.PolicySend, directory.Primary); err != nil {
				r.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			var told []string
			r.Gate.Events.Opened = func(string) {
				told = append(told, "opened")
				take(r)
			}
			r.Gate.Events.Closed = func(string) { told = append(told, "closed") }
			if kind := r.refused(attempt(sender, gatehouse.RightSend)); kind != gatehouse.Revoked && kind != gatehouse.NotFound {
				t.Error(kind)
			}
			if !slices.Equal(told, []string{"opened", "closed"}) {
				t.Error(told)
			}
		})
	}
}

// TestRotatedWhileOpening rotates a key out just after it proved who opens a
// session: what was proven does not stand any more.
func TestRotatedWhileOpening(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Gate.Auth = rotating{r.Gate.Auth, func() {
		if _, err := r.Directory.Rotate(context.Background(), account, sender, gatehouse.PolicySend, directory.Primary); err != nil {
			t.Error(err)
		}
	}}
	if kind := r.refused(attempt(sender, gatehouse.RightSend)); kind != gatehouse.Revoked {
		t.Error(kind)
	}
}
