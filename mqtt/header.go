package mqtt

// A Type is that of a control packet (section 2.1.2).
type Type byte

// The types of control packets.
const (
	TypeConnect     Type = 1
	TypeConnAck     Type = 2
	TypePublish     Type = 3
	TypePubAck      Type = 4
	TypePubRec      Type = 5
	TypePubRel      Type = 6
	TypePubComp     Type = 7
	TypeSubscribe   Type = 8
	TypeSubAck      Type = 9
	TypeUnsubscribe Type = 10
	TypeUnsubAck    Type = 11
	TypePingReq     Type = 12
	TypePingResp    Type = 13
	TypeDisconnect  Type = 14
	TypeAuth        Type = 15 // of MQTT 5 only
)

// String returns the name of the type as the standard writes it.
func (t Type) String() string {
	names := [...]string{
		"packet type 0", "CONNECT", "CONNACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP", "SUBSCRIBE",
		"SUBACK", "UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "AUTH",
	}
	return names[t&15]
}

// MaxLength is the greatest remaining length (section 2.1.4).
const MaxLength = 268_435_455

// A Header is the fixed header of a packet (section 2.1.1).
type Header struct {
	Type   Type
	Flags  byte // four bits
	Length int  // of the packet behind the header
}

// ParseHeader reads a fixed header of n bytes from the start of b. n is 0, with
// no error, if b does not have all of it yet. Flags and type are checked, apart
// from those of PUBLISH, which Publish.Decode checks.
func ParseHeader(b []byte) (h Header, n int, err error) {
	if len(b) == 0 {
		return h, 0, nil
	}
	h.Type, h.Flags = Type(b[0]>>4), b[0]&15
	if err := h.check(); err != nil {
		return h, 0, err
	}
	for shift := range 4 {
		if 1+shift == len(b) {
			return h, 0, nil
		}
		c := b[1+shift]
		h.Length |= int(c&0x7f) << (7 * shift)
		if c < 0x80 {
			if c == 0 && shift > 0 {
				return h, 0, malformed("the remaining length is not in its shortest form") // 1.5.5-1
			}
			return h, 2 + shift, nil
		}
	}
	return h, 0, malformed("the remaining length has more than four bytes")
}

// check checks type and flags (sections 2.1.2 and 2.1.3).
func (h *Header) check() error {
	want := byte(0)
	switch h.Type {
	case 0:
		return malformed("packet type 0 is forbidden")
	case TypePublish:
		return nil
	case TypePubRel, TypeSubscribe, TypeUnsubscribe:
		want = 2
	}
	if h.Flags != want {
		return malformed("the flags of %s are %#04b; they must be %#04b", h.Type, h.Flags, want)
	}
	return nil
}

// appendHeader begins a packet whose length is known.
func appendHeader(dst []byte, t Type, flags byte, length int) []byte {
	return appendVarint(append(dst, byte(t)<<4|flags), length)
}

// start begins a packet whose length is not known: finish fills it in.
func start(dst []byte, t Type, flags byte) ([]byte, int) {
	return append(dst, byte(t)<<4|flags, 0), len(dst)
}

// finish fills in the length of the packet that began at at.
func finish(dst []byte, at int) []byte { return fillIn(dst, at+1) }

// fillIn writes the length of what is behind the byte at at in place of that
// byte, moving it if the length takes more than one.
func fillIn(dst []byte, at int) []byte {
	length := len(dst) - at - 1
	if length < 0x80 {
		dst[at] = byte(length)
		return dst
	}
	var b [4]byte
	v := appendVarint(b[:0], length)
	dst = append(dst, v[1:]...) // room for the rest of the length
	copy(dst[at+len(v):], dst[at+1:at+1+length])
	copy(dst[at:], v)
	return dst
}

// appendVarint appends a variable byte integer (section 1.5.5).
func appendVarint(dst []byte, n int) []byte {
	for n >= 0x80 {
		dst = append(dst, byte(n)|0x80)
		n >>= 7
	}
	return append(dst, byte(n))
}
