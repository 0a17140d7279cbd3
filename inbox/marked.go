package inbox

import (
	"hash/maphash"
	"strings"

	"github.com/gatehouse/gatehouse/engine"
)

// marked tells which boxes of a shard may have marks, so that for the others,
// which are nearly all, none are looked for on disk when they are opened. It may
// be wrong about a box that has none, never about one that has. One that had
// marks counts until the shard has another owner.
//
// The bits are of hashes of names: 32 KiB, with which one box in twenty-five is
// looked up in vain while ten thousand others have marks. mu of the shard guards
// them.
type marked struct {
	seed  maphash.Seed
	known bool // those that had marks before are among them
	bits  []uint64
}

const markedBits = 1 << 18

func newMarked() marked {
	return marked{seed: maphash.MakeSeed(), bits: make([]uint64, markedBits/64)}
}

// may reports whether a box may have marks.
func (m *marked) may(q qkey) bool {
	word, bit := m.place(q)
	return !m.known || m.bits[word]&bit != 0
}

// note notes the box of a row that is about to be written, or was read.
func (m *marked) note(row string) {
	if q, ok := parseRow(row); ok {
		word, bit := m.place(q)
		m.bits[word] |= bit
	}
}

func (m *marked) place(q qkey) (word int, bit uint64) {
	h := maphash.Comparable(m.seed, q) % markedBits
	return int(h / 64), 1 << (h % 64)
}

// parseRow returns the box of a row, if it is one about a message.
func parseRow(key string) (q qkey, ok bool) {
	rest, ok := strings.CutPrefix(key, rowsPrefix)
	if !ok {
		return q, false
	}
	q.account, rest, _ = strings.Cut(rest, "/")
	q.endpoint, rest, _ = strings.Cut(rest, "/")
	kind, _, ok := strings.Cut(rest, "/")
	q.dead = kind == deadMarks
	return q, ok && (q.dead || kind == ownMarks)
}

// findMarked looks for all boxes that have marks.
func (sh *shard) findMarked() {
	found := marked{seed: sh.marked.seed, bits: make([]uint64, markedBits/64)}
	err := sh.state.Scan(rowsPrefix, func(row string, _ []byte) bool {
		found.note(row)
		return sh.ctx.Err() == nil
	})
	if err != nil || sh.ctx.Err() != nil {
		return // whoever opens a box that is concerned will tell
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for i, word := range found.bits {
		sh.marked.bits[i] |= word
	}
	sh.marked.known = true
}

// noteRows notes what is about to be written. sh.mu is held.
func (sh *shard) noteRows(rows []engine.Row) {
	for i := range rows {
		if rows[i].Value != nil {
			sh.marked.note(rows[i].Key)
		}
	}
}
