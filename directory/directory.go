// Package directory keeps the durable definitions of an environment: accounts,
// endpoints, channels, routes, restrictions, handlers and policies, each a row
// with a revision in an engine table.
//
// A change is validated as a whole, in itself and against everything it would
// stand beside, compiled, stored in one atomic update, and only then served: a
// set of changes is made entirely or not at all, and what Current returns is
// always something that was valid. A Snapshot is immutable. The next one shares
// all that has not changed, so that changing one endpoint among a million costs
// a few kilobytes and touches no other, and what did not change keeps its
// pointer: the same *Endpoint, the same *route.Table, the same
// *restrict.Table.
//
// Several nodes may have a directory over one engine. Each follows the others
// (Run), and changes that cross are found out by the revisions of rows: one of
// them is tried again on what the other has made. No change is lost and no two
// changes that are valid one by one make something invalid together.
//
// # Keys
//
// Keys of endpoints and policies are encrypted (package directory/vault), on
// disk and in memory, bound to the endpoint or policy they belong to; they are
// decrypted for each question and not kept. A key that is not given is made:
// 32 random bytes in base64, as Azure's. One that is given has 16 to 256
// visible ASCII characters without commas and semicolons, which separate keys
// in passwords and connection strings; shorter ones could be guessed from what
// a client signs with them. The two keys of a policy must differ, or rotating
// one would not take it out of use.
//
// # Environments
//
// An account belongs to the environment in which it was created. A directory
// opened for one environment neither serves nor changes accounts of another
// that it finds in the same engine.
package directory

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/config"
	"github.com/gatehouse/gatehouse/directory/vault"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/inbox"
	"github.com/gatehouse/gatehouse/route"
)

// Options of a Directory. Only Vault is required.
type Options struct {
	// Vault encrypts the keys of endpoints and policies.
	Vault *vault.Vault
	// Environment is the one whose accounts are served and managed.
	Environment string
	// CheckHandler says whether a kind of handler exists and its configuration
	// is valid; nil accepts everything. The error begins with the field at
	// fault.
	CheckHandler func(kind string, config json.RawMessage) error
	// Protocols are the names that endpoints may list; nil allows any.
	Protocols []string
	// Inbox is how inboxes behave for which neither their endpoint nor their
	// account says otherwise; its zero value stands for inbox.DefaultPolicy.
	Inbox config.Inbox
	// Routes are given to route.Compile, whenever the routes of an account are
	// compiled.
	Routes []route.Option
	// Before, if set, is told of every change just before it is stored, in the
	// words of Subscribe: what has to be noted or cleared away first. An error
	// refuses the change, which may fail after it too. Calls come one at a time;
	// it must not change the directory.
	Before func(ctx context.Context, old, now *Snapshot, changed []Ref) error
}

// A Directory keeps the definitions of an environment. It is safe for
// concurrent use. Reading takes no lock; changes of one node are made one at a
// time.
type Directory struct {
	table     engine.Table
	opts      Options
	inbox     inbox.Policy
	protocols []string // folded; nil: any
	current   atomic.Pointer[Snapshot]

	mu          sync.Mutex // held while a change is made, through its subscribers
	decoder     *decoder
	subscribers []func(old, now *Snapshot, changed []Ref)
	told        *Snapshot // what subscribers were told of last
	closed      bool
	// All updates of the table up to watched have been seen by absorb, and own
	// are those after it that this directory made and has put in itself.
	watched uint64
	own     map[uint64]bool
}

// Names of what is kept where.
const (
	tableName = "directory"
	vaultRow  = "$vault" // no account's name begins so
)

// Open reads all definitions. It fails if a row cannot be read or makes no
// sense, if the rules of an account do not compile, or if the vault's key is
// not the one that keys in the engine are encrypted with: a gateway that knows
// only some of its rules must not run.
func Open(ctx context.Context, e engine.Engine, o Options) (*Directory, error) {
	if o.Vault == nil {
		return nil, gatehouse.Errorf(gatehouse.Invalid, "the directory needs a vault for keys")
	}
	d := &Directory{table: e.Table(tableName), opts: o, own: make(map[uint64]bool)}
	for _, p := range o.Protocols {
		d.protocols = append(d.protocols, strings.ToLower(p))
	}
	var err error
	if d.inbox, err = environmentInbox(o.Inbox); err != nil {
		return nil, err
	}
	if err := d.checkVault(ctx); err != nil {
		return nil, err
	}
	return d, d.load(ctx)
}

// checkVault makes sure that the vault's key is the one in use, by a text that
// is sealed when the first directory is opened.
func (d *Directory) checkVault(ctx context.Context) error {
	const text = "gatehouse"
	r, err := d.table.Get(ctx, vaultRow)
	if errors.Is(err, gatehouse.NotFound) {
		sealed := d.opts.Vault.Seal(nil, []byte(text), []byte(vaultRow))
		_, err = d.table.Update(ctx, engine.Change{Key: vaultRow, Value: sealed, If: engine.Absent})
		if errors.Is(err, gatehouse.Conflict) {
			return d.checkVault(ctx) // another node was first
		}
		return err
	}
	if err != nil {
		return err
	}
	plain, err := d.opts.Vault.Open(nil, r.Value, []byte(vaultRow))
	if err != nil || string(plain) != text {
		return gatehouse.Errorf(gatehouse.Invalid, "the encryption key is not the one that the keys of endpoints in this environment are encrypted with; put back the former key file or variable (it belongs into backups with the data)")
	}
	return nil
}

// Close makes further changes fail with Unavailable. It does not close the
// engine.
func (d *Directory) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
}

// Current returns the present snapshot.
func (d *Directory) Current() *Snapshot { return d.current.Load() }

// Subscribe has f told of every change from now on: the snapshots before and
// after, and exactly what differs. Calls come in order, one at a time, before
// the changing call returns and after Current returns now; f must not change
// the directory. A Ref of an account that was created or deleted stands for
// its endpoints too.
func (d *Directory) Subscribe(f func(old, now *Snapshot, changed []Ref)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.subscribers = append(d.subscribers, f)
}

// publish makes now the present snapshot, with the lock held. If no definition
// differs, as when only a fence has moved, nobody is told.
func (d *Directory) publish(now *Snapshot, changed []Ref) {
	d.current.Store(now)
	if len(changed) == 0 {
		return
	}
	old := d.told
	d.told = now
	for _, f := range d.subscribers {
		f(old, now, changed)
	}
}
