package directory

import (
	"iter"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/directory/set"
	"github.com/gatehouse/gatehouse/inbox"
	"github.com/gatehouse/gatehouse/restrict"
	"github.com/gatehouse/gatehouse/route"
)

// A Snapshot is all definitions at one time. It is immutable.
type Snapshot struct {
	revision uint64
	accounts set.Set[*Account]
	foreign  map[string]string // accounts of other environments, folded, with those
}

// Revision grows with every change.
func (s *Snapshot) Revision() uint64 { return s.revision }

// Account returns an account, or nil.
func (s *Snapshot) Account(name gatehouse.AccountName) *Account {
	return s.accounts.Get(gatehouse.Fold(name))
}

// Accounts yields the accounts in order of their folded names.
func (s *Snapshot) Accounts() iter.Seq[*Account] { return s.accounts.All() }

// An Account is one tenant with all that is defined in it. It is immutable,
// and another pointer whenever anything in it has changed.
type Account struct {
	entry[*AccountSpec]
	inbox inbox.Policy
	fence uint64 // revision of the fence row; 0: none

	endpoints    set.Set[*Endpoint]
	channels     set.Set[*Channel]
	routes       set.Set[*routeEntry]
	restrictions set.Set[*restrictionEntry]
	handlers     set.Set[*Handler]
	policies     set.Set[*Policy]

	table  *route.Table
	limits *restrict.Table
}

// Name returns the name as it was given.
func (a *Account) Name() gatehouse.AccountName { return gatehouse.AccountName(a.spec.Name) }

// Disabled reports whether nobody is let in.
func (a *Account) Disabled() bool { return a.spec.Disabled }

// Endpoint returns an endpoint, or nil.
func (a *Account) Endpoint(name gatehouse.EndpointName) *Endpoint {
	return a.endpoints.Get(gatehouse.Fold(name))
}

// Channel returns a channel, or nil.
func (a *Account) Channel(name gatehouse.ChannelName) *Channel {
	return a.channels.Get(gatehouse.Fold(name))
}

// Handler returns a handler, or nil.
func (a *Account) Handler(name string) *Handler { return a.handlers.Get(gatehouse.Fold(name)) }

// Policy returns a policy, or nil.
func (a *Account) Policy(name gatehouse.PolicyName) *Policy {
	return a.policies.Get(gatehouse.Fold(name))
}

// Routes returns the compiled route authorizations.
func (a *Account) Routes() *route.Table { return a.table }

// Restrictions returns the compiled restrictions.
func (a *Account) Restrictions() *restrict.Table { return a.limits }

// Channels yields the channels in order of name.
func (a *Account) Channels() iter.Seq[*Channel] { return a.channels.All() }

// Handlers yields the handlers in order of name.
func (a *Account) Handlers() iter.Seq[*Handler] { return a.handlers.All() }

// Policies yields the policies in order of name.
func (a *Account) Policies() iter.Seq[*Policy] { return a.policies.All() }

// Endpoints yields the endpoints in order of name, from the first whose name
// is at or after from ("" for all).
func (a *Account) Endpoints(from gatehouse.EndpointName) iter.Seq[*Endpoint] {
	return a.endpoints.From(gatehouse.Fold(from))
}

// Count returns how many definitions of a kind the account has.
func (a *Account) Count(k Kind) int {
	switch k {
	case KindAccount:
		return 1
	case KindEndpoint:
		return a.endpoints.Len()
	case KindChannel:
		return a.channels.Len()
	case KindRoute:
		return a.routes.Len()
	case KindRestriction:
		return a.restrictions.Len()
	case KindHandler:
		return a.handlers.Len()
	case KindPolicy:
		return a.policies.Len()
	}
	return 0
}

// A definition is what all things in a snapshot are.
type definition interface {
	Key() string
	Revision() uint64
	displayName() string
	row(a gatehouse.AccountName) Row
}

// find returns a definition, or nil.
func (a *Account) find(k Kind, key string) definition {
	switch k {
	case KindAccount:
		return a
	case KindEndpoint:
		return found(&a.endpoints, key)
	case KindChannel:
		return found(&a.channels, key)
	case KindRoute:
		return found(&a.routes, key)
	case KindRestriction:
		return found(&a.restrictions, key)
	case KindHandler:
		return found(&a.handlers, key)
	case KindPolicy:
		return found(&a.policies, key)
	}
	return nil
}

// found keeps a nil pointer from becoming a definition that is not nil.
func found[T interface {
	set.Item
	definition
}](s *set.Set[T], key string,
) definition {
	var none T
	if d := s.Get(key); d != none {
		return d
	}
	return nil
}

// from yields the definitions of a kind whose key is at or after key.
func (a *Account) from(k Kind, key string) iter.Seq[definition] {
	switch k {
	case KindAccount:
		return func(yield func(definition) bool) { yield(a) }
	case KindEndpoint:
		return definitions(a.endpoints.From(key))
	case KindChannel:
		return definitions(a.channels.From(key))
	case KindRoute:
		return definitions(a.routes.From(key))
	case KindRestriction:
		return definitions(a.restrictions.From(key))
	case KindHandler:
		return definitions(a.handlers.From(key))
	case KindPolicy:
		return definitions(a.policies.From(key))
	}
	return func(func(definition) bool) {}
}

func definitions[T definition](s iter.Seq[T]) iter.Seq[definition] {
	return func(yield func(definition) bool) {
		for d := range s {
			if !yield(d) {
				return
			}
		}
	}
}

// Row returns one definition with its revision; NotFound if there is none. For
// KindAccount the name is not looked at.
func (a *Account) Row(k Kind, name string) (Row, error) {
	d := a.find(k, gatehouse.Fold(name))
	if d == nil {
		return Row{}, notFound(Ref{k, a.Name(), name})
	}
	return d.row(a.Name()), nil
}

func notFound(r Ref) error {
	if r.Kind == KindAccount {
		return gatehouse.Errorf(gatehouse.NotFound, "there is no account %q", r.Account)
	}
	return gatehouse.Errorf(gatehouse.NotFound, "account %q has no %s", r.Account, r)
}

// Rows returns up to limit definitions of a kind (0: all) whose name comes
// after the given one, in order of name.
func (a *Account) Rows(k Kind, after string, limit int) []Row {
	after = gatehouse.Fold(after)
	var rows []Row
	for d := range a.from(k, after) {
		if after != "" && d.Key() == after {
			continue
		}
		if limit > 0 && len(rows) == limit {
			break
		}
		rows = append(rows, d.row(a.Name()))
	}
	return rows
}
