package inbox_test

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/engine/memory"
	"github.com/gatehouse/gatehouse/inbox"
)

var (
	modelRuns  = flag.Int("model.runs", 60, "runs of the model test")
	modelSteps = flag.Int("model.steps", 300, "operations in each run")
	modelSeed  = flag.Uint64("model.seed", 1, "seed of the first run")
)

// An item is what the model knows about a message.
type item struct {
	id        string
	seq       gatehouse.Offset // zero until seen
	group     string
	count     uint32 // deliveries that failed
	deferred  bool
	lock      inbox.LockToken // zero: not locked
	until     time.Time
	session   *modelSession
	expires   time.Time
	notBefore time.Time
	unsure    bool // a change was reported as failed, and may have been stored
	// vague says that what is stored may differ from what the Set remembers,
	// which shows when it reads the inbox anew.
	vague bool
	dead  bool
}

type modelSession struct {
	lock  *inbox.SessionLock
	until time.Time
}

// A model is a simple inbox: two lists, everything looked up the slow way.
type model struct {
	t        *testing.T
	rand     *rand.Rand
	shaky    *shaky
	r        *rig
	items    map[string]*item
	sessions map[string]*modelSession
	next     int
	log      []string
	limit    int // of messages; 0: none
}

const modelDeliveries = 4

func (m *model) options() inbox.Options {
	return inbox.Options{
		Idle: 3 * time.Second,
		Policy: func(inbox.Key) inbox.Policy {
			return inbox.Policy{Lock: 30 * time.Second, MaxDeliveries: modelDeliveries, DeadLetterExpired: true, MaxMessages: m.limit}
		},
	}
}

func TestModel(t *testing.T) {
	t.Parallel()
	for i := range *modelRuns {
		seed := *modelSeed + uint64(i)
		ok := t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { runModel(t, seed) })
		})
		if !ok {
			return
		}
	}
}

func runModel(t *testing.T, seed uint64) {
	m := &model{t: t, rand: rand.New(rand.NewPCG(seed, 7)), items: make(map[string]*item), sessions: make(map[string]*modelSession)}
	if seed%3 == 0 {
		m.limit = 12
	}
	e := memory.New(memory.Options{})
	m.shaky = newShaky(e, rand.New(rand.NewPCG(seed, 8)))
	m.r = startWith(t, e, m.shaky, m.options())
	defer func() {
		if t.Failed() {
			t.Logf("operations of run %d:\n%s", seed, strings.Join(m.log, "\n"))
		}
		m.r.keep = true
		m.r.stop()
		m.shaky.close()
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}()
	steps := []struct {
		weight int
		run    func()
	}{
		{20, m.put},
		{20, m.receive},
		{25, m.settle},
		{6, m.pass},
		{3, m.renew},
		{4, m.receiveDeferred},
		{4, m.session},
		{2, m.crash},
		{1, m.restart},
		{1, m.purge},
		{2, m.resubmit},
		{3, m.trouble},
	}
	total := 0
	for _, s := range steps {
		total += s.weight
	}
	for range *modelSteps {
		n := m.rand.IntN(total)
		for _, s := range steps {
			if n -= s.weight; n < 0 {
				s.run()
				break
			}
		}
		m.check()
		if t.Failed() {
			return
		}
	}
}

func (m *model) say(format string, args ...any) { m.log = append(m.log, fmt.Sprintf(format, args...)) }

// sorted returns the items that are where dead says, in order.
func (m *model) sorted(dead bool) []*item {
	all := slices.Collect(maps.Values(m.items))
	all = slices.DeleteFunc(all, func(i *item) bool { return i.dead != dead })
	slices.SortFunc(all, func(a, b *item) int { return int(a.seq) - int(b.seq) })
	return all
}

func (m *model) pick(ok func(*item) bool) *item {
	var some []*item
	for _, dead := range [...]bool{false, true} {
		for _, i := range m.sorted(dead) {
			if ok(i) {
				some = append(some, i)
			}
		}
	}
	if len(some) == 0 {
		return nil
	}
	return some[m.rand.IntN(len(some))]
}

func (i *item) expired() bool { return !i.expires.IsZero() && !time.Now().Before(i.expires) }

func (i *item) locked() bool { return !i.lock.IsZero() }

// available says which messages a receiver could get, in order.
func (m *model) available(dead bool, s *modelSession) []*item {
	return slices.DeleteFunc(m.sorted(dead), func(i *item) bool {
		if i.locked() || i.deferred || i.expired() || i.notBefore.After(time.Now()) {
			return true
		}
		if s != nil {
			return i.group != s.lock.Group
		}
		return !dead && m.sessions[i.group] != nil
	})
}

func (m *model) key(dead bool) inbox.Key {
	k := pump
	k.Dead = dead
	return k
}

func (m *model) newMessage() *gatehouse.Message {
	m.next++
	v := msg(fmt.Sprintf("m%d", m.next))
	if m.rand.IntN(3) == 0 {
		v.Group = string(rune('x' + m.rand.IntN(2)))
	}
	if m.rand.IntN(6) == 0 {
		v.TTL = time.Duration(1+m.rand.IntN(90)) * time.Second
	}
	if m.rand.IntN(8) == 0 {
		v.NotBefore = time.Now().Add(time.Duration(1+m.rand.IntN(60)) * time.Second)
	}
	return v
}

func (m *model) put() {
	puts := make([]inbox.Put, 1+m.rand.IntN(4))
	for i := range puts {
		puts[i] = inbox.Put{Key: pump, Message: m.newMessage()}
	}
	stored := len(m.sorted(false))
	done := make(chan error, 1)
	if err := m.r.Deliver(context.Background(), m.r.Shard(pump), puts, engine.Row{}, func(err error) { done <- err }); err != nil {
		m.t.Errorf("Deliver: %v", err)
		return
	}
	err := <-done
	for i := range puts {
		v := puts[i].Message
		m.say("put %s group %q ttl %v not before %v: %v %v", v.ID, v.Group, v.TTL, v.NotBefore, err, puts[i].Err)
		full := m.limit > 0 && stored+i >= m.limit
		if full != (puts[i].Err != nil) && err == nil {
			m.t.Errorf("put of %s with %d messages there: %v", v.ID, stored+i, puts[i].Err)
		}
		if puts[i].Err == nil {
			m.items[v.ID] = &item{id: v.ID, group: v.Group, expires: v.Expires(), notBefore: v.NotBefore, unsure: err != nil}
		}
	}
}

func (m *model) receive() {
	dead := m.rand.IntN(5) == 0
	o := inbox.ReceiveOptions{Max: 1 + m.rand.IntN(4), Delete: m.rand.IntN(8) == 0, NoWait: true}
	var s *modelSession
	if len(m.sessions) > 0 && m.rand.IntN(2) == 0 && !dead {
		groups := slices.Sorted(maps.Keys(m.sessions))
		s = m.sessions[groups[m.rand.IntN(len(groups))]]
		o.Session = s.lock
	}
	want := m.available(dead, s)
	got, err := m.r.Receive(context.Background(), m.key(dead), o)
	m.say("receive dead %v max %d delete %v session %v: %s %v", dead, o.Max, o.Delete, s != nil, ids(got), err)
	if err != nil {
		if !o.Delete {
			m.t.Errorf("Receive: %v", err)
		}
		for _, i := range want {
			i.unsure = true
		}
		return
	}
	// An unsure message may be gone, in which case it is passed over.
	for _, d := range got {
		for len(want) > 0 && want[0].id != d.Message.ID && want[0].unsure {
			want = want[1:]
		}
		if len(want) == 0 || want[0].id != d.Message.ID {
			m.t.Errorf("received %s out of turn", d.Message.ID)
			return
		}
		m.given(want[0], d, s)
		want = want[1:]
		if o.Delete {
			delete(m.items, d.Message.ID)
		}
	}
	if len(got) == 0 && slices.ContainsFunc(want, func(i *item) bool { return !i.unsure }) {
		m.t.Errorf("received nothing although %s is there", want[0].id)
	}
}

// given checks and notes that i was delivered.
func (m *model) given(i *item, d *inbox.Delivery, s *modelSession) {
	if i.locked() {
		m.t.Errorf("%s is locked twice", i.id)
	}
	if d.Count != i.count+1 && !i.unsure {
		m.t.Errorf("%s is delivery %d, want %d", i.id, d.Count, i.count+1)
	}
	i.count = d.Count - 1
	i.lock, i.until, i.session, i.unsure = d.Lock, d.LockedUntil, s, false
}

func (m *model) settle() {
	i := m.pick((*item).locked)
	if i == nil {
		return
	}
	outcome := inbox.Outcome(m.rand.IntN(5))
	if m.rand.IntN(3) == 0 {
		outcome = inbox.Complete
	}
	err := m.r.Settle(context.Background(), m.key(i.dead), []inbox.Settlement{{Lock: i.lock, Outcome: outcome}})
	m.say("settle %s %v: %v", i.id, outcome, err)
	switch {
	case outcome == inbox.DeadLetter && i.dead:
		wantKind(m.t, err, gatehouse.Invalid)
	case err == nil:
		m.settled(i, outcome)
	case m.shaky.mode == sound && !i.unsure:
		m.t.Errorf("settling %s: %v", i.id, err)
	default:
		i.unsure, i.vague = true, true
	}
}

func (m *model) settled(i *item, outcome inbox.Outcome) {
	i.lock, i.session = inbox.LockToken{}, nil
	switch outcome {
	case inbox.Complete:
		delete(m.items, i.id)
	case inbox.Abandon:
		m.failed(i)
	case inbox.Defer:
		i.deferred = true
	case inbox.DeadLetter:
		m.die(i)
	}
}

func (m *model) failed(i *item) {
	i.count++
	if i.count >= modelDeliveries && !i.dead {
		m.die(i)
	}
}

func (m *model) die(i *item) {
	*i = item{id: i.id, group: i.group, dead: true, unsure: i.unsure}
}

func (m *model) renew() {
	i := m.pick((*item).locked)
	if i == nil {
		return
	}
	until, err := m.r.Renew(m.key(i.dead), i.seq, i.lock)
	m.say("renew %s: %v", i.id, err)
	if err != nil {
		m.t.Errorf("renewing %s: %v", i.id, err)
		return
	}
	i.until = until
	if s := i.session; s != nil {
		s.until = until
		for _, j := range m.items {
			if j.session == s {
				j.until = until
			}
		}
	}
}

func (m *model) receiveDeferred() {
	i := m.pick(func(i *item) bool {
		return i.deferred && !i.locked() && !i.expired() && !i.unsure && (i.dead || m.sessions[i.group] == nil)
	})
	if i == nil {
		return
	}
	got, err := m.r.ReceiveDeferred(context.Background(), m.key(i.dead), inbox.ReceiveOptions{}, i.seq)
	m.say("receive deferred %s: %v", i.id, err)
	if err != nil {
		m.t.Errorf("receiving deferred %s: %v", i.id, err)
		return
	}
	m.given(i, got[0], nil)
}

// pass lets time pass: locks and sessions run out, messages expire.
func (m *model) pass() {
	d := time.Duration(1+m.rand.IntN(45)) * time.Second
	m.say("pass %v", d)
	pass(d)
	now := time.Now()
	for g, s := range m.sessions {
		if !s.until.After(now) {
			delete(m.sessions, g)
		}
	}
	for _, i := range m.items {
		if i.locked() && !i.until.After(now) {
			i.lock, i.session = inbox.LockToken{}, nil
			m.failed(i)
		}
	}
}

func (m *model) session() {
	g := string(rune('x' + m.rand.IntN(2)))
	s := m.sessions[g]
	if s == nil {
		l, err := m.r.AcceptSession(context.Background(), pump, g, 0)
		m.say("accept %s: %v", g, err)
		if err != nil {
			m.t.Errorf("accepting %s: %v", g, err)
			return
		}
		m.sessions[g] = &modelSession{lock: l, until: l.LockedUntil}
		return
	}
	err := m.r.ReleaseSession(s.lock)
	m.say("release %s: %v", g, err)
	if err != nil {
		m.t.Errorf("releasing %s: %v", g, err)
	}
	delete(m.sessions, g)
	for _, i := range m.items {
		if i.session == s {
			i.lock, i.session = inbox.LockToken{}, nil
		}
	}
}

// unlock notes that the locks are gone.
func (m *model) unlock() {
	clear(m.sessions)
	for _, i := range m.items {
		i.lock, i.session = inbox.LockToken{}, nil
	}
}

func (m *model) restart() {
	m.say("restart")
	m.r.keep = true
	m.r.stop()
	m.unlock()
	m.r = startWith(m.t, m.r.engine, m.shaky, m.options())
}

// crash stops everything at some point of several operations under way.
func (m *model) crash() {
	m.say("crash")
	m.shaky.set(dying)
	for range 1 + m.rand.IntN(6) {
		m.oneOf(m.put, m.settle, m.settle, m.receive)
	}
	m.shaky.set(failing)
	m.restart()
	m.shaky.set(sound)
}

func (m *model) oneOf(steps ...func()) {
	steps[m.rand.IntN(len(steps))]()
	m.check()
}

// trouble has storage fail for a while.
func (m *model) trouble() {
	if m.limit == 0 && m.rand.IntN(2) == 0 {
		m.say("doubt")
		m.shaky.set(doubt)
	} else {
		m.say("failing")
		m.shaky.set(failing)
	}
	for range 1 + m.rand.IntN(4) {
		m.oneOf(m.put, m.settle, m.settle, m.receive)
	}
	m.shaky.set(sound)
	m.say("sound")
}

func (m *model) purge() {
	dead := m.rand.IntN(2) == 0
	n, err := m.r.Purge(context.Background(), m.key(dead), time.Time{})
	m.say("purge dead %v: %d %v", dead, n, err)
	if err != nil {
		m.t.Errorf("Purge: %v", err)
	}
	for _, i := range m.sorted(dead) {
		if !i.locked() {
			delete(m.items, i.id)
		}
	}
}

func (m *model) resubmit() {
	i := m.pick(func(i *item) bool { return i.dead && !i.locked() && !i.unsure })
	if i == nil {
		return
	}
	full := m.limit > 0 && len(m.sorted(false)) >= m.limit
	res, err := m.r.Resubmit(context.Background(), pump, always, i.seq)
	m.say("resubmit %s: %+v %v", i.id, res, err)
	if err != nil || (res.Moved == 1) == full {
		m.t.Errorf("resubmitting %s, full %v: %+v %v", i.id, full, res, err)
	}
	if res.Moved == 1 {
		*i = item{id: i.id, group: i.group}
	}
}

// check compares the model with what is stored, and learns from it.
func (m *model) check() {
	if m.t.Failed() {
		return
	}
	synctest.Wait()
	stored := make(map[string]*inbox.Delivery)
	for _, dead := range [...]bool{false, true} {
		seen, err := m.r.Peek(context.Background(), m.key(dead), 0, 10000)
		if err != nil {
			m.t.Errorf("Peek: %v", err)
			return
		}
		for _, d := range seen {
			if stored[d.Message.ID] != nil {
				m.t.Errorf("%s is there twice", d.Message.ID)
			}
			stored[d.Message.ID] = d
			m.compare(m.items[d.Message.ID], d, dead)
		}
	}
	for id, i := range m.items {
		if stored[id] != nil {
			continue
		}
		if !i.unsure {
			m.t.Errorf("%s is lost", id)
		}
		delete(m.items, id)
	}
}

func (m *model) compare(i *item, d *inbox.Delivery, dead bool) {
	if i == nil {
		m.t.Errorf("%s came back", d.Message.ID)
		return
	}
	if (d.Message.Dead != nil) != dead {
		m.t.Errorf("%s in the wrong queue, dead %v", i.id, dead)
	}
	if dead && !i.dead && (i.unsure || i.expired() && !i.locked()) {
		m.die(i)
	}
	if (i.unsure || i.vague) && !i.locked() {
		i.count, i.deferred = d.Count, d.State == inbox.Deferred
	}
	i.expires = d.Expires
	if i.seq != 0 && i.seq != d.Sequence {
		m.t.Errorf("%s has moved from %d to %d", i.id, i.seq, d.Sequence)
	}
	i.seq = d.Sequence
	switch {
	case dead != i.dead:
		m.t.Errorf("%s: dead is %v, want %v", i.id, dead, i.dead)
	case i.unsure && i.locked():
	case d.Count != i.count && !i.unsure:
		m.t.Errorf("%s has failed %d times, want %d", i.id, d.Count, i.count)
	case (d.State == inbox.Deferred) != i.deferred:
		m.t.Errorf("%s is %v, deferred should be %v", i.id, d.State, i.deferred)
	case d.LockedUntil.IsZero() == i.locked():
		m.t.Errorf("%s is locked until %v, want %v", i.id, d.LockedUntil, i.until)
	case i.locked() && !d.LockedUntil.Equal(i.until):
		m.t.Errorf("%s is locked until %v, want %v", i.id, d.LockedUntil, i.until)
	}
	if !i.locked() {
		i.unsure = false
	}
}
