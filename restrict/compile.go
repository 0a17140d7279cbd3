package restrict

import (
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"strings"
	"sync"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/rule"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Limits of what an administrator may write.
const (
	maxEntries = 4096    // of a list
	maxBurst   = 1 << 50 // so that buckets count exactly
)

// A Table is the compiled restrictions of one account. It is immutable and
// safe for concurrent use; the nil Table restricts nothing.
type Table struct {
	all []*compiled

	mu    sync.Mutex
	plans map[string]*Plan // by the set of matched restrictions
}

// compiled is one restriction in the form it is asked in.
type compiled struct {
	name     string
	disabled bool
	match    *rule.Matcher

	origins   *origins
	networks  []netip.Prefix
	protocols []string // folded
	tls       bool

	maxSize  int64
	rate     *rate
	types    *rule.Globs
	typeList string // for people
	schema   *jsonschema.Schema
	hours    *hours
}

// Compile compiles the restrictions of an account. The error is of kind
// Invalid and names the restriction and the field.
func Compile(restrictions []Restriction) (*Table, error) {
	t := &Table{plans: make(map[string]*Plan)}
	names := make(map[string]bool, len(restrictions))
	for i := range restrictions {
		r := &restrictions[i]
		if err := gatehouse.CheckName(r.Name); err != nil {
			return nil, gatehouse.Errorf(gatehouse.Invalid, "restriction %d: name: %w", i+1, err)
		}
		if names[gatehouse.Fold(r.Name)] {
			return nil, gatehouse.Errorf(gatehouse.Invalid, "restriction %q: name: there is another of that name; names are compared without case", r.Name)
		}
		names[gatehouse.Fold(r.Name)] = true
		c, err := compile(r)
		if err != nil {
			return nil, gatehouse.Errorf(gatehouse.Invalid, "restriction %q: %w", r.Name, err)
		}
		t.all = append(t.all, c)
	}
	return t, nil
}

// compile returns errors that begin with the field.
func compile(r *Restriction) (*compiled, error) {
	c := &compiled{name: r.Name, disabled: r.Enabled != nil && !*r.Enabled, tls: r.RequireTLS, maxSize: int64(r.MaxSize)}
	var err error
	if c.match, err = r.Endpoints.Compile(); err != nil {
		return nil, fmt.Errorf("endpoints: %w", err)
	}
	for _, list := range []struct {
		field string
		n     int
	}{{"origins", len(r.Origins)}, {"networks", len(r.Networks)}, {"protocols", len(r.Protocols)}, {"contentTypes", len(r.ContentTypes)}} {
		if list.n > maxEntries {
			return nil, fmt.Errorf("%s: %d entries; at most %d are allowed", list.field, list.n, maxEntries)
		}
	}
	if c.origins, err = compileOrigins(r.Origins); err != nil {
		return nil, fmt.Errorf("origins: %w", err)
	}
	if c.networks, err = compileNetworks(r.Networks); err != nil {
		return nil, fmt.Errorf("networks: %w", err)
	}
	for _, p := range r.Protocols {
		if err := gatehouse.CheckName(p); err != nil {
			return nil, fmt.Errorf("protocols: %w", err)
		}
		c.protocols = append(c.protocols, gatehouse.Fold(p))
	}
	if r.MaxSize < 0 {
		return nil, fmt.Errorf("maxSize: it is negative")
	}
	if c.rate, err = compileRate(r.Name, r.Rate); err != nil {
		return nil, fmt.Errorf("rate: %w", err)
	}
	if c.types, err = compileTypes(r.ContentTypes); err != nil {
		return nil, fmt.Errorf("contentTypes: %w", err)
	}
	c.typeList = strings.Join(r.ContentTypes, ", ")
	if c.schema, err = compileSchema(r.Schema); err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	if c.hours, err = compileHours(r.Hours); err != nil {
		return nil, fmt.Errorf("hours: %w", err)
	}
	return c, nil
}

func compileTypes(globs []string) (*rule.Globs, error) {
	if len(globs) == 0 {
		return nil, nil
	}
	lower := make([]string, len(globs))
	for i, g := range globs {
		if strings.TrimSpace(g) == "" {
			return nil, fmt.Errorf("an entry is empty")
		}
		if strings.Contains(g, ";") {
			return nil, fmt.Errorf("%q has parameters, which do not count; leave out what follows the semicolon", g)
		}
		lower[i] = strings.ToLower(strings.TrimSpace(g))
	}
	return rule.CompileGlobs(lower)
}

func compileRate(name string, r *Rate) (*rate, error) {
	if r == nil {
		return nil, nil
	}
	switch {
	case !(r.Messages >= 0) || math.IsInf(r.Messages, 0):
		return nil, fmt.Errorf("messages: it is not a positive number")
	case r.MessageBurst < 0:
		return nil, fmt.Errorf("messageBurst: it is negative")
	case r.Bytes < 0:
		return nil, fmt.Errorf("bytes: it is negative")
	case r.ByteBurst < 0:
		return nil, fmt.Errorf("byteBurst: it is negative")
	case r.Messages == 0 && r.Bytes == 0:
		return nil, fmt.Errorf("it has neither messages nor bytes per second")
	case r.MessageBurst > 0 && r.Messages == 0:
		return nil, fmt.Errorf("messageBurst: it means nothing without messages")
	case r.ByteBurst > 0 && r.Bytes == 0:
		return nil, fmt.Errorf("byteBurst: it means nothing without bytes")
	case r.Messages > maxBurst || r.MessageBurst > maxBurst || r.Bytes > maxBurst || r.ByteBurst > maxBurst:
		return nil, fmt.Errorf("a number is greater than %d", int64(maxBurst))
	}
	c := &rate{name: name, key: gatehouse.Fold(name)}
	if r.Messages > 0 {
		c.messages = limit{perSecond: r.Messages, burst: float64(r.MessageBurst)}
		if r.MessageBurst == 0 {
			c.messages.burst = max(1, math.Ceil(r.Messages))
		}
	}
	if r.Bytes > 0 {
		c.bytes = limit{perSecond: float64(r.Bytes), burst: float64(r.ByteBurst)}
		if r.ByteBurst == 0 {
			c.bytes.burst = float64(r.Bytes)
		}
	}
	return c, nil
}

// Plan returns what concerns an endpoint. It costs a look at the selector of
// each restriction, so the caller keeps the plan for as long as neither the
// table nor the endpoint changes.
func (t *Table) Plan(e rule.Endpoint) *Plan {
	if t == nil || len(t.all) == 0 {
		return nil
	}
	var matched []*compiled
	var space [64]byte
	set := space[:0] // the indexes of the matched, as a key
	for i, c := range t.all {
		if !c.disabled && c.match.Match(string(e.Name), e.Labels) {
			matched = append(matched, c)
			set = binary.AppendUvarint(set, uint64(i))
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.plans[string(set)]
	if p == nil {
		p = newPlan(t, matched)
		t.plans[string(set)] = p
	}
	return p
}
