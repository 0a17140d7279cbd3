package directory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/gatehouse/gatehouse"
)

// Imported says what an import has done.
type Imported struct {
	Created   int `json:"created"`
	Changed   int `json:"changed"`
	Unchanged int `json:"unchanged"`
}

// Import creates or replaces endpoints as they come, in atomic batches. It
// ends at the first error, of specs itself or about an endpoint, which it
// names with its number in the stream; what is counted is stored. Of two specs
// of the same name the later counts.
func (d *Directory) Import(ctx context.Context, a gatehouse.AccountName, specs iter.Seq2[*EndpointSpec, error]) (Imported, error) {
	m := importing{d: d, account: a, names: make(map[string]bool, maxBatch)}
	for spec, err := range specs {
		if err != nil {
			err = cmp.Or(m.flush(ctx), err)
			return m.done, err
		}
		if key := gatehouse.Fold(spec.Name); m.names[key] {
			if err := m.flush(ctx); err != nil {
				return m.done, err
			}
		}
		m.names[gatehouse.Fold(spec.Name)] = true
		m.batch = append(m.batch, Change{Spec: spec})
		if len(m.batch) < maxBatch {
			continue
		}
		if err := m.flush(ctx); err != nil {
			return m.done, err
		}
	}
	err := m.flush(ctx)
	return m.done, err
}

// importing is an Import under way.
type importing struct {
	d       *Directory
	account gatehouse.AccountName
	batch   []Change
	names   map[string]bool // in batch, folded
	before  int             // specs in the batches before
	done    Imported
}

// flush stores the batch.
func (m *importing) flush(ctx context.Context) error {
	if len(m.batch) == 0 {
		return nil
	}
	_, p, err := m.d.update(ctx, m.account, func(*Snapshot) []Change { return m.batch })
	if problems, ok := errors.AsType[Problems](err); ok {
		text := fmt.Sprintf("endpoint %d of the import: %s; it and the up to %d before it from number %d on were not stored", m.before+problems[0].index+1, problems[0], maxBatch, m.before+1)
		return gatehouse.Wrap(gatehouse.Invalid, problems, text)
	}
	if err != nil {
		return err
	}
	for i := range p.steps {
		switch s := &p.steps[i]; {
		case s.same:
			m.done.Unchanged++
		case s.old == nil:
			m.done.Created++
		default:
			m.done.Changed++
		}
	}
	m.before += len(m.batch)
	m.batch = m.batch[:0]
	clear(m.names)
	return nil
}
