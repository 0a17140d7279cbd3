package directory

import (
	"context"
	"errors"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/auth"
	"github.com/gatehouse/gatehouse/engine"
)

// Absent, as Change.If, demands that there be no such definition yet.
const Absent = uint64(engine.Absent)

// A Change creates, replaces or deletes one definition.
type Change struct {
	Spec Spec // what it is to be; nil deletes
	// Kind and Name say what is deleted; they are not looked at with a Spec.
	Kind Kind
	Name string
	// If is the revision that the definition must have, Absent, or 0 for no
	// condition. A change whose condition does not hold fails with Conflict.
	If uint64
}

// Update makes all changes to one account, or none, and returns the revision
// of the directory after it. What is already exactly so is not written. The
// error is Invalid with everything that is wrong (its cause is Problems),
// Conflict, NotFound for what is to be deleted and is not there, or
// Unavailable.
//
// An account is created by an *AccountSpec of its name, with whatever else it
// is to have, and deleted by a change of its own.
func (d *Directory) Update(ctx context.Context, a gatehouse.AccountName, changes ...Change) (revision uint64, err error) {
	if len(changes) == 1 && changes[0].Spec == nil && changes[0].Kind == KindAccount {
		return d.deleteAccount(ctx, a, changes[0])
	}
	now, _, err := d.update(ctx, a, func(*Snapshot) []Change { return changes })
	if err != nil {
		return 0, err
	}
	return now.revision, nil
}

// update is Update for changes that depend on the snapshot they are made to.
// It returns the snapshot after them, and the plan that was carried out.
func (d *Directory) update(ctx context.Context, a gatehouse.AccountName, changes func(*Snapshot) []Change) (*Snapshot, *plan, error) {
	var p *plan
	now, err := d.write(ctx, func(now *Snapshot) (rows []engine.Change, err error) {
		if p, err = d.plan(now, a, changes(now)); err != nil {
			return nil, err
		}
		rows = p.changes()
		if p.account != nil || len(rows) == 0 {
			return rows, nil
		}
		return d.creation(ctx, p.key, rows)
	})
	return now, p, err
}

// Put creates or replaces one definition and returns it as it is now. For an
// account, a is its own name.
func (d *Directory) Put(ctx context.Context, a gatehouse.AccountName, s Spec, ifRevision uint64) (Row, error) {
	now, _, err := d.update(ctx, a, func(*Snapshot) []Change { return []Change{{Spec: s, If: ifRevision}} })
	if err != nil {
		return Row{}, err
	}
	account := now.Account(a)
	if account == nil {
		return Row{}, notFound(Ref{KindAccount, a, string(a)})
	}
	return account.Row(s.SpecKind(), s.SpecName())
}

// Delete deletes one definition; NotFound if there is none. Deleting an
// account deletes everything in it.
func (d *Directory) Delete(ctx context.Context, a gatehouse.AccountName, k Kind, name string, ifRevision uint64) error {
	_, err := d.Update(ctx, a, Change{Kind: k, Name: name, If: ifRevision})
	return err
}

// modify changes one endpoint in a way that needs no further checks, so that
// it works whatever has become of the rules by which the endpoint was made.
func (d *Directory) modify(ctx context.Context, a gatehouse.AccountName, e gatehouse.EndpointName, change func(account string, e *Endpoint) error) error {
	_, err := d.write(ctx, func(now *Snapshot) ([]engine.Change, error) {
		account := now.Account(a)
		if account == nil {
			return nil, notFound(Ref{KindAccount, a, string(a)})
		}
		old := account.Endpoint(e)
		if old == nil {
			return nil, notFound(Ref{KindEndpoint, a, string(e)})
		}
		fresh := *old
		if err := change(account.key, &fresh); err != nil {
			return nil, err
		}
		if fresh.flags == old.flags && fresh.sealed == old.sealed {
			return nil, nil
		}
		value, err := appendEndpoint(nil, &fresh)
		return []engine.Change{{Key: rowKey(account.key, KindEndpoint, old.key), Value: value, If: engine.If(old.revision)}}, err
	})
	return err
}

// Revoke withdraws the sides of an endpoint that are set in sides; the others
// stay as they are.
func (d *Directory) Revoke(ctx context.Context, a gatehouse.AccountName, e gatehouse.EndpointName, sides Revoked) error {
	return d.modify(ctx, a, e, func(_ string, e *Endpoint) error {
		e.flags |= sides.flags()
		return nil
	})
}

// Restore gives back the sides of an endpoint that are set in sides.
func (d *Directory) Restore(ctx context.Context, a gatehouse.AccountName, e gatehouse.EndpointName, sides Revoked) error {
	return d.modify(ctx, a, e, func(_ string, e *Endpoint) error {
		e.flags &^= sides.flags()
		return nil
	})
}

// Which says which key of a policy is meant.
type Which string

// The keys of a policy.
const (
	Primary   Which = "primary"
	Secondary Which = "secondary"
)

// Rotate makes a new key in place of one of an endpoint's policy and returns
// the keys as they are now. Whatever the old key had opened ends.
func (d *Directory) Rotate(ctx context.Context, a gatehouse.AccountName, e gatehouse.EndpointName, policy gatehouse.PolicyName, which Which) (auth.KeyPair, error) {
	from, ok := ownKeys(policy)
	if !ok {
		return auth.KeyPair{}, gatehouse.Errorf(gatehouse.NotFound, "an endpoint has no policy %q, only send and listen", policy)
	}
	var pair auth.KeyPair
	err := d.modify(ctx, a, e, func(account string, e *Endpoint) error {
		var ring keyring
		var err error
		if ring.keys, err = d.unseal(account, KindEndpoint, e.key, e.sealed, 0, keysPerEndpoint, nil); err != nil {
			return err
		}
		if err := ring.rotate(from, which); err != nil {
			return err
		}
		e.sealed = d.seal(account, KindEndpoint, e.key, ring.keys)
		pair = auth.KeyPair{Primary: ring.keys[from], Secondary: ring.keys[from+1]}
		return nil
	})
	if err != nil {
		return auth.KeyPair{}, err
	}
	return pair, nil
}

// RotatePolicy is Rotate for a policy of an account.
func (d *Directory) RotatePolicy(ctx context.Context, a gatehouse.AccountName, policy gatehouse.PolicyName, which Which) (auth.KeyPair, error) {
	var pair auth.KeyPair
	_, err := d.write(ctx, func(now *Snapshot) ([]engine.Change, error) {
		account := now.Account(a)
		if account == nil {
			return nil, notFound(Ref{KindAccount, a, string(a)})
		}
		p := account.Policy(policy)
		if p == nil {
			return nil, notFound(Ref{KindPolicy, a, string(policy)})
		}
		var ring keyring
		var err error
		if ring.keys, err = d.unseal(account.key, KindPolicy, p.key, p.sealed, 0, keysPerPolicy, nil); err != nil {
			return nil, err
		}
		if err := ring.rotate(0, which); err != nil {
			return nil, err
		}
		pair = auth.KeyPair{Primary: ring.keys[0], Secondary: ring.keys[1]}
		value, err := encodeSpec(p.spec, d.seal(account.key, KindPolicy, p.key, ring.keys))
		return []engine.Change{{Key: rowKey(account.key, KindPolicy, p.key), Value: value, If: engine.If(p.revision)}}, err
	})
	if err != nil {
		return auth.KeyPair{}, err
	}
	return pair, nil
}

// deleteAccount deletes an account: first its own row and all on which others
// depend, at which it is gone for everybody; then its endpoints, which nobody
// finds any more, in batches. If it is cut off in between, they are cleared
// away when an account of that name is created.
func (d *Directory) deleteAccount(ctx context.Context, a gatehouse.AccountName, c Change) (uint64, error) {
	var gone *Account
	now, err := d.write(ctx, func(now *Snapshot) ([]engine.Change, error) {
		p, err := d.plan(now, a, []Change{c})
		if err != nil {
			return nil, err
		}
		gone = p.account
		rows := p.changes()
		for _, k := range Kinds() {
			if k == KindAccount || k == KindEndpoint {
				continue
			}
			for old := range gone.from(k, "") {
				rows = append(rows, engine.Change{Key: rowKey(p.key, k, old.Key()), If: engine.If(old.Revision())})
			}
		}
		return rows, nil
	})
	if err != nil {
		return 0, err
	}
	return now.revision, d.clearEndpoints(ctx, gone)
}

// maxBatch is how many rows are written at once where it need not be all.
const maxBatch = 500

// clearEndpoints deletes the rows of a deleted account's endpoints, unless an
// account of that name has come meanwhile, which has done so.
func (d *Directory) clearEndpoints(ctx context.Context, gone *Account) error {
	rows := make([]engine.Change, 0, maxBatch)
	for e := range gone.endpoints.All() {
		rows = append(rows, engine.Change{Key: rowKey(gone.key, KindEndpoint, e.key), If: engine.If(e.revision)})
		if len(rows) < maxBatch {
			continue
		}
		if err := d.clear(ctx, rows); err != nil {
			return err
		}
		rows = rows[:0]
	}
	if len(rows) == 0 {
		return nil
	}
	return d.clear(ctx, rows)
}

// clear deletes rows that no account has. A Conflict says that one of them was
// written meanwhile, so that an account has it again or its creation will deal
// with it.
func (d *Directory) clear(ctx context.Context, rows []engine.Change) error {
	_, err := d.table.Update(ctx, rows...)
	if errors.Is(err, gatehouse.Conflict) {
		return nil
	}
	return err
}

// creation adds to the rows of a new account the deletion of what a former one
// of its name has left in the table.
func (d *Directory) creation(ctx context.Context, account string, rows []engine.Change) ([]engine.Change, error) {
	var left []engine.TableRow
	guard := uint64(0)
	_, err := d.table.Scan(ctx, account+"/", func(r engine.TableRow) error {
		switch _, k, _, _ := splitKey(r.Key); k {
		case KindAccount:
			return &conditionError{gatehouse.Errorf(gatehouse.Conflict, "account %q was created meanwhile", account), r.Key, 0}
		case kindFence:
			guard = r.Revision
		default:
			left = append(left, engine.TableRow{Key: r.Key, Revision: r.Revision})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	made := make(map[string]int, len(rows))
	for i := range rows {
		made[rows[i].Key] = i
	}
	var orphans []engine.Change
	for _, r := range left {
		if i, ok := made[r.Key]; ok {
			rows[i].If = engine.If(r.Revision)
			continue
		}
		orphans = append(orphans, engine.Change{Key: r.Key, If: engine.If(r.Revision)})
	}
	for len(orphans) > maxBatch {
		if err := d.clear(ctx, orphans[:maxBatch]); err != nil {
			return nil, err
		}
		orphans = orphans[maxBatch:]
	}
	return append(append(rows, orphans...), fence(account, guard)), nil
}
