package mqttadapter

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/engine"
	"github.com/gatehouse/gatehouse/gate"
)

// Sessions that last are on disk, too, as rows of the engine's shards:
//
//	mqtt/ACCOUNT/ENDPOINT#INCARNATION/CLIENT NUL          a session
//	mqtt/ACCOUNT/ENDPOINT#INCARNATION/CLIENT NUL NUMBER   a message at QoS 2 that was not released, by its packet id
//
// A session's row is in the shard of its endpoint, that of a message in the shard
// of the message, in whose commit it was written. Both name the life of the
// session: a row of a message that is left of a former one means nothing.
const rowSpace = "mqtt/"

// A life tells a session from others of its client, and whether it is on disk:
// zero if not.
type life uint32

// A hold is a message at QoS 2 that the client has not released.
type hold struct {
	stored    bool
	releasing bool // PUBREL came, PUBCOMP is due
	life      life // of its row; zero: it has none
	shard     engine.Shard
}

// row returns the key of a session's row, with which those of its messages begin.
func (k *clientKey) row() string {
	b := make([]byte, 0, len(rowSpace)+len(k.account)+len(k.endpoint)+len(k.client)+12)
	b = append(append(append(b, rowSpace...), k.account...), '/')
	b = append(append(b, k.endpoint...), '#')
	b = hex.AppendEncode(b, binary.BigEndian.AppendUint32(nil, k.incarnation))
	return string(append(append(append(b, '/'), k.client...), 0))
}

// parseRow reads the key of a row; id is zero in that of a session.
func parseRow(key string) (k clientKey, id uint16, ok bool) {
	key = key[len(rowSpace):]
	account, rest, _ := strings.Cut(key, "/")
	endpoint, rest, _ := strings.Cut(rest, "#")
	incarnation, rest, _ := strings.Cut(rest, "/")
	client, number, ok := strings.Cut(rest, "\x00")
	n, err := hex.DecodeString(incarnation)
	if !ok || err != nil || len(n) != 4 || len(number) != 0 && len(number) != 2 {
		return clientKey{}, 0, false
	}
	if number != "" {
		id = binary.BigEndian.Uint16([]byte(number))
	}
	return clientKey{party{account, endpoint, binary.BigEndian.Uint32(n)}, client}, id, true
}

// rowOf returns the key of the row of a message.
func (s *session) rowOf(id uint16) string {
	return s.key.row() + string(binary.BigEndian.AppendUint16(nil, id))
}

// holdRow returns the row that is stored in the commit of a message at QoS 2.
func (s *session) holdRow(id uint16) engine.Row {
	return engine.Row{Key: s.rowOf(id), Value: binary.BigEndian.AppendUint32(nil, uint32(s.life))}
}

const rowVersion = 1

// value returns what the row of a session holds. left is when its client has
// gone; zero: it is there.
func (s *session) value(keep time.Duration, left time.Time) []byte {
	b := binary.BigEndian.AppendUint32([]byte{rowVersion}, uint32(s.life))
	b = binary.AppendUvarint(b, uint64(keep/time.Second))
	since := uint64(0)
	if !left.IsZero() {
		since = uint64(left.Unix())
	}
	b = binary.AppendUvarint(b, since)
	for _, sub := range s.subscriptions {
		b = binary.AppendUvarint(append(b, sub.qos), uint64(sub.id))
		b = append(binary.AppendUvarint(b, uint64(len(sub.filter))), sub.filter...)
	}
	return b
}

var errRow = errors.New("the row is damaged, or was written by a newer version")

// readValue reads what value returns. A client that is there by the row was
// there until now.
func (s *session) readValue(b []byte, self gatehouse.EndpointName, now time.Time) error {
	if len(b) < 5 || b[0] != rowVersion {
		return errRow
	}
	s.life = life(binary.BigEndian.Uint32(b[1:]))
	r := rowReader{rest: b[5:]}
	keep, left := time.Duration(r.number())*time.Second, now
	if since := r.number(); since != 0 {
		left = time.Unix(int64(since), 0)
	}
	s.expires = left.Add(keep)
	for len(r.rest) > 0 && !r.bad {
		sub := subscription{qos: r.rest[0]}
		r.rest = r.rest[1:]
		sub.id = uint32(r.number())
		sub.filter = string(r.bytes(r.number()))
		form, err := parseFilter(sub.filter, self)
		if err != nil {
			return err
		}
		sub.form = form
		s.subscriptions = append(s.subscriptions, sub)
	}
	if r.bad {
		return errRow
	}
	return nil
}

// A rowReader reads numbers and texts.
type rowReader struct {
	rest []byte
	bad  bool
}

func (r *rowReader) number() uint64 {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 {
		r.bad, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

func (r *rowReader) bytes(n uint64) []byte {
	if n > uint64(len(r.rest)) {
		r.bad, r.rest = true, nil
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

// toKeep returns what puts a session on disk as it is, or what removes it if it
// is not to last. left is when its client has gone; zero: it is there.
func (all *Sessions) toKeep(s *session, keep time.Duration, left time.Time) rows {
	if keep <= 0 || s.exact {
		return all.erased(s)
	}
	if s.life == 0 {
		s.life = life(rand.Uint32() | 1)
	}
	return rows{all.shardOf(&s.key): {{Key: s.key.row(), Value: s.value(keep, left)}}}
}

// erased returns what removes a session from the disk, if it is there, and notes
// that it is not any more.
func (all *Sessions) erased(s *session) rows {
	if s.life == 0 {
		return nil
	}
	r := rows{all.shardOf(&s.key): {{Key: s.key.row()}}}
	for id, h := range s.held {
		if h.life == s.life {
			r[h.shard] = append(r[h.shard], engine.Row{Key: s.rowOf(id)})
		}
	}
	s.life = 0
	return r
}

// rows are to be written, or without a value removed.
type rows map[engine.Shard][]engine.Row

// write stores rows; it returns when they are durable.
func (all *Sessions) write(r rows) error {
	for shard, list := range r {
		if err := all.gate.Commit.Do(context.Background(), shard, &engine.Op{State: list}); err != nil {
			return err
		}
	}
	return nil
}

// release removes the row of a message. done is called when that is durable, or
// cannot be done, and must not block.
func (all *Sessions) release(shard engine.Shard, row string, done func(error)) {
	op := &engine.Op{State: []engine.Row{{Key: row}}, Done: func(_ *engine.Op, err error) { done(err) }}
	if err := all.gate.Commit.Write(context.Background(), shard, op); err != nil {
		go done(err)
	}
}

// shardOf returns the shard of a session's row: that of the messages of its
// endpoint which have no key of their own.
func (all *Sessions) shardOf(k *clientKey) engine.Shard {
	return all.gate.Channels.Shard(gatehouse.AccountName(k.account), k.endpoint)
}

// tidy is write for what nobody waits for.
func (all *Sessions) tidy(r rows) {
	if err := all.write(r); err != nil {
		all.gate.Logger.Warn("a session of MQTT could not be stored; after a restart its client finds it as it was before", "error", err)
	}
}

// open reads the sessions that are on disk, once; all.mu is held.
func (all *Sessions) open(g *gate.Gate) error {
	if all.gate != nil {
		return nil
	}
	l := loading{gate: g, now: time.Now(), sessions: make(map[string]*session)}
	for i := range g.Channels.Partitions() {
		if err := l.scan(engine.Shard(i)); err != nil {
			return gatehouse.Wrap(gatehouse.Unavailable, err, "the sessions cannot be read now; try again shortly")
		}
	}
	all.gate = g
	l.attach()
	found := slices.Collect(maps.Values(l.sessions))
	slices.SortFunc(found, func(a, b *session) int { return a.expires.Compare(b.expires) })
	for _, s := range found {
		if all.byClient == nil {
			all.byClient = make(map[clientKey]*session)
		}
		all.byClient[s.key] = s
		if ended := all.keep(s, l.now); ended != nil {
			all.tidy(all.erased(ended))
		}
	}
	all.tidy(l.stale)
	return nil
}

// A loading is what is found on disk.
type loading struct {
	gate     *gate.Gate
	now      time.Time
	sessions map[string]*session // by the keys of their rows
	holds    []heldRow
	stale    rows // of what is over
}

// A heldRow is that of a message at QoS 2.
type heldRow struct {
	key   string
	id    uint16
	life  life
	shard engine.Shard
}

func (l *loading) scan(shard engine.Shard) error {
	return l.gate.Engine.State(shard).Scan(rowSpace, func(key string, value []byte) bool {
		k, id, ok := parseRow(key)
		switch {
		case !ok:
			l.drop(shard, key)
		case id != 0:
			h := heldRow{key: key, id: id, shard: shard}
			if len(value) == 4 {
				h.life = life(binary.BigEndian.Uint32(value))
			}
			l.holds = append(l.holds, h)
		default:
			l.session(shard, key, k, value)
		}
		return true
	})
}

// session takes up a session whose endpoint still exists and whose time is not
// over.
func (l *loading) session(shard engine.Shard, key string, k clientKey, value []byte) {
	s := &session{key: k}
	a := l.gate.Directory.Current().Account(gatehouse.AccountName(k.account))
	if a == nil {
		l.drop(shard, key)
		return
	}
	e := a.Endpoint(gatehouse.EndpointName(k.endpoint))
	if e == nil || e.Incarnation() != k.incarnation {
		l.drop(shard, key)
		return
	}
	if err := s.readValue(value, e.Name(), l.now); err != nil {
		l.gate.Logger.Error("a session of MQTT cannot be read; its client finds it gone", "endpoint", e.Name(), "client", k.client, "error", err)
		l.drop(shard, key)
		return
	}
	if !s.expires.After(l.now) {
		l.drop(shard, key)
		return
	}
	l.sessions[key] = s
}

// attach gives the sessions their messages at QoS 2.
func (l *loading) attach() {
	for _, h := range l.holds {
		s := l.sessions[h.key[:len(h.key)-2]]
		if s == nil || h.life == 0 || s.life != h.life {
			l.drop(h.shard, h.key)
			continue
		}
		if s.held == nil {
			s.held = make(map[uint16]hold)
		}
		s.held[h.id] = hold{stored: true, life: h.life, shard: h.shard}
	}
}

func (l *loading) drop(shard engine.Shard, key string) {
	if l.stale == nil {
		l.stale = make(rows)
	}
	l.stale[shard] = append(l.stale[shard], engine.Row{Key: key})
}
