package directory

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
)

// A plan is a set of changes to one account, checked against a snapshot.
type plan struct {
	d       *Directory
	now     *Snapshot
	name    gatehouse.AccountName
	key     string   // folded name
	account *Account // nil if it is to be created
	steps   []step
	byKey   map[string]int // steps by row key
	found   Problems
}

// A step is one change.
type step struct {
	Change
	ref     Ref
	rowKey  string
	old     definition // nil: there is none yet
	value   []byte     // of the row; nil: it is deleted
	spec    Spec       // as it is stored; nil for endpoints
	made    *Endpoint  // as it is stored
	changed []string   // fields of keys that change
	same    bool       // nothing changes
}

// A conditionError is a Conflict about a row, as the snapshot knows it.
type conditionError struct {
	err      error // as others see it
	key      string
	revision uint64
}

func (e *conditionError) Error() string { return e.err.Error() }

func (e *conditionError) Unwrap() error { return e.err }

// plan checks changes to an account and works out the rows they come to.
func (d *Directory) plan(now *Snapshot, a gatehouse.AccountName, changes []Change) (*plan, error) {
	p := &plan{d: d, now: now, name: a, key: gatehouse.Fold(a), account: now.Account(a), byKey: make(map[string]int, len(changes))}
	if err := p.checkAccount(changes); err != nil {
		return nil, err
	}
	p.steps = make([]step, 0, len(changes))
	for i := range changes {
		if err := p.add(i, changes[i]); err != nil {
			return nil, err
		}
	}
	p.checkTogether()
	if err := p.found.err(); err != nil {
		return nil, err
	}
	return p, p.checkGone()
}

// checkAccount makes sure that there is an account, or will be.
func (p *plan) checkAccount(changes []Change) error {
	if err := gatehouse.CheckName(string(p.name)); err != nil {
		return gatehouse.Errorf(gatehouse.Invalid, "account: %w", err)
	}
	if other := p.now.foreign[p.key]; other != "" {
		return gatehouse.Errorf(gatehouse.Conflict, "account %q belongs to environment %q, and this gateway manages %q; ask a gateway of that environment", p.name, other, p.d.opts.Environment)
	}
	for i := range changes {
		s, ok := changes[i].Spec.(*AccountSpec)
		if ok && gatehouse.Fold(s.Name) != p.key {
			return gatehouse.Errorf(gatehouse.Invalid, "account %q cannot be changed together with account %q", s.Name, p.name)
		}
		if ok && p.account == nil {
			return nil
		}
	}
	if p.account == nil {
		return notFound(Ref{KindAccount, p.name, string(p.name)})
	}
	return nil
}

// add checks one change in itself. Only what ends the plan at once is returned;
// problems are collected.
func (p *plan) add(index int, c Change) error {
	s := step{Change: c}
	if c.Spec != nil {
		s.Kind, s.Name = c.Spec.SpecKind(), c.Spec.SpecName()
	}
	if s.Kind == 0 || s.Kind >= kinds {
		return gatehouse.Errorf(gatehouse.Invalid, "change %d names no kind of definition", index+1)
	}
	if s.Kind == KindAccount {
		s.Name = string(p.name)
	}
	s.ref = Ref{s.Kind, p.name, s.Name}
	key := gatehouse.Fold(s.Name)
	s.rowKey = rowKey(p.key, s.Kind, key)
	if p.account != nil {
		s.old = p.account.find(s.Kind, key)
	}
	if err := s.condition(); err != nil {
		return err
	}
	f := &faults{ref: s.ref, index: index}
	if _, twice := p.byKey[s.rowKey]; twice {
		f.add("name", "it is there twice; names are compared without case")
	} else if s.Spec != nil {
		if err := p.encode(&s, f); err != nil {
			return err
		}
	}
	p.byKey[s.rowKey] = len(p.steps)
	p.steps = append(p.steps, s)
	if !p.found.full() {
		p.found = append(p.found, f.found...)
	}
	return nil
}

// condition checks what must be true of the definition as it is.
func (s *step) condition() error {
	revision := uint64(0)
	if s.old != nil {
		revision = s.old.Revision()
	}
	var text string
	switch {
	case s.old == nil && s.Spec == nil:
		return &conditionError{notFound(s.ref), s.rowKey, 0}
	case s.If == 0:
		return nil
	case s.If == Absent && s.old != nil:
		text = "is there already; change it, or choose another name"
	case s.If != Absent && s.old == nil:
		text = "is gone; it was deleted meanwhile"
	case s.If != Absent && s.If != revision:
		text = fmt.Sprintf("was changed meanwhile: it has revision %d, not %d; read it again and repeat the change", revision, s.If)
	default:
		return nil
	}
	return &conditionError{gatehouse.Errorf(gatehouse.Conflict, "%s %s", s.ref, text), s.rowKey, revision}
}

// encode checks the definition and makes its row.
func (p *plan) encode(s *step, f *faults) error {
	var sealed string
	var err error
	switch spec := s.Spec.(type) {
	case *EndpointSpec:
		return p.encodeEndpoint(s, spec, f)
	case *AccountSpec:
		s.spec = p.completeAccount(spec, f)
	case *ChannelSpec:
		f.channel(spec)
		s.spec = spec
	case *RouteSpec:
		s.spec = spec // checked when all channels are known
	case *RestrictionSpec:
		f.restriction(spec)
		s.spec = spec
	case *HandlerSpec:
		f.handler(spec, p.d.opts.CheckHandler)
		s.spec = spec
	case *PolicySpec:
		f.policy(spec)
		s.spec, sealed, err = p.completePolicy(s, spec, f)
	default:
		err = gatehouse.Errorf(gatehouse.Invalid, "%s is defined by a %T, which is no definition", s.ref, spec)
	}
	if err != nil || len(f.found) > 0 {
		return err
	}
	if s.value, err = encodeSpec(s.spec, sealed); err != nil {
		f.add("", "it cannot be stored: %v", err)
		return nil
	}
	if old, ok := s.old.(interface{ stored() string }); ok {
		s.same = old.stored() == string(s.value)
	}
	return nil
}

func (p *plan) completeAccount(spec *AccountSpec, f *faults) *AccountSpec {
	f.account(spec)
	c := *spec
	if c.Environment == "" {
		c.Environment = p.d.opts.Environment
	}
	if c.Environment != p.d.opts.Environment {
		f.add("environment", "this gateway manages accounts of environment %q, not of %q", p.d.opts.Environment, c.Environment)
	}
	return &c
}

func (p *plan) completePolicy(s *step, spec *PolicySpec, f *faults) (*PolicySpec, string, error) {
	c := *spec
	c.Keys = nil
	if len(f.found) > 0 {
		return &c, "", nil
	}
	ring, sealed := keyring{keys: make([]string, keysPerPolicy)}, ""
	if old, ok := s.old.(*Policy); ok {
		sealed = old.sealed
		if len(spec.Keys) == 0 {
			return &c, sealed, nil
		}
		var err error
		if ring.keys, err = p.d.unseal(p.key, KindPolicy, old.key, sealed, 0, keysPerPolicy, ring.keys[:0]); err != nil {
			return nil, "", err
		}
	}
	if field, why := ring.give(0, "keys", spec.Keys); why != "" {
		f.add(field, "%s", why)
		return &c, "", nil
	}
	if s.changed = ring.changed; len(s.changed) > 0 {
		sealed = p.d.seal(p.key, KindPolicy, gatehouse.Fold(spec.Name), ring.keys)
	}
	return &c, sealed, nil
}

// checkTogether checks what the changes come to with all that stays.
func (p *plan) checkTogether() {
	var channels []gatehouse.ChannelName
	for i := range p.steps {
		s := &p.steps[i]
		f := &faults{ref: s.ref, index: i}
		switch spec := s.spec.(type) {
		case *RouteSpec:
			if channels == nil {
				channels = p.channels()
			}
			f.route(spec, channels)
		case *HandlerSpec:
			if spec.Channel != "" && !p.exists(KindChannel, spec.Channel) {
				f.add("channel", "account %q has no channel %q; create it first, or in the same change", p.name, spec.Channel)
			}
		}
		if !p.found.full() {
			p.found = append(p.found, f.found...)
		}
	}
}

// exists reports whether there will be a definition.
func (p *plan) exists(k Kind, name string) bool {
	key := gatehouse.Fold(name)
	if i, ok := p.byKey[rowKey(p.key, k, key)]; ok {
		return p.steps[i].Spec != nil
	}
	return p.account != nil && p.account.find(k, key) != nil
}

// channels returns the names of the channels that there will be.
func (p *plan) channels() []gatehouse.ChannelName {
	names := []gatehouse.ChannelName{}
	if p.account != nil {
		for c := range p.account.Channels() {
			if _, ok := p.byKey[rowKey(p.key, KindChannel, c.key)]; !ok {
				names = append(names, c.Name())
			}
		}
	}
	for i := range p.steps {
		if s := &p.steps[i]; s.Kind == KindChannel && s.Spec != nil {
			names = append(names, gatehouse.ChannelName(s.Name))
		}
	}
	slices.SortFunc(names, func(a, b gatehouse.ChannelName) int { return cmp.Compare(gatehouse.Fold(a), gatehouse.Fold(b)) })
	return names
}

// checkGone refuses to delete channels that handlers follow, and an account
// together with anything else.
func (p *plan) checkGone() error {
	for i := range p.steps {
		s := &p.steps[i]
		if s.Spec != nil {
			continue
		}
		if s.Kind == KindAccount && len(p.steps) > 1 {
			return gatehouse.Errorf(gatehouse.Invalid, "account %q cannot be deleted and changed at once", p.name)
		}
		if s.Kind != KindChannel {
			continue
		}
		if users := p.handlersOf(s.old.Key()); len(users) > 0 {
			return gatehouse.Errorf(gatehouse.Conflict, "%s cannot be deleted: it is followed by handler %s; delete that first, or in the same change", s.ref, strings.Join(users, ", "))
		}
	}
	return nil
}

// handlersOf returns the handlers that will follow a channel. That new ones
// name channels that exist has been checked.
func (p *plan) handlersOf(channel string) []string {
	var users []string
	for h := range p.account.Handlers() {
		if _, changed := p.byKey[rowKey(p.key, KindHandler, h.key)]; !changed && gatehouse.Fold(h.spec.Channel) == channel {
			users = append(users, quote(h.spec.Name))
		}
	}
	return users
}

// changes returns the changes to the table, none if nothing changes.
func (p *plan) changes() []engine.Change {
	var all []engine.Change
	structural := false
	for i := range p.steps {
		s := &p.steps[i]
		if s.same {
			continue
		}
		c := engine.Change{Key: s.rowKey, Value: s.value, If: engine.Absent}
		if s.old != nil {
			c.If = engine.If(s.old.Revision())
		}
		all = append(all, c)
		structural = structural || s.Kind.structural()
	}
	if structural && p.account != nil {
		all = append(all, fence(p.key, p.account.fence))
	}
	return all
}

// fence returns the change that finds out another one of the same account's
// structure since the fence had the given revision.
func fence(account string, revision uint64) engine.Change {
	c := engine.Change{Key: rowKey(account, kindFence, ""), Value: []byte{rowVersion}, If: engine.If(revision)}
	if revision == 0 {
		c.If = engine.Absent
	}
	return c
}
