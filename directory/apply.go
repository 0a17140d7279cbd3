package directory

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/gatehouse/gatehouse"
)

// An Action is what a difference does.
type Action string

// The actions of a Difference.
const (
	Created Action = "create"
	Changed Action = "change"
	Deleted Action = "delete"
)

// A Difference is one definition that a file changes.
type Difference struct {
	Action Action `json:"action"`
	Ref
	Fields []FieldDifference `json:"fields,omitempty"` // with Changed
}

// A FieldDifference is one field that changes. Keys are named and not shown.
type FieldDifference struct {
	Field string `json:"field"`
	From  string `json:"from,omitempty"` // as JSON; "" if it was not given
	To    string `json:"to,omitempty"`
}

// A Diff is what applying a file changes, in order of kind and name.
type Diff []Difference

// Apply makes the account what f says, all of it or nothing, and returns what
// changed. Applying the same file again changes nothing. What f leaves out
// stays, as does whether an endpoint is disabled or revoked, unless f says. With
// prune, definitions that f does not have are deleted, for each section that f
// has at all, even if it is empty. The account is created if there is none.
func (d *Directory) Apply(ctx context.Context, f *File, prune bool) (Diff, error) {
	_, p, err := d.update(ctx, f.Account, func(now *Snapshot) []Change { return f.changes(now, prune) })
	if err != nil {
		return nil, err
	}
	return p.diff(), nil
}

// Diff returns what Apply would change, or the error it would fail with.
func (d *Directory) Diff(_ context.Context, f *File, prune bool) (Diff, error) {
	d.mu.Lock() // compiling uses the decoder
	defer d.mu.Unlock()
	now := d.Current()
	p, err := d.plan(now, f.Account, f.changes(now, prune))
	if err != nil {
		return nil, err
	}
	b := d.build(now)
	if err := b.applyChanges(p.changes()); err != nil {
		return nil, err
	}
	if _, err := b.finish(); err != nil {
		return nil, err
	}
	return p.diff(), nil
}

// changes returns what makes the account in now what f says.
func (f *File) changes(now *Snapshot, prune bool) []Change {
	var all []Change
	account := now.Account(f.Account)
	if account == nil {
		all = append(all, Change{Spec: &AccountSpec{Name: string(f.Account)}})
	}
	for _, s := range f.sections() {
		named := make(map[string]bool, len(s.specs))
		for _, spec := range s.specs {
			named[gatehouse.Fold(spec.SpecName())] = true
			all = append(all, Change{Spec: spec})
		}
		if !prune || !s.given || account == nil {
			continue
		}
		for old := range account.from(s.kind, "") {
			if !named[old.Key()] {
				all = append(all, Change{Kind: s.kind, Name: old.displayName()})
			}
		}
	}
	return all
}

// diff says what the plan changes.
func (p *plan) diff() Diff {
	var all Diff
	for i := range p.steps {
		s := &p.steps[i]
		switch {
		case s.same:
		case s.Spec == nil:
			all = append(all, Difference{Action: Deleted, Ref: Ref{s.Kind, p.name, s.old.displayName()}})
		case s.old == nil:
			all = append(all, Difference{Action: Created, Ref: s.ref})
		default:
			all = append(all, Difference{Action: Changed, Ref: s.ref, Fields: s.fields(p.name)})
		}
	}
	slices.SortStableFunc(all, func(a, b Difference) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(gatehouse.Fold(a.Name), gatehouse.Fold(b.Name)))
	})
	return all
}

// fields returns the fields that change.
func (s *step) fields(a gatehouse.AccountName) []FieldDifference {
	spec := s.spec
	if s.made != nil {
		spec = s.made.Spec()
	}
	before, after := fieldsOf(s.old.row(a).Spec), fieldsOf(spec)
	names := slices.Collect(maps.Keys(before))
	for name := range after {
		if _, ok := before[name]; !ok {
			names = append(names, name)
		}
	}
	var all []FieldDifference
	for _, name := range slices.Sorted(slices.Values(names)) {
		if before[name] != after[name] {
			all = append(all, FieldDifference{Field: name, From: before[name], To: after[name]})
		}
	}
	for _, key := range s.changed {
		all = append(all, FieldDifference{Field: key})
	}
	return all
}
