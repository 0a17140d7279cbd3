package route

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/condition"
	"github.com/gatehouse/gatehouse/rule"
)

// maxTypes is how many types an authorization may list.
const maxTypes = 4096

// A Table is the compiled authorizations of one account. It is immutable and
// safe for concurrent use; the nil Table allows nothing.
type Table struct {
	all      []*compiled
	channels []gatehouse.ChannelName // in the order of their folded names
	index    map[string]int          // of channels, by folded name
	asking   int                     // how many of all have a condition
	failed   func(rule string, err error)

	decisions sync.Pool // of *decision

	mu   sync.Mutex
	sets map[string]*set // by the matched authorizations
}

// compiled is one authorization in the form it is asked in.
type compiled struct {
	name      string
	disabled  bool
	direction Direction
	deny      bool
	endpoints *rule.Matcher
	channels  []int       // indexes of Table.channels, ascending
	types     *rule.Globs // nil: all
	typeList  string      // for people
	when      *condition.Condition
	slot      int // its number among those with a condition
}

// An Option changes how a Table decides.
type Option func(*Table)

// OnError has f called with every condition that could not be evaluated when a
// decision asked it, and with the name of its authorization. F must be quick
// and safe for concurrent use.
func OnError(f func(rule string, err error)) Option {
	return func(t *Table) { t.failed = f }
}

// Compile compiles the authorizations of an account that has these channels.
// The error is of kind Invalid and names the authorization and the field.
func Compile(rules []Authorization, channels []gatehouse.ChannelName, options ...Option) (*Table, error) {
	t := &Table{sets: make(map[string]*set), index: make(map[string]int, len(channels))}
	for _, option := range options {
		option(t)
	}
	t.setChannels(channels)
	names := make(map[string]bool, len(rules))
	for i := range rules {
		a := &rules[i]
		if err := gatehouse.CheckName(a.Name); err != nil {
			return nil, gatehouse.Errorf(gatehouse.Invalid, "route authorization %d: name: %w", i+1, err)
		}
		if names[gatehouse.Fold(a.Name)] {
			return nil, gatehouse.Errorf(gatehouse.Invalid, "route authorization %q: name: there is another of that name; names are compared without case", a.Name)
		}
		names[gatehouse.Fold(a.Name)] = true
		c, err := t.compile(a)
		if err != nil {
			return nil, gatehouse.Errorf(gatehouse.Invalid, "route authorization %q: %w", a.Name, err)
		}
		t.all = append(t.all, c)
	}
	t.decisions.New = func() any { return &decision{answers: make([]answer, t.asking)} }
	return t, nil
}

func (t *Table) setChannels(channels []gatehouse.ChannelName) {
	t.channels = slices.Clone(channels)
	slices.SortFunc(t.channels, func(a, b gatehouse.ChannelName) int {
		return strings.Compare(gatehouse.Fold(a), gatehouse.Fold(b))
	})
	t.channels = slices.CompactFunc(t.channels, func(a, b gatehouse.ChannelName) bool {
		return gatehouse.Fold(a) == gatehouse.Fold(b)
	})
	for i, name := range t.channels {
		t.index[gatehouse.Fold(name)] = i
	}
}

// compile returns errors that begin with the field.
func (t *Table) compile(a *Authorization) (*compiled, error) {
	c := &compiled{name: a.Name, disabled: a.Enabled != nil && !*a.Enabled, direction: a.Direction, deny: a.Effect == Deny}
	if a.Direction != Ingress && a.Direction != Egress {
		return nil, fmt.Errorf("direction: %.100q is neither %s nor %s", a.Direction, Ingress, Egress)
	}
	if a.Effect != "" && a.Effect != Allow && a.Effect != Deny {
		return nil, fmt.Errorf("effect: %.100q is neither %s nor %s", a.Effect, Allow, Deny)
	}
	var err error
	if c.endpoints, err = a.Endpoints.Compile(); err != nil {
		return nil, fmt.Errorf("endpoints: %w", err)
	}
	if c.channels, err = t.selected(a.Channels); err != nil {
		return nil, fmt.Errorf("channels: %w", err)
	}
	if c.types, err = compileTypes(a.Types); err != nil {
		return nil, fmt.Errorf("types: %w", err)
	}
	c.typeList = strings.Join(a.Types, ", ")
	if a.When == "" {
		return c, nil
	}
	if c.when, err = condition.Compile(a.When); err != nil {
		return nil, fmt.Errorf("when: %w", err)
	}
	c.slot = t.asking
	t.asking++
	return c, nil
}

// selected returns the indexes of the channels that s selects.
func (t *Table) selected(s rule.Selector) ([]int, error) {
	if s.Labels != "" {
		return nil, fmt.Errorf("labels: channels have none; select them by names")
	}
	m, err := s.Compile()
	if err != nil {
		return nil, err
	}
	var all []int
	for i, name := range t.channels {
		if m.Match(string(name), nil) {
			all = append(all, i)
		}
	}
	return all, nil
}

func compileTypes(globs []string) (*rule.Globs, error) {
	if len(globs) == 0 || slices.Equal(globs, []string{"*"}) {
		return nil, nil
	}
	if len(globs) > maxTypes {
		return nil, fmt.Errorf("there are %d; at most %d are allowed", len(globs), maxTypes)
	}
	return rule.CompileGlobs(globs)
}

// Plan returns what concerns an endpoint. It costs a look at the selector of
// each authorization, so the caller keeps the plan for as long as neither the
// table nor the endpoint changes.
func (t *Table) Plan(e rule.Endpoint) Plan {
	if t == nil {
		return Plan{endpoint: e}
	}
	var matched []*compiled
	var space [64]byte
	key := space[:0] // the indexes of the matched
	for i, c := range t.all {
		if !c.disabled && c.endpoints.Match(string(e.Name), e.Labels) {
			matched = append(matched, c)
			key = binary.AppendUvarint(key, uint64(i))
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.sets[string(key)]
	if s == nil {
		s = newSet(t, matched)
		t.sets[string(key)] = s
	}
	return Plan{table: t, set: s, endpoint: e}
}
