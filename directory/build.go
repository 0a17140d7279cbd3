package directory

import (
	"fmt"
	"maps"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/directory/set"
	"github.com/gatehouse/gatehouse/restrict"
	"github.com/gatehouse/gatehouse/route"
)

// A row is a row of the table on its way into a snapshot.
type row struct {
	account  string // folded, as name
	kind     Kind
	name     string
	value    []byte // nil: it is gone
	revision uint64
	endpoint *Endpoint // of value, if it has been decoded already
}

// A build makes the next snapshot out of the present one and rows that have
// changed. All of what does not change is shared.
type build struct {
	d        *Directory
	old      *Snapshot
	accounts *set.Edit[*Account]
	foreign  map[string]string
	drafts   map[string]*draft
	changed  []Ref
	unsigned []*uint64 // revisions to fill in when they are known
	loading  bool      // the first snapshot: nobody asks what has changed
}

// A draft is an account being changed.
type draft struct {
	*Account // a copy
	parts    edits
	rules    bool // routes, or what channels there are, have changed
	limits   bool // restrictions have changed
}

// edits of an account's parts; nil for those that do not change.
type edits struct {
	endpoints    *set.Edit[*Endpoint]
	channels     *set.Edit[*Channel]
	routes       *set.Edit[*routeEntry]
	restrictions *set.Edit[*restrictionEntry]
	handlers     *set.Edit[*Handler]
	policies     *set.Edit[*Policy]
}

func (d *Directory) build(old *Snapshot) *build {
	return &build{d: d, old: old, accounts: old.accounts.Edit(), foreign: old.foreign, drafts: make(map[string]*draft)}
}

// draft returns the draft of an account, or nil if there is none.
func (b *build) draft(account string) *draft {
	if d := b.drafts[account]; d != nil {
		return d
	}
	a := b.accounts.Get(account)
	if a == nil {
		return nil
	}
	fresh := *a
	d := &draft{Account: &fresh}
	b.drafts[account] = d
	return d
}

// apply puts one row in. Rows of accounts that do not exist, or are of another
// environment, are passed over. The error says what is wrong with the row.
func (b *build) apply(r row) error {
	if r.kind == KindAccount {
		return b.account(r)
	}
	d := b.draft(r.account)
	if d == nil {
		return nil
	}
	var err error
	switch p := &d.parts; r.kind {
	case kindFence:
		d.fence = r.revision
		b.unsigned = append(b.unsigned, &d.fence)
	case KindEndpoint:
		if b.loading {
			return b.load(d, r)
		}
		err = change(b, d, &p.endpoints, &d.endpoints, r, b.d.newEndpoint)
	case KindChannel:
		before := d.channelName(r.name)
		err = change(b, d, &p.channels, &d.channels, r, newChannel)
		d.rules = d.rules || before != d.channelName(r.name)
	case KindRoute:
		d.rules = true
		err = change(b, d, &p.routes, &d.routes, r, newRoute)
	case KindRestriction:
		d.limits = true
		err = change(b, d, &p.restrictions, &d.restrictions, r, newRestriction)
	case KindHandler:
		err = change(b, d, &p.handlers, &d.handlers, r, newHandler)
	case KindPolicy:
		err = change(b, d, &p.policies, &d.policies, r, newPolicy)
	}
	if err != nil {
		return badRow(r, err)
	}
	return nil
}

func badRow(r row, err error) error {
	return gatehouse.Errorf(gatehouse.Internal, "the stored definition of %s %q of account %q cannot be read: %w", r.kind, r.name, r.account, err)
}

// load is apply for the endpoints of the first snapshot.
func (b *build) load(d *draft, r row) error {
	if d.parts.endpoints == nil {
		d.parts.endpoints = d.endpoints.Edit()
	}
	d.parts.endpoints.Put(r.endpoint)
	return nil
}

// channelName returns the name of a channel as it is so far, or "".
func (d *draft) channelName(key string) string {
	c := d.channels.Get(key)
	if d.parts.channels != nil {
		c = d.parts.channels.Get(key)
	}
	if c == nil {
		return ""
	}
	return c.spec.Name
}

// change applies a row to one part of an account.
func change[T interface {
	set.Item
	definition
}](b *build, d *draft, edit **set.Edit[T], part *set.Set[T], r row, decode func(row) (T, *uint64, error),
) error {
	var none T
	if *edit == nil {
		*edit = part.Edit()
	}
	if r.value == nil {
		if old := (*edit).Get(r.name); old != none {
			(*edit).Delete(r.name)
			b.tell(Ref{r.kind, d.Name(), old.displayName()})
		}
		return nil
	}
	made, revision, err := decode(r)
	if err != nil {
		return err
	}
	if made.Key() != r.name {
		return fmt.Errorf("it is the definition of %q", made.displayName())
	}
	(*edit).Put(made)
	b.tell(Ref{r.kind, d.Name(), made.displayName()})
	b.unsigned = append(b.unsigned, revision)
	return nil
}

func (b *build) tell(r Ref) {
	if !b.loading {
		b.changed = append(b.changed, r)
	}
}

// account applies the row of an account itself.
func (b *build) account(r row) error {
	old := b.draft(r.account)
	if r.value == nil {
		b.setForeign(r.account, "")
		if old != nil {
			b.drop(old)
		}
		return nil
	}
	made, _, err := newEntry(r, new(AccountSpec))
	if err != nil {
		return badRow(r, err)
	}
	if made.spec.Environment != b.d.opts.Environment {
		b.setForeign(r.account, made.spec.Environment)
		return nil
	}
	if old == nil {
		b.setForeign(r.account, "")
		old = &draft{Account: new(Account), rules: true, limits: true}
		b.drafts[r.account] = old
	}
	old.entry = made
	old.inbox = made.spec.Inbox.over(b.d.inbox)
	b.unsigned = append(b.unsigned, &old.revision)
	b.tell(Ref{KindAccount, old.Name(), made.spec.Name})
	return nil
}

// drop takes an account out, with everything in it.
func (b *build) drop(d *draft) {
	b.accounts.Delete(d.key)
	delete(b.drafts, d.key)
	before := b.old.accounts.Get(d.key)
	if before == nil {
		return
	}
	b.tell(Ref{KindAccount, before.Name(), before.spec.Name})
	for _, k := range Kinds() {
		if k == KindAccount || k == KindEndpoint {
			continue
		}
		for gone := range before.from(k, "") {
			b.tell(Ref{k, before.Name(), gone.displayName()})
		}
	}
}

func (b *build) setForeign(account, environment string) {
	if b.foreign[account] == environment {
		return
	}
	b.foreign = maps.Clone(b.foreign)
	if environment == "" {
		delete(b.foreign, account)
		return
	}
	if b.foreign == nil {
		b.foreign = make(map[string]string)
	}
	b.foreign[account] = environment
}

// finish compiles what has changed and returns the next snapshot. sign must be
// called before it is used.
func (b *build) finish() (*Snapshot, error) {
	for _, d := range b.drafts {
		d.close()
		if err := d.compile(b.d.opts.Routes); err != nil {
			return nil, err
		}
		b.accounts.Put(d.Account)
	}
	return &Snapshot{revision: b.old.revision, accounts: b.accounts.Set(), foreign: b.foreign}, nil
}

// sign fills in the revision of all that was built without one.
func (b *build) sign(s *Snapshot, revision uint64) {
	for _, r := range b.unsigned {
		if *r == 0 {
			*r = revision
		}
	}
	s.revision = max(s.revision, revision)
}

func (d *draft) close() {
	p := &d.parts
	closePart(p.endpoints, &d.endpoints)
	closePart(p.channels, &d.channels)
	closePart(p.routes, &d.routes)
	closePart(p.restrictions, &d.restrictions)
	closePart(p.handlers, &d.handlers)
	closePart(p.policies, &d.policies)
}

func closePart[T set.Item](e *set.Edit[T], part *set.Set[T]) {
	if e != nil {
		*part = e.Set()
	}
}

func (d *draft) compile(options []route.Option) error {
	if d.rules {
		rules := make([]route.Authorization, 0, d.routes.Len())
		for r := range d.routes.All() {
			rules = append(rules, r.spec.Authorization)
		}
		table, err := route.Compile(rules, d.channelNames(), options...)
		if err != nil {
			return err
		}
		d.table = table
	}
	if d.limits {
		all := make([]restrict.Restriction, 0, d.restrictions.Len())
		for r := range d.restrictions.All() {
			all = append(all, r.spec.Restriction)
		}
		limits, err := restrict.Compile(all)
		if err != nil {
			return err
		}
		d.Account.limits = limits
	}
	return nil
}

func (a *Account) channelNames() []gatehouse.ChannelName {
	names := make([]gatehouse.ChannelName, 0, a.channels.Len())
	for c := range a.channels.All() {
		names = append(names, c.Name())
	}
	return names
}
