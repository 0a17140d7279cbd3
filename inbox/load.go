package inbox

import (
	"context"
	"errors"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/record"
)

// Reading from disk. Boxes that need it stand in line; up to maxLoaders
// goroutines per shard read one page each and end when the line is empty, so
// that a deep inbox does not hold up others. Receivers that wait for what is
// read are among them: they read it themselves.
const (
	maxLoaders = 8
	maxPage    = 256 // messages per page
	minPage    = 8
	maxFetch   = 64 // returned messages read at once
)

// load puts f in the line.
func (sh *shard) load(f *feed) {
	f.loading = true
	f.box.retain()
	sh.queued = append(sh.queued, f)
	sh.startLoader()
}

// startLoader has what stands in line read, if one more may do so.
func (sh *shard) startLoader() {
	if sh.loaders < maxLoaders && sh.running {
		sh.loaders++
		sh.loads.Go(sh.runLoader)
	}
}

func (sh *shard) runLoader() {
	p := sh.set.pages.Get().(*page)
	defer sh.set.pages.Put(p)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for len(sh.queued) > 0 {
		f := sh.queued[0]
		sh.queued[0] = nil
		sh.queued = sh.queued[1:]
		p.load(sh, f)
	}
	sh.queued = nil
	sh.loaders--
}

// loadHere is load for a caller that waits for what is read: it reads a page
// itself. It reports false if as many as may do so already.
func (sh *shard) loadHere(f *feed) bool {
	if sh.loaders >= maxLoaders || !sh.running {
		return false
	}
	p := sh.set.pages.Get().(*page)
	sh.loaders++
	sh.loads.Add(1)
	f.loading = true
	f.box.retain()
	p.load(sh, f)
	sh.set.pages.Put(p)
	sh.loads.Done()
	sh.loaders--
	if len(sh.queued) > 0 {
		sh.startLoader()
	}
	return true
}

// A page is what is read at once.
type page struct {
	feed      *feed
	wanted    []gatehouse.Offset // read these; empty: what is behind the cursor
	limit     int
	envelopes []engine.Envelope
	messages  []*gatehouse.Message // of envelopes; nil: damaged
	missing   []gatehouse.Offset   // of wanted
	corrupt   *engine.CorruptError // ended the page
	err       error
}

// load reads a page for f and serves those who wait for it. sh.mu is held, and
// let go while reading.
func (p *page) load(sh *shard, f *feed) {
	if !f.box.closed {
		p.read(sh, f)
	}
	f.loading = false
	if !f.box.closed {
		f.serve(time.Now().UnixNano())
	}
	sh.drop(f.box)
}

// read reads a page for f and puts it into its window. sh.mu is held, and let
// go while reading.
func (p *page) read(sh *shard, f *feed) {
	b := f.box
	*p = page{feed: f, wanted: p.wanted[:0], envelopes: p.envelopes[:0], messages: p.messages[:0], missing: p.missing[:0]}
	p.plan()
	gen, cursor := f.gen, f.cursor
	f.more = false
	b.reading++
	sh.mu.Unlock()
	if len(p.wanted) > 0 {
		p.fetch(sh)
	} else {
		p.envelopes, p.err = sh.queues.Scan(sh.ctx, b.queue, cursor, p.limit, true, p.envelopes)
	}
	p.decode(sh)
	sh.mu.Lock()
	sh.addAttributes(b, p.envelopes, p.messages)
	switch {
	case p.err != nil:
		f.full = false // nothing is tried again until somebody waits
		if !b.closed {
			if sh.ctx.Err() != nil {
				p.err = errNotRunning
			}
			f.fail(unavailable(p.err))
		}
	case len(p.wanted) > 0:
		p.complete()
	case gen == f.gen:
		p.extend()
	}
	b.read()
	clear(p.envelopes)
	clear(p.messages)
	p.feed, p.corrupt, p.err = nil, nil, nil
}

// unavailable makes an engine's error one for a receiver.
func unavailable(err error) error {
	if gatehouse.KindOf(err) != gatehouse.Internal || errors.Is(err, gatehouse.Internal) ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return gatehouse.Wrap(gatehouse.Unavailable, err, "the inbox cannot be read now; try again shortly")
}

// plan decides what to read.
func (p *page) plan() {
	f := p.feed
	w := f.window()
	if len(w) > 0 && w[0].msg == nil {
		for i := 0; i < len(w) && i < 2*maxFetch && len(p.wanted) < maxFetch; i++ {
			if w[i].msg == nil && !w[i].stub {
				p.wanted = append(p.wanted, w[i].off)
			}
		}
		if len(p.wanted) > 0 {
			return
		}
	}
	demand := 0
	for w := f.first; w != nil && demand < maxPage; w = w.next {
		demand += w.max
	}
	p.limit = max(minPage, demand)
	if f.box.shard.cached < maxCached {
		p.limit = max(p.limit, f.ahead)
	}
	if f.session != nil {
		p.limit = maxPage
	}
	p.limit = min(p.limit, maxPage)
	f.ahead = min(2*max(f.ahead, minPage), maxPage)
}

// fetch reads the wanted records.
func (p *page) fetch(sh *shard) {
	size := 0
	for i, o := range p.wanted {
		e, err := sh.queues.Get(sh.ctx, p.feed.box.queue, o)
		switch c, corrupt := errors.AsType[*engine.CorruptError](err); {
		case err == nil:
			p.envelopes = append(p.envelopes, e)
			size += e.Size
		case corrupt:
			sh.damaged(c)
			p.missing = append(p.missing, o)
		case errors.Is(err, gatehouse.NotFound):
			p.missing = append(p.missing, o)
		default:
			p.err = err
			return
		}
		if size > maxReadyBytes {
			p.wanted = p.wanted[:i+1]
			return
		}
	}
}

// decode decodes what was read.
func (p *page) decode(sh *shard) {
	if c, ok := errors.AsType[*engine.CorruptError](p.err); ok {
		sh.damaged(c)
		p.corrupt, p.err = c, nil
	}
	for i := range p.envelopes {
		p.messages = append(p.messages, sh.decode(p.feed.box.queue, &p.envelopes[i]))
	}
}

// decode returns the message of an envelope, or nil if it is damaged.
func (sh *shard) decode(queue string, e *engine.Envelope) *gatehouse.Message {
	m, err := record.Decode(e.Data)
	if err != nil {
		sh.damaged(&engine.CorruptError{Shard: sh.id, Stream: queue, Offset: e.Offset, Detail: err.Error()})
		return nil
	}
	return m
}

// addAttributes applies the changed attributes that belong to messages just
// read. sh.mu is held, and let go where there are any.
func (sh *shard) addAttributes(b *box, envelopes []engine.Envelope, messages []*gatehouse.Message) {
	if len(b.marks) == 0 {
		return
	}
	for i := range envelopes {
		o := envelopes[i].Offset
		if messages[i] == nil || !b.marks[o].attributes {
			continue
		}
		sh.mu.Unlock()
		changed, err := sh.attributes(b.key, o)
		if err != nil {
			sh.set.opts.Logger.Error("changed attributes of a message cannot be read; it is delivered without them", "inbox", b.queue, "sequence", o, "error", err)
		}
		messages[i].Attributes = merge(messages[i].Attributes, changed)
		sh.mu.Lock()
	}
}

// attributes reads the changed attributes of a message.
func (sh *shard) attributes(q qkey, o gatehouse.Offset) ([]gatehouse.Attribute, error) {
	value, err := sh.state.Get(q.attributesRow(o))
	if err != nil || value == nil {
		return nil, err
	}
	m, err := record.Decode(value)
	if err != nil {
		return nil, err
	}
	return m.Attributes, nil
}

// merge returns attributes with those changed replaced or added.
func merge(attributes, changed []gatehouse.Attribute) []gatehouse.Attribute {
	if len(changed) == 0 {
		return attributes
	}
	merged := append(make([]gatehouse.Attribute, 0, len(attributes)+len(changed)), attributes...)
next:
	for _, c := range changed {
		for i := range merged {
			if merged[i].Name == c.Name {
				merged[i] = c
				continue next
			}
		}
		merged = append(merged, c)
	}
	return merged
}

// complete puts fetched bodies into the window.
func (p *page) complete() {
	f := p.feed
	for _, o := range p.missing {
		f.remove(o)
	}
	for i := range p.envelopes {
		e := f.at(p.envelopes[i].Offset)
		switch {
		case e == nil || e.msg != nil:
		case p.messages[i] == nil:
			f.remove(e.off)
		default:
			e.msg = p.messages[i]
			f.count(int64(e.size))
			if s := f.box.sessions[e.msg.Group]; s != nil && s != f.session && f.session == nil {
				s.pass(e.off)
			}
		}
	}
}

// extend puts what was found behind the cursor into the window.
func (p *page) extend() {
	f, b := p.feed, p.feed.box
	now := time.Now().UnixNano()
	used := 0
	for i := range p.envelopes {
		v := &p.envelopes[i]
		f.cursor = v.Offset
		m := p.messages[i]
		if m == nil || b.known(v.Offset) {
			continue
		}
		e := entry{off: v.Offset, msg: m, enqueued: v.Enqueued, expires: v.Expires, notBefore: v.NotBefore, size: int32(v.Size)}
		switch s := b.sessionOf(m); {
		case v.Expires != 0 && v.Expires <= now:
			b.shard.overdue = true
			poke(b.shard.broom)
		case f.session != nil && s != f.session:
		case v.NotBefore > now:
			b.hide(e)
		case f.session == nil && s != nil:
			s.pass(v.Offset)
		default:
			f.push(e)
			used++
		}
	}
	if p.corrupt != nil {
		f.cursor = max(f.cursor, p.corrupt.Offset)
		return
	}
	f.full = used > 0 && len(p.envelopes) == p.limit
	f.caughtUp = p.last() && !f.more
}

// last reports whether there was nothing behind the page when it was read.
func (p *page) last() bool {
	size := 0
	for i := range p.envelopes {
		size += p.envelopes[i].Size
	}
	return len(p.envelopes) < p.limit && size <= engine.ScanBytes
}
