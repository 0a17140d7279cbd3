package gate

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/channel"
	"github.com/gatehouse/gatehouse/directory"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/handler"
	"github.com/gatehouse/gatehouse/inbox"
	"github.com/gatehouse/gatehouse/route"
	"github.com/gatehouse/gatehouse/rule"
)

// Reasons of dead letters that the way out makes, part of the documented
// interface.
const (
	ReasonForbidden  = "NotAuthorized"      // no egress authorization
	ReasonNoEndpoint = "NoSuchEndpoint"     // the endpoint named does not exist
	ReasonNoChannel  = "NoSuchChannel"      // the channel named does not exist
	ReasonAddress    = "InvalidAddress"     // neither endpoints/NAME nor channels/NAME
	ReasonLabels     = "InvalidSelector"    // the labels to reach are not a selector
	ReasonQuota      = "QuotaExceeded"      // the inbox is full
	ReasonTooLarge   = "MessageTooLarge"    // the message cannot be stored
	ReasonHops       = "HopLimitExceeded"   // it passed too many channels
	ReasonAccount    = "AccountUnavailable" // the account is gone or disabled
)

// Deliver takes out what a handler asked to be sent: into the inboxes of the
// endpoints it may reach, and into the channels it named. What may not pass, or
// has nowhere to go, becomes a dead letter of the handler with the reason.
//
// Each output is stored once, however often Deliver is called with it: the
// place in the partition up to which a shard has what came from there is kept
// with it, in the same commit. So an error, after which nothing is certain, is
// mended by calling again with the same outputs. Calls for one handler and
// partition come one at a time.
func (g *Gate) Deliver(ctx context.Context, b *handler.Batch) error {
	d := &outward{gate: g, batch: b, now: time.Now()}
	d.id = channel.ID{Account: b.Account, Channel: b.Channel}
	if a := g.snapshot.Load().Account(b.Account); a != nil && !a.Disabled() {
		d.account = a
	}
	d.mark = markKey(d.id, b)
	var err error
	if d.stored, err = g.marks.of(g.Engine, d.mark); err != nil {
		return err
	}
	for i := range b.Outputs {
		d.begin(i)
		d.send(&b.Outputs[i])
	}
	return d.commit(ctx)
}

// An outward is one call of Deliver.
type outward struct {
	gate    *Gate
	batch   *handler.Batch
	id      channel.ID
	account *directory.Account // nil: gone or disabled
	now     time.Time
	mark    string             // key of the rows that stored comes from
	stored  []gatehouse.Offset // by shard: up to where it has everything
	shards  []bundle           // by shard
	refused atomic.Int64
	plans   map[*directory.Endpoint]route.Plan // of endpoints met

	last, sent *gatehouse.Message // an output's message and what is sent of it

	// reached are the inboxes that what came from one source has been put into,
	// by folded name; nil if it has a single output.
	reached map[string]struct{}
}

// begin prepares for the i-th output.
func (d *outward) begin(i int) {
	all := d.batch.Outputs
	if i > 0 && all[i-1].Source == all[i].Source {
		return
	}
	d.reached = nil
	if i+1 < len(all) && all[i+1].Source == all[i].Source {
		d.reached = make(map[string]struct{})
	}
}

// first reports whether an endpoint is reached for the first time from this
// source: named twice, or named and labelled, it gets the message once.
func (d *outward) first(name gatehouse.EndpointName) bool {
	if d.reached == nil {
		return true
	}
	before := len(d.reached)
	d.reached[gatehouse.Fold(name)] = struct{}{}
	return len(d.reached) > before
}

// A bundle is what one shard is to store.
type bundle struct {
	puts   []inbox.Put
	beside []engine.Record
}

func (d *outward) bundle(s engine.Shard) *bundle {
	if d.shards == nil {
		d.shards = make([]bundle, d.gate.Channels.Partitions())
	}
	return &d.shards[s]
}

// has reports whether shard s has everything that came from source.
func (d *outward) has(s engine.Shard, source gatehouse.Offset) bool { return source <= d.stored[s] }

// send decides about one output. Whatever is decided is stored in the shard
// that the address belongs to: should another decision come out when this is
// done again, it is held against the same mark.
func (d *outward) send(o *handler.Output) {
	if o.Address == "" {
		d.sendLabels(o)
		return
	}
	prefix, name, ok := gatehouse.SplitAddress(o.Address)
	switch {
	case !ok:
		d.bury(o, d.home(), ReasonAddress, "address "+quote(o.Address)+" is neither endpoints/NAME nor channels/NAME")
	case prefix == gatehouse.ChannelPrefix:
		d.forward(o, gatehouse.ChannelName(name))
	default:
		d.put(o, gatehouse.EndpointName(name))
	}
}

// home is the shard of the partition that is handled.
func (d *outward) home() engine.Shard { return engine.Shard(d.batch.Partition) }

// sendLabels sends to every endpoint that a selector matches and that may have
// it: an endpoint without an authorization is not among those meant.
func (d *outward) sendLabels(o *handler.Output) {
	if d.account == nil {
		d.bury(o, d.home(), ReasonAccount, errAccount)
		return
	}
	labels, err := rule.CompileLabels(o.Labels)
	if err != nil {
		d.bury(o, d.home(), ReasonLabels, err.Error())
		return
	}
	reached := 0
	for e := range d.account.Endpoints("") {
		if labels.Match(e.Labels()) && d.egress(e, o.Message) == nil {
			d.store(o, e)
			reached++
		}
	}
	if reached == 0 {
		d.bury(o, d.home(), ReasonNoEndpoint, "no endpoint that may have it matches the labels "+quote(o.Labels))
	}
}

// egress decides whether the message may reach an endpoint.
func (d *outward) egress(e *directory.Endpoint, m *gatehouse.Message) error {
	plan, ok := d.plans[e]
	if !ok {
		plan = d.account.Routes().Plan(e.Party())
		if d.plans == nil {
			d.plans = make(map[*directory.Endpoint]route.Plan)
		}
		d.plans[e] = plan
	}
	return plan.Egress(d.batch.Channel, m, d.now)
}

// put sends to one endpoint.
func (d *outward) put(o *handler.Output, name gatehouse.EndpointName) {
	key := d.inboxKey(name)
	shard := d.gate.Inboxes.Shard(key)
	if d.has(shard, o.Source) {
		return
	}
	if d.account == nil {
		d.bury(o, shard, ReasonAccount, errAccount)
		return
	}
	e := d.account.Endpoint(name)
	if e == nil {
		d.bury(o, shard, ReasonNoEndpoint, "account "+quote(string(d.batch.Account))+" has no endpoint "+quote(string(name))+"; create it, or mend the address, and replay")
		return
	}
	if err := d.egress(e, o.Message); err != nil {
		d.bury(o, shard, ReasonForbidden, err.Error())
		return
	}
	d.store(o, e)
}

func (d *outward) inboxKey(name gatehouse.EndpointName) inbox.Key {
	return inbox.Key{Account: d.batch.Account, Endpoint: name}
}

// store notes a put.
func (d *outward) store(o *handler.Output, to *directory.Endpoint) {
	key := d.inboxKey(to.Name())
	shard := d.gate.Inboxes.Shard(key)
	if d.has(shard, o.Source) || !d.first(key.Endpoint) {
		return
	}
	b := d.bundle(shard)
	b.puts = append(b.puts, inbox.Put{Key: key, Incarnation: to.Incarnation(), Message: d.outgoing(o.Message), Instead: func(refusal error) engine.Record {
		reason := ReasonQuota
		switch {
		case errors.Is(refusal, gatehouse.TooLarge):
			reason = ReasonTooLarge
		case errors.Is(refusal, gatehouse.NotFound):
			reason = ReasonNoEndpoint // it was deleted meanwhile
		}
		return d.deadRecord(o, reason, refusal.Error())
	}})
}

// outgoing returns m as it enters an inbox. Outputs of the same message share
// it.
func (d *outward) outgoing(m *gatehouse.Message) *gatehouse.Message {
	if d.last == m {
		return d.sent
	}
	c := *m
	c.Position, c.Channel = gatehouse.Position{}, d.batch.Channel
	d.last, d.sent = m, &c
	return &c
}

// forward appends to another channel. Handlers stand inside, where no route
// authorization is needed; a loop of them ends by the count of hops.
func (d *outward) forward(o *handler.Output, to gatehouse.ChannelName) {
	m := *o.Message
	key := m.Key
	if key == "" {
		key = senderKey(&m)
	}
	shard := d.gate.Channels.Shard(d.batch.Account, key)
	if d.has(shard, o.Source) {
		return
	}
	m.Hops++
	switch {
	case d.account == nil:
		d.bury(o, shard, ReasonAccount, errAccount)
	case m.Hops > gatehouse.MaxHops:
		d.bury(o, shard, ReasonHops, "the message passed too many channels: two handlers send to each other's channel")
	case d.account.Channel(to) == nil:
		d.bury(o, shard, ReasonNoChannel, "account "+quote(string(d.batch.Account))+" has no channel "+quote(string(to)))
	default:
		b := d.bundle(shard)
		b.beside = append(b.beside, channel.Records(d.batch.Account, &m, to)...)
	}
}

const errAccount = "the account is disabled or was deleted"

// bury makes an output a dead letter of the handler.
func (d *outward) bury(o *handler.Output, shard engine.Shard, reason, text string) {
	if d.has(shard, o.Source) {
		return
	}
	b := d.bundle(shard)
	b.beside = append(b.beside, d.deadRecord(o, reason, text))
}

// deadRecord is also called by committers.
func (d *outward) deadRecord(o *handler.Output, reason, text string) engine.Record {
	d.refused.Add(1)
	from := gatehouse.ChannelPrefix + string(d.batch.Channel)
	if o.Address != "" {
		text = "to " + o.Address + ": " + text
	}
	return channel.DeadRecord(d.id, d.batch.Handler, o.Message, gatehouse.DeadLetter{
		Reason: reason, Description: text, From: from, To: o.Address, Labels: o.Labels, Time: d.now,
	})
}

// commit hands each shard its part and waits for all of them.
func (d *outward) commit(ctx context.Context) error {
	var wait sync.WaitGroup
	errs := make([]error, len(d.shards))
	puts := 0
	mark := engine.Row{Key: d.mark, Value: markValue(d.batch.Through)}
	for i := range d.shards {
		b := &d.shards[i]
		if len(b.puts)+len(b.beside) == 0 {
			continue
		}
		puts += len(b.puts)
		wait.Add(1)
		err := d.gate.Inboxes.Deliver(ctx, engine.Shard(i), b.puts, mark, func(err error) {
			errs[i] = err
			wait.Done()
		}, b.beside...)
		if err != nil {
			errs[i] = err
			wait.Done()
		}
	}
	wait.Wait()
	d.gate.marks.note(d.mark, d.shards, d.batch.Through, errs)
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	if f := d.gate.Events.Routed; f != nil {
		f(puts, int(d.refused.Load()))
	}
	return nil
}
