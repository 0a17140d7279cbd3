package wire

import (
	"bytes"
	"fmt"
)

// A Handshake is the first record of a client, always JSON.
type Handshake struct {
	Protocol Protocol
	Version  int
}

// NextHandshake is Next for a handshake.
func NextHandshake(b []byte, most int) (record []byte, size int, err error) {
	return JSONProtocol{}.Next(b, most)
}

// DecodeHandshake reads the request of a client.
func DecodeHandshake(record []byte) (h Handshake, err error) {
	var name string
	err = object(record, func(key []byte, value Value) (err error) {
		switch string(key) {
		case "protocol":
			name, err = value.Str()
		case "version":
			var n int64
			n, err = value.Int()
			h.Version = int(n)
		}
		return err
	})
	if err != nil {
		return h, err
	}
	switch name {
	case "json":
		h.Protocol = JSONProtocol{}
	case "messagepack":
		h.Protocol = MessagePackProtocol{}
	default:
		return h, fmt.Errorf("%w: the protocol %.40q is not supported; json and messagepack are", ErrRecord, name)
	}
	if h.Version < 1 || h.Version > 2 {
		return h, fmt.Errorf("%w: version %d of the protocol is not supported; 1 and 2 are", ErrRecord, h.Version)
	}
	return h, nil
}

// AppendHandshake appends the answer to a handshake: accepted, or refused with
// a reason.
func AppendHandshake(to []byte, refusal string) []byte {
	to = append(to, '{')
	if refusal != "" {
		to = append(to, `"error":`...)
		to = appendQuoted(to, string(bytes.ToValidUTF8([]byte(refusal), []byte("?"))))
	}
	return append(to, '}', Separator)
}
