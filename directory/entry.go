package directory

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/gatehouse/gatehouse"
)

// An entry is a definition in a snapshot, for the kinds of which there are
// few. It is immutable.
type entry[S Spec] struct {
	key      string // folded name
	raw      string // the row's value
	revision uint64
	spec     S
}

// Key returns the folded name.
func (e *entry[S]) Key() string { return e.key }

// Revision is that of its row.
func (e *entry[S]) Revision() uint64 { return e.revision }

// Spec returns the definition, without keys; it must not be changed.
func (e *entry[S]) Spec() S { return e.spec }

func (e *entry[S]) stored() string { return e.raw }

func (e *entry[S]) row(a gatehouse.AccountName) Row {
	return Row{Ref: Ref{e.spec.SpecKind(), a, e.spec.SpecName()}, Revision: e.revision, Spec: e.spec}
}

// A Channel is a channel's definition.
type Channel struct{ entry[*ChannelSpec] }

// Name returns the name as it was given.
func (c *Channel) Name() gatehouse.ChannelName { return gatehouse.ChannelName(c.spec.Name) }

// Duplicates returns the window of duplicate detection; 0: none.
func (c *Channel) Duplicates() time.Duration { return time.Duration(c.spec.Duplicates) }

// Retention returns how long and how much is kept; 0: no limit.
func (c *Channel) Retention() (age time.Duration, bytes int64) {
	return time.Duration(c.spec.Retention.Age), int64(c.spec.Retention.Bytes)
}

// DeadLetterRetention returns how long dead letters are kept; 0: not given.
func (c *Channel) DeadLetterRetention() time.Duration {
	return time.Duration(c.spec.DeadLetterRetention)
}

// A Handler is a handler's definition.
type Handler struct{ entry[*HandlerSpec] }

// Name returns the name as it was given.
func (h *Handler) Name() string { return h.spec.Name }

// Channel returns the channel it follows.
func (h *Handler) Channel() gatehouse.ChannelName { return gatehouse.ChannelName(h.spec.Channel) }

// Kind returns what kind of handler it is.
func (h *Handler) Kind() string { return h.spec.Kind }

// Config returns the configuration of its kind, as JSON, or nil.
func (h *Handler) Config() json.RawMessage { return json.RawMessage(h.spec.Config) }

// Enabled reports whether it is to run.
func (h *Handler) Enabled() bool { return h.spec.Enabled == nil || *h.spec.Enabled }

// FromNow reports whether it starts behind what the channel has already.
func (h *Handler) FromNow() bool { return h.spec.From == FromNow }

// The values of HandlerSpec.From.
const (
	FromFirst = "first"
	FromNow   = "now"
)

// A Policy is a policy's definition.
type Policy struct {
	entry[*PolicySpec]
	rights gatehouse.Rights
	sealed string
}

// Name returns the name as it was given.
func (p *Policy) Name() gatehouse.PolicyName { return gatehouse.PolicyName(p.spec.Name) }

// Rights returns what its keys are good for.
func (p *Policy) Rights() gatehouse.Rights { return p.rights }

// Routes and restrictions are met compiled; alone they are only rows.
type (
	routeEntry       struct{ entry[*RouteSpec] }
	restrictionEntry struct{ entry[*RestrictionSpec] }
)

func (e *entry[S]) displayName() string { return e.spec.SpecName() }

// newEntry reads a row into spec.
func newEntry[S Spec](r row, spec S) (e entry[S], sealed string, err error) {
	if sealed, err = decodeSpec(r.value, spec); err != nil {
		return e, "", err
	}
	return entry[S]{key: gatehouse.Fold(spec.SpecName()), raw: string(r.value), revision: r.revision, spec: spec}, sealed, nil
}

func newChannel(r row) (*Channel, *uint64, error) {
	e, _, err := newEntry(r, new(ChannelSpec))
	c := &Channel{e}
	return c, &c.revision, err
}

func newRoute(r row) (*routeEntry, *uint64, error) {
	e, _, err := newEntry(r, new(RouteSpec))
	c := &routeEntry{e}
	return c, &c.revision, err
}

func newRestriction(r row) (*restrictionEntry, *uint64, error) {
	e, _, err := newEntry(r, new(RestrictionSpec))
	c := &restrictionEntry{e}
	return c, &c.revision, err
}

func newHandler(r row) (*Handler, *uint64, error) {
	e, _, err := newEntry(r, new(HandlerSpec))
	c := &Handler{e}
	return c, &c.revision, err
}

func newPolicy(r row) (*Policy, *uint64, error) {
	e, sealed, err := newEntry(r, new(PolicySpec))
	if err != nil {
		return nil, nil, err
	}
	p := &Policy{entry: e, sealed: sealed}
	var unknown string
	if p.rights, unknown = rightsOf(e.spec.Rights); unknown != "" {
		return nil, nil, fmt.Errorf("right %q is not known", unknown)
	}
	return p, &p.revision, nil
}

// rightsOf adds up rights by name, and returns the first name that is none.
func rightsOf(names []string) (r gatehouse.Rights, unknown string) {
	for _, name := range names {
		switch name {
		case "send":
			r |= gatehouse.RightSend
		case "listen":
			r |= gatehouse.RightListen
		case "manage":
			r |= gatehouse.RightManage
		case "channels":
			r |= gatehouse.RightChannels
		default:
			return 0, name
		}
	}
	return r, ""
}

func (d *Directory) newEndpoint(r row) (*Endpoint, *uint64, error) {
	e, err := d.decoder.endpoint(r.value, r.revision)
	if err != nil {
		return nil, nil, err
	}
	return e, &e.revision, nil
}
