package mqtt

import "encoding/binary"

// An input is what is left of a packet. The first error stays; what is read
// after it is zero.
type input struct {
	b   []byte
	err error
}

func (in *input) fail(err error) {
	if in.err == nil {
		in.err = err
	}
	in.b = nil
}

// take takes n bytes.
func (in *input) take(n int, what string) []byte {
	if n > len(in.b) {
		in.fail(malformed("the packet ends within the %s", what))
		return nil
	}
	b := in.b[:n:n]
	in.b = in.b[n:]
	return b
}

func (in *input) byte(what string) byte {
	if b := in.take(1, what); b != nil {
		return b[0]
	}
	return 0
}

func (in *input) uint16(what string) uint16 {
	if b := in.take(2, what); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (in *input) uint32(what string) uint32 {
	if b := in.take(4, what); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

// varint takes a variable byte integer (section 1.5.5).
func (in *input) varint(what string) int {
	n := 0
	for shift := range 4 {
		c := in.byte(what)
		n |= int(c&0x7f) << (7 * shift)
		if c < 0x80 {
			if c == 0 && shift > 0 {
				in.fail(malformed("the %s is not in its shortest form", what)) // 1.5.5-1
			}
			return n
		}
	}
	in.fail(malformed("the %s has more than four bytes", what))
	return 0
}

// binary takes binary data (section 1.5.6). It aliases the packet.
func (in *input) binary(what string) []byte { return in.take(int(in.uint16(what)), what) }

// text takes a string (section 1.5.4). It aliases the packet.
func (in *input) text(what string) []byte {
	b := in.binary(what)
	if !validText(b) {
		in.fail(malformed("the %s is not UTF-8, or has the character U+0000", what)) // 1.5.4-1, 1.5.4-2
		return nil
	}
	return b
}

// packetID takes a packet identifier, which is not 0 (section 2.2.1).
func (in *input) packetID() uint16 {
	id := in.uint16("packet identifier")
	if id == 0 && in.err == nil {
		in.fail(protocolError("the packet identifier is 0")) // 2.2.1-3
	}
	return id
}

// end returns what went wrong, if anything, and else fails for bytes left.
func (in *input) end(t Type) error {
	if in.err == nil && len(in.b) > 0 {
		in.err = malformed("%s has %d bytes too many", t, len(in.b))
	}
	return in.err
}

func appendText[T string | []byte](dst []byte, s T) []byte {
	n := min(len(s), MaxText)
	return append(binary.BigEndian.AppendUint16(dst, uint16(n)), s[:n]...)
}
