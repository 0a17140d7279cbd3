package inbox

import (
	"strconv"
	"strings"

	"github.com/gatehouse/gatehouse"
)

// A Key names an inbox or, with Dead, its dead-letter queue. Names are compared
// without case.
type Key struct {
	Account  gatehouse.AccountName
	Endpoint gatehouse.EndpointName
	Dead     bool
}

// String returns the folded name, account/endpoint or account/endpoint/$dead.
func (k Key) String() string { return k.fold().queue() }

// A qkey is a Key with folded names.
type qkey struct {
	account, endpoint string
	dead              bool
}

const deadSuffix = "/$dead"

func (k Key) fold() qkey {
	return qkey{gatehouse.Fold(k.Account), gatehouse.Fold(k.Endpoint), k.Dead}
}

func (q qkey) key() Key {
	return Key{gatehouse.AccountName(q.account), gatehouse.EndpointName(q.endpoint), q.dead}
}

// queue returns the name of the engine's queue. Names cannot contain a slash,
// so that no two inboxes share one.
func (q qkey) queue() string {
	if q.dead {
		return q.account + "/" + q.endpoint + deadSuffix
	}
	return q.account + "/" + q.endpoint
}

func (q qkey) deadLetters() qkey { q.dead = true; return q }

func parseQueue(name string) (qkey, bool) {
	name, dead := strings.CutSuffix(name, deadSuffix)
	account, endpoint, ok := strings.Cut(name, "/")
	return qkey{account, endpoint, dead}, ok && account != "" && endpoint != "" && !strings.Contains(endpoint, "/")
}

// Rows of State, all under rows(q): for each message that was returned or
// deferred a mark and perhaps changed attributes, and for each group a state.

// statePrefix is the prefix of all rows of an inbox and its dead letters.
func (q qkey) statePrefix() string { return statePrefix(q.account) + q.endpoint + "/" }

// statePrefix is the prefix of the rows of all inboxes of an account.
func statePrefix(account string) string { return rowsPrefix + account + "/" }

// The parts of rows' keys.
const (
	rowsPrefix = "inbox/"
	ownMarks   = "m"
	deadMarks  = "d"
)

// marksPrefix is the prefix of the rows of messages.
func (q qkey) marksPrefix() string {
	if q.dead {
		return q.statePrefix() + deadMarks + "/"
	}
	return q.statePrefix() + ownMarks + "/"
}

// groupsPrefix is the prefix of the rows of groups.
func (q qkey) groupsPrefix() string {
	if q.dead {
		return q.statePrefix() + "t/"
	}
	return q.statePrefix() + "s/"
}

const offsetDigits = 16

func (q qkey) markRow(o gatehouse.Offset) string {
	var digits [offsetDigits]byte
	const hex = "0123456789abcdef"
	for i, n := offsetDigits-1, uint64(o); i >= 0; i, n = i-1, n>>4 {
		digits[i] = hex[n&15]
	}
	return q.marksPrefix() + string(digits[:])
}

// attributesRow sorts right behind markRow.
func (q qkey) attributesRow(o gatehouse.Offset) string { return q.markRow(o) + "a" }

// parseMark takes apart what follows marksPrefix in the key of a row.
func parseMark(rest string) (o gatehouse.Offset, attributes, ok bool) {
	rest, attributes = strings.CutSuffix(rest, "a")
	if len(rest) == offsetDigits-1 { // the last digit is an a
		rest, attributes = rest+"a", false
	}
	n, err := strconv.ParseUint(rest, 16, 64)
	return gatehouse.Offset(n), attributes, err == nil && len(rest) == offsetDigits
}

// A mark is what is durably known about a message beyond its record.
type mark struct {
	count      uint32 // deliveries that failed
	deferred   bool
	attributes bool // there is a row of changed attributes
}

const markVersion = 1

func (m mark) value() []byte {
	flags := byte(0)
	if m.deferred {
		flags = 1
	}
	return []byte{markVersion, flags, byte(m.count >> 24), byte(m.count >> 16), byte(m.count >> 8), byte(m.count)}
}

func parseMarkValue(v []byte) (mark, bool) {
	if len(v) != 6 || v[0] != markVersion {
		return mark{}, false
	}
	return mark{
		count:    uint32(v[2])<<24 | uint32(v[3])<<16 | uint32(v[4])<<8 | uint32(v[5]),
		deferred: v[1]&1 != 0,
	}, true
}
