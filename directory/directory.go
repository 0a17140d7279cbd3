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
	"iter"
	"log/slog"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/auth"
	"github.com/gatehouse/gatehouse/config"
	"github.com/gatehouse/gatehouse/directory/vault"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/inbox"
	"github.com/gatehouse/gatehouse/restrict"
	"github.com/gatehouse/gatehouse/route"
	"github.com/gatehouse/gatehouse/rule"
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
	// Logger is told what nobody waits for. Default: nothing is logged.
	Logger *slog.Logger
}

// A Directory keeps the definitions of an environment. It is safe for
// concurrent use. Reading takes no lock; changes of one node are made one at a
// time.
type Directory struct{}

// Open reads all definitions. It fails if a row cannot be read or makes no
// sense, if the rules of an account do not compile, or if the vault's key is
// not the one that keys in the engine are encrypted with: a gateway that knows
// only some of its rules must not run.
func Open(ctx context.Context, e engine.Engine, o Options) (*Directory, error) { panic("building") }

// Run follows the changes that other nodes make, until ctx is done, whose
// error it does not return, or until one comes that this node cannot
// understand.
func (d *Directory) Run(ctx context.Context) error { panic("building") }

// Close makes further changes fail with Unavailable. It does not close the
// engine.
func (d *Directory) Close() {}

// Current returns the present snapshot.
func (d *Directory) Current() *Snapshot { panic("building") }

// Subscribe has f told of every change: the snapshots before and after, and
// exactly what differs. Calls come in order, one at a time, before the changing
// call returns and after Current returns now; f must not change the directory.
// A Ref of an account that was created or deleted stands for its endpoints too.
func (d *Directory) Subscribe(f func(old, now *Snapshot, changed []Ref)) {}

// EndpointKeys implements auth.Keys.
func (d *Directory) EndpointKeys(a gatehouse.AccountName, e gatehouse.EndpointName, policy gatehouse.PolicyName) (auth.KeyPair, error) {
	panic("building")
}

// PolicyKeys implements auth.Keys.
func (d *Directory) PolicyKeys(a gatehouse.AccountName, policy gatehouse.PolicyName) (auth.KeyPair, gatehouse.Rights, error) {
	panic("building")
}

// EndpointSecrets are the keys of an endpoint's two policies.
type EndpointSecrets struct {
	Send   auth.KeyPair `json:"send"`
	Listen auth.KeyPair `json:"listen"`
}

// Reveal returns all keys of an endpoint, to be shown. The caller keeps the
// audit.
func (d *Directory) Reveal(a gatehouse.AccountName, e gatehouse.EndpointName) (EndpointSecrets, error) {
	panic("building")
}

// RevealPolicy returns the keys of a policy, to be shown.
func (d *Directory) RevealPolicy(a gatehouse.AccountName, policy gatehouse.PolicyName) (auth.KeyPair, error) {
	panic("building")
}

// InboxPolicy returns how the inbox of an endpoint behaves: what the endpoint
// says, then its account, then Options.Inbox. It is made for inbox.Options.
func (d *Directory) InboxPolicy(k inbox.Key) inbox.Policy { panic("building") }

// --- kinds and rows ---

// A Kind is a kind of definition.
type Kind uint8

// The kinds of definitions.
const (
	KindAccount Kind = iota + 1
	KindEndpoint
	KindChannel
	KindRoute
	KindRestriction
	KindHandler
	KindPolicy
)

// String returns the kind's name, "endpoint".
func (k Kind) String() string { return "" }

// Kinds returns every kind.
func Kinds() []Kind { return nil }

// ParseKind reads a kind's name, in the singular or plural and in any case.
func ParseKind(s string) (Kind, error) { panic("building") }

// A Ref names a definition. That of an account has the account's name twice.
type Ref struct {
	Kind    Kind                  `json:"kind"`
	Account gatehouse.AccountName `json:"account"`
	Name    string                `json:"name"`
}

// String returns the kind and the name, quoted.
func (r Ref) String() string { return "" }

// A Spec is a definition as it is written by an administrator: *AccountSpec,
// *EndpointSpec, *ChannelSpec, *RouteSpec, *RestrictionSpec, *HandlerSpec or
// *PolicySpec. The set is closed.
type Spec interface {
	SpecKind() Kind
	SpecName() string
}

// A Row is a definition as it is stored. Its Spec is the reader's own for
// endpoints and must not be changed for other kinds; it has no keys.
type Row struct {
	Ref
	Revision uint64
	Spec     Spec
}

// AccountSpec defines an account.
type AccountSpec struct {
	Name        string `json:"name" yaml:"name"`
	Description string `json:"description,omitempty" yaml:"description,omitempty"`
	// Disabled lets no endpoint and no trusted code of the account in.
	Disabled bool `json:"disabled,omitempty" yaml:"disabled,omitempty"`
	// Inbox is how inboxes of the account behave unless their endpoint says
	// otherwise.
	Inbox *InboxSpec `json:"inbox,omitempty" yaml:"inbox,omitempty"`
	// Environment is set when the account is created and cannot be changed.
	Environment string `json:"environment,omitempty" yaml:"environment,omitempty"`
}

// InboxSpec says how an inbox behaves. What is not given is as the account has
// it, or else the environment.
type InboxSpec struct {
	// Lock is how long a receiver may take before a message is given to another.
	Lock *config.Duration `json:"lock,omitempty" yaml:"lock,omitempty"`
	// MaxDeliveries is after how many failed deliveries a message goes to the dead letters; -1: never.
	MaxDeliveries *int `json:"maxDeliveries,omitempty" yaml:"maxDeliveries,omitempty"`
	// MaxAge is how long a message waits before it expires; 0: as long as its own time to live says.
	MaxAge *config.Duration `json:"maxAge,omitempty" yaml:"maxAge,omitempty"`
	// DeadLetterExpired sends what expires to the dead letters instead of dropping and counting it.
	DeadLetterExpired *bool `json:"deadLetterExpired,omitempty" yaml:"deadLetterExpired,omitempty"`
	// MaxMessages is how many messages the inbox holds; 0: any number.
	MaxMessages *int `json:"maxMessages,omitempty" yaml:"maxMessages,omitempty"`
	// MaxBytes is how many bytes of messages the inbox holds; 0: any number.
	MaxBytes *config.Size `json:"maxBytes,omitempty" yaml:"maxBytes,omitempty"`
	// OnFull is refuse, dropOldest or deadLetter.
	OnFull string `json:"onFull,omitempty" yaml:"onFull,omitempty"`
	// DeadLetterMaxAge is how long dead letters are kept; 0: until they are purged or resubmitted.
	DeadLetterMaxAge *config.Duration `json:"deadLetterMaxAge,omitempty" yaml:"deadLetterMaxAge,omitempty"`
}

// EndpointSpec defines an endpoint.
type EndpointSpec struct {
	Name        string            `json:"name" yaml:"name"`
	Description string            `json:"description,omitempty" yaml:"description,omitempty"`
	Labels      map[string]string `json:"labels,omitempty" yaml:"labels,omitempty"`
	// Protocols are the adapters it may use; none means all.
	Protocols []string `json:"protocols,omitempty" yaml:"protocols,omitempty"`
	// AllowPlaintext lets it use connections without TLS.
	AllowPlaintext bool `json:"allowPlaintext,omitempty" yaml:"allowPlaintext,omitempty"`
	Disabled       bool `json:"disabled,omitempty" yaml:"disabled,omitempty"`
	// Revoked withdraws the publisher, the inbox or both.
	Revoked Revoked    `json:"revoked,omitzero" yaml:"revoked,omitempty"`
	Inbox   *InboxSpec `json:"inbox,omitempty" yaml:"inbox,omitempty"`
	// Keys to set. Those not given stay as they are, or are made.
	Keys *KeySpec `json:"keys,omitempty" yaml:"keys,omitempty"`
}

// Revoked says which of an endpoint's two sides is withdrawn.
type Revoked struct {
	Send   bool `json:"send,omitempty" yaml:"send,omitempty"`
	Listen bool `json:"listen,omitempty" yaml:"listen,omitempty"`
}

// KeySpec gives keys of an endpoint: primary, secondary.
type KeySpec struct {
	Send   []string `json:"send,omitempty" yaml:"send,omitempty"`
	Listen []string `json:"listen,omitempty" yaml:"listen,omitempty"`
}

// ChannelSpec defines a channel.
type ChannelSpec struct {
	Name        string    `json:"name" yaml:"name"`
	Description string    `json:"description,omitempty" yaml:"description,omitempty"`
	Retention   Retention `json:"retention,omitzero" yaml:"retention,omitempty"`
	// Duplicates is the window within which a second message of the same id
	// is dropped as a retry; at most 7 days, 0: no detection.
	Duplicates config.Duration `json:"duplicates,omitempty" yaml:"duplicates,omitempty"`
	// DeadLetterRetention is how long dead letters are kept; 0: as the environment has it.
	DeadLetterRetention config.Duration `json:"deadLetterRetention,omitempty" yaml:"deadLetterRetention,omitempty"`
}

// Retention is how long and how much a channel keeps; zero is no limit.
type Retention struct {
	Age   config.Duration `json:"age,omitempty" yaml:"age,omitempty"`
	Bytes config.Size     `json:"bytes,omitempty" yaml:"bytes,omitempty"`
}

// RouteSpec defines a route authorization.
type RouteSpec struct {
	route.Authorization `yaml:",inline"`
}

// RestrictionSpec defines a restriction.
type RestrictionSpec struct {
	restrict.Restriction `yaml:",inline"`
}

// HandlerSpec attaches a handler to a channel.
type HandlerSpec struct {
	Name        string `json:"name" yaml:"name"`
	Description string `json:"description,omitempty" yaml:"description,omitempty"`
	Channel     string `json:"channel" yaml:"channel"`
	Kind        string `json:"kind" yaml:"kind"`
	// Config is what the kind asks for.
	Config Raw `json:"config,omitempty" yaml:"config,omitempty"`
	// Enabled is true if not given.
	Enabled *bool `json:"enabled,omitempty" yaml:"enabled,omitempty"`
	// From is where a new handler starts: "first" (if not given), the first
	// message the channel still has, or "now".
	From string `json:"from,omitempty" yaml:"from,omitempty"`
}

// PolicySpec defines a policy of an account.
type PolicySpec struct {
	Name        string `json:"name" yaml:"name"`
	Description string `json:"description,omitempty" yaml:"description,omitempty"`
	// Rights are any of send, listen, manage, channels.
	Rights []string `json:"rights" yaml:"rights"`
	// Keys to set: primary, secondary. Those not given stay as they are, or
	// are made.
	Keys []string `json:"keys,omitempty" yaml:"keys,omitempty"`
}

// Raw is a JSON document inside a definition. In YAML it is written as YAML.
type Raw json.RawMessage

// SpecKind implements Spec.
func (*AccountSpec) SpecKind() Kind { return KindAccount }

// SpecKind implements Spec.
func (*EndpointSpec) SpecKind() Kind { return KindEndpoint }

// SpecKind implements Spec.
func (*ChannelSpec) SpecKind() Kind { return KindChannel }

// SpecKind implements Spec.
func (*RouteSpec) SpecKind() Kind { return KindRoute }

// SpecKind implements Spec.
func (*RestrictionSpec) SpecKind() Kind { return KindRestriction }

// SpecKind implements Spec.
func (*HandlerSpec) SpecKind() Kind { return KindHandler }

// SpecKind implements Spec.
func (*PolicySpec) SpecKind() Kind { return KindPolicy }

// SpecName implements Spec.
func (s *AccountSpec) SpecName() string { return s.Name }

// SpecName implements Spec.
func (s *EndpointSpec) SpecName() string { return s.Name }

// SpecName implements Spec.
func (s *ChannelSpec) SpecName() string { return s.Name }

// SpecName implements Spec.
func (s *RouteSpec) SpecName() string { return s.Name }

// SpecName implements Spec.
func (s *RestrictionSpec) SpecName() string { return s.Name }

// SpecName implements Spec.
func (s *HandlerSpec) SpecName() string { return s.Name }

// SpecName implements Spec.
func (s *PolicySpec) SpecName() string { return s.Name }

// --- snapshots ---

// A Snapshot is all definitions at one time. It is immutable.
type Snapshot struct{}

// Revision grows with every change.
func (s *Snapshot) Revision() uint64 { panic("building") }

// Account returns an account, or nil.
func (s *Snapshot) Account(name gatehouse.AccountName) *Account { panic("building") }

// Accounts yields the accounts in order of their folded names.
func (s *Snapshot) Accounts() iter.Seq[*Account] { panic("building") }

// An Account is one tenant with all that is defined in it.
type Account struct{}

// Name returns the name as it was given.
func (a *Account) Name() gatehouse.AccountName { panic("building") }

// Revision is that of the account's own row.
func (a *Account) Revision() uint64 { panic("building") }

// Disabled reports whether nobody is let in.
func (a *Account) Disabled() bool { panic("building") }

// Endpoint returns an endpoint, or nil.
func (a *Account) Endpoint(name gatehouse.EndpointName) *Endpoint { panic("building") }

// Channel returns a channel, or nil.
func (a *Account) Channel(name gatehouse.ChannelName) *Channel { panic("building") }

// Handler returns a handler, or nil.
func (a *Account) Handler(name string) *Handler { panic("building") }

// Policy returns a policy, or nil.
func (a *Account) Policy(name gatehouse.PolicyName) *Policy { panic("building") }

// Routes returns the compiled route authorizations.
func (a *Account) Routes() *route.Table { panic("building") }

// Restrictions returns the compiled restrictions.
func (a *Account) Restrictions() *restrict.Table { panic("building") }

// Channels yields the channels in order of name.
func (a *Account) Channels() iter.Seq[*Channel] { panic("building") }

// Handlers yields the handlers in order of name.
func (a *Account) Handlers() iter.Seq[*Handler] { panic("building") }

// Policies yields the policies in order of name.
func (a *Account) Policies() iter.Seq[*Policy] { panic("building") }

// Endpoints yields the endpoints in order of name, from the first whose name
// is at or after from ("" for all).
func (a *Account) Endpoints(from gatehouse.EndpointName) iter.Seq[*Endpoint] { panic("building") }

// Count returns how many definitions of a kind the account has.
func (a *Account) Count(k Kind) int { panic("building") }

// Row returns one definition with its revision; NotFound if there is none. For
// KindAccount the name is not looked at.
func (a *Account) Row(k Kind, name string) (Row, error) { panic("building") }

// Rows returns up to limit definitions of a kind (0: all) whose name comes
// after the given one, in order of name.
func (a *Account) Rows(k Kind, after string, limit int) []Row { panic("building") }

// A Search says which endpoints are wanted. What is not given does not limit.
type Search struct {
	Prefix   string // of the name
	Glob     string // the whole name: "pump-*"
	Labels   string // selector: "site=oslo,kind!=test"
	Disabled *bool
	Revoked  *bool // either side
	After    string
	Limit    int // default and most: 1000
}

// Search returns the endpoints that s asks for, in order of name, and whether
// there are more behind the last of them.
func (a *Account) Search(s Search) (found []*Endpoint, more bool, err error) { panic("building") }

// An Endpoint is one outside party. It is immutable, and another pointer
// exactly when it has changed.
type Endpoint struct{}

// Name returns the name as it was given.
func (e *Endpoint) Name() gatehouse.EndpointName { panic("building") }

// Revision is that of its row.
func (e *Endpoint) Revision() uint64 { panic("building") }

// Labels returns the labels, which must not be changed.
func (e *Endpoint) Labels() rule.Labels { panic("building") }

// Disabled reports whether it is let in at all.
func (e *Endpoint) Disabled() bool { panic("building") }

// Revoked says which sides are withdrawn.
func (e *Endpoint) Revoked() Revoked { panic("building") }

// Allows returns a Restricted error that says how to allow it, unless the
// endpoint may use the protocol, with TLS or (plaintext) without.
func (e *Endpoint) Allows(protocol string, plaintext bool) error { panic("building") }

// Party returns the endpoint as rules see it.
func (e *Endpoint) Party() rule.Endpoint { panic("building") }

// Spec returns the definition, without keys.
func (e *Endpoint) Spec() *EndpointSpec { panic("building") }

// A Channel is a channel's definition.
type Channel struct{}

// Name returns the name as it was given.
func (c *Channel) Name() gatehouse.ChannelName { panic("building") }

// Revision is that of its row.
func (c *Channel) Revision() uint64 { panic("building") }

// Duplicates returns the window of duplicate detection; 0: none.
func (c *Channel) Duplicates() time.Duration { panic("building") }

// Retention returns how long and how much is kept; 0: no limit.
func (c *Channel) Retention() (age time.Duration, bytes int64) { panic("building") }

// DeadLetterRetention returns how long dead letters are kept; 0: not given.
func (c *Channel) DeadLetterRetention() time.Duration { panic("building") }

// Spec returns the definition, which must not be changed.
func (c *Channel) Spec() *ChannelSpec { panic("building") }

// A Handler is a handler's definition.
type Handler struct{}

// Name returns the name as it was given.
func (h *Handler) Name() string { panic("building") }

// Revision is that of its row.
func (h *Handler) Revision() uint64 { panic("building") }

// Channel returns the channel it follows.
func (h *Handler) Channel() gatehouse.ChannelName { panic("building") }

// Kind returns what kind of handler it is.
func (h *Handler) Kind() string { panic("building") }

// Config returns the configuration of its kind, as JSON, or nil.
func (h *Handler) Config() json.RawMessage { panic("building") }

// Enabled reports whether it is to run.
func (h *Handler) Enabled() bool { panic("building") }

// FromNow reports whether it starts behind what the channel has already.
func (h *Handler) FromNow() bool { panic("building") }

// Spec returns the definition, which must not be changed.
func (h *Handler) Spec() *HandlerSpec { panic("building") }

// A Policy is a policy's definition.
type Policy struct{}

// Name returns the name as it was given.
func (p *Policy) Name() gatehouse.PolicyName { panic("building") }

// Revision is that of its row.
func (p *Policy) Revision() uint64 { panic("building") }

// Rights returns what its keys are good for.
func (p *Policy) Rights() gatehouse.Rights { panic("building") }

// Spec returns the definition, without keys; it must not be changed.
func (p *Policy) Spec() *PolicySpec { panic("building") }

// --- changes ---

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
// of the directory after it. Creating what is already exactly so changes
// nothing. The error is Invalid with everything that is wrong (*Problems is
// its cause), Conflict, NotFound, or Unavailable.
func (d *Directory) Update(ctx context.Context, a gatehouse.AccountName, changes ...Change) (revision uint64, err error) {
	panic("building")
}

// Put creates or replaces one definition and returns it as it is now. For an
// account, a is its own name.
func (d *Directory) Put(ctx context.Context, a gatehouse.AccountName, s Spec, ifRevision uint64) (Row, error) {
	panic("building")
}

// Delete deletes one definition; NotFound if there is none. Deleting an
// account deletes everything in it.
func (d *Directory) Delete(ctx context.Context, a gatehouse.AccountName, k Kind, name string, ifRevision uint64) error {
	panic("building")
}

// A Problem is one thing that is wrong with a definition.
type Problem struct {
	Ref
	Field string `json:"field,omitempty"`
	Text  string `json:"text"` // what is wrong and what to do
}

// Problems is the cause of an Invalid error of a change: all that is wrong
// with it, as far as it was looked at.
type Problems []Problem

// Error returns a line for each problem.
func (p Problems) Error() string { return "" }

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
	panic("building")
}

// RotatePolicy is Rotate for a policy of an account.
func (d *Directory) RotatePolicy(ctx context.Context, a gatehouse.AccountName, policy gatehouse.PolicyName, which Which) (auth.KeyPair, error) {
	panic("building")
}

// Revoke withdraws the sides of an endpoint that are set in sides; the others
// stay as they are.
func (d *Directory) Revoke(ctx context.Context, a gatehouse.AccountName, e gatehouse.EndpointName, sides Revoked) error {
	panic("building")
}

// Restore gives back the sides of an endpoint that are set in sides.
func (d *Directory) Restore(ctx context.Context, a gatehouse.AccountName, e gatehouse.EndpointName, sides Revoked) error {
	panic("building")
}

// Imported says what an import has done.
type Imported struct {
	Created   int `json:"created"`
	Changed   int `json:"changed"`
	Unchanged int `json:"unchanged"`
}

// Import creates or replaces endpoints as they come, in atomic batches. It
// ends at the first error, of specs itself or about an endpoint, which it
// names with its number in the stream; what is counted is stored.
func (d *Directory) Import(ctx context.Context, a gatehouse.AccountName, specs iter.Seq2[*EndpointSpec, error]) (Imported, error) {
	panic("building")
}

// A File describes an account declaratively.
type File struct {
	Account      gatehouse.AccountName `json:"account" yaml:"account"`
	Channels     []ChannelSpec         `json:"channels,omitempty" yaml:"channels,omitempty"`
	Endpoints    []EndpointSpec        `json:"endpoints,omitempty" yaml:"endpoints,omitempty"`
	Routes       []RouteSpec           `json:"routes,omitempty" yaml:"routes,omitempty"`
	Restrictions []RestrictionSpec     `json:"restrictions,omitempty" yaml:"restrictions,omitempty"`
	Handlers     []HandlerSpec         `json:"handlers,omitempty" yaml:"handlers,omitempty"`
	Policies     []PolicySpec          `json:"policies,omitempty" yaml:"policies,omitempty"`
}

// ParseFile reads a declarative file, YAML or JSON. name is what errors call
// it. env looks up variables for ${NAME} in keys; nil leaves them alone.
func ParseFile(data []byte, name string, env func(string) (string, bool)) (*File, error) {
	panic("building")
}

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
	From  string `json:"from,omitempty"` // as JSON
	To    string `json:"to,omitempty"`
}

// A Diff is what applying a file changes, in order of kind and name.
type Diff []Difference

// Apply makes the account what f says, all of it or nothing, and returns what
// changed. Applying the same file again changes nothing. With prune, what f
// does not have is deleted, for each section that f has at all, even if it is
// empty. The account is created if there is none.
func (d *Directory) Apply(ctx context.Context, f *File, prune bool) (Diff, error) { panic("building") }

// Diff returns what Apply would change, or the error it would fail with.
func (d *Directory) Diff(ctx context.Context, f *File, prune bool) (Diff, error) { panic("building") }

// Export returns a file that describes an account, without keys.
func (d *Directory) Export(a gatehouse.AccountName) (*File, error) { panic("building") }
