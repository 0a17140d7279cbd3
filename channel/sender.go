package channel

import (
	"encoding/binary"
	"encoding/hex"

	"github.com/gatehouse/gatehouse"
)

// A Sender is who sends messages, or has scheduled some: for duplicate
// detection, and for who may see and cancel what is scheduled.
type Sender struct {
	Source string // of the messages
	// Incarnation is the endpoint's: what others have sent and scheduled that had
	// its name before is not its own. Zero for trusted code.
	Incarnation uint32
}

// appendTo appends what the sender's keys have of it. Sources do not contain #.
func (s Sender) appendTo(dst []byte) []byte {
	dst = append(dst, gatehouse.Fold(s.Source)...)
	if s.Incarnation == 0 {
		return dst
	}
	return hex.AppendEncode(append(dst, '#'), binary.BigEndian.AppendUint32(nil, s.Incarnation))
}

func (a *Append) sender() Sender { return Sender{a.Message.Source, a.Incarnation} }
