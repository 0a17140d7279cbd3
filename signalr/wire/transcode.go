package wire

import (
	"encoding/base64"
	"fmt"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/tinylib/msgp/msgp"
)

// header reads the header of an array or map and returns how many values follow
// it, keys included.
func header(b []byte) (values uint64, rest []byte, err error) {
	var n uint32
	if packKind(b) == Map {
		n, rest, err = msgp.ReadMapHeaderBytes(b)
		values = 2 * uint64(n)
	} else {
		n, rest, err = msgp.ReadArrayHeaderBytes(b)
		values = uint64(n)
	}
	if err != nil || values > uint64(len(rest)) {
		return 0, nil, errShort
	}
	return values, rest, nil
}

// skipPack returns what is behind the first value of b.
func skipPack(b []byte, depth int) (rest []byte, err error) {
	if len(b) == 0 {
		return nil, errShort
	}
	if kind := packKind(b); kind != Map && kind != Array {
		if rest, err = msgp.Skip(b); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrValue, err)
		}
		return rest, nil
	}
	if depth >= MaxDepth {
		return nil, errDeep
	}
	n, rest, err := header(b)
	for ; n > 0 && err == nil; n-- {
		rest, err = skipPack(rest, depth+1)
	}
	return rest, err
}

// readString reads a string that is UTF-8.
func readString(b []byte) (s, rest []byte, err error) {
	if packKind(b) != String {
		return nil, nil, fmt.Errorf("%w: not a string", ErrValue)
	}
	if s, rest, err = msgp.ReadStringZC(b); err != nil {
		return nil, nil, errShort
	}
	if !utf8.Valid(s) {
		return nil, nil, errUTF8
	}
	return s, rest, nil
}

// alone returns err, or an error if bytes follow a value.
func alone(rest []byte, err error) error {
	if err == nil && len(rest) > 0 {
		return fmt.Errorf("%w: bytes follow it", ErrValue)
	}
	return err
}

// eachMember calls f for each member of the map that b begins with.
func eachMember(b []byte, f func(key string, value Value) error) error {
	n, rest, err := header(b)
	for ; n > 0 && err == nil; n -= 2 {
		var key, behind []byte
		if key, rest, err = readString(rest); err != nil {
			return err
		}
		if behind, err = skipPack(rest, 1); err != nil {
			return err
		}
		err = f(string(key), MessagePack(rest[:len(rest)-len(behind)]))
		rest = behind
	}
	return alone(rest, err)
}

// eachElement calls f for each element of the array that b begins with.
func eachElement(b []byte, f func(Value) error) error {
	n, rest, err := header(b)
	for ; n > 0 && err == nil; n-- {
		var behind []byte
		if behind, err = skipPack(rest, 1); err != nil {
			return err
		}
		err = f(MessagePack(rest[:len(rest)-len(behind)]))
		rest = behind
	}
	return alone(rest, err)
}

// unpack appends the first value of b as JSON.
func unpack(to, b []byte, depth int) (out, rest []byte, err error) {
	if len(b) == 0 {
		return to, nil, errShort
	}
	switch packKind(b) {
	case Array, Map:
		if depth >= MaxDepth {
			return to, nil, errDeep
		}
		return unpackAll(to, b, depth)
	case String:
		s, rest, err := readString(b)
		if err != nil {
			return to, nil, err
		}
		return appendQuoted(to, string(s)), rest, nil
	case Bytes:
		raw, rest, err := msgp.ReadBytesZC(b)
		if err != nil {
			return to, nil, errShort
		}
		to = base64.StdEncoding.AppendEncode(append(to, '"'), raw)
		return append(to, '"'), rest, nil
	case Number:
		return unpackNumber(to, b)
	case Time:
		return unpackTime(to, b)
	case Null:
		return append(to, "null"...), b[1:], nil
	case Bool:
		yes, rest, err := msgp.ReadBoolBytes(b)
		return strconv.AppendBool(to, yes), rest, err
	}
	return to, nil, fmt.Errorf("%w: MessagePack type %#x has no counterpart in JSON", ErrValue, b[0])
}

// unpackAll appends an array or map as JSON.
func unpackAll(to, b []byte, depth int) (out, rest []byte, err error) {
	isMap := packKind(b) == Map
	opening, closing := byte('['), byte(']')
	if isMap {
		opening, closing = '{', '}'
	}
	n, rest, err := header(b)
	if err != nil {
		return to, nil, err
	}
	to = append(to, opening)
	for i := range n {
		switch {
		case i == 0:
		case isMap && i%2 == 1:
			to = append(to, ':')
		default:
			to = append(to, ',')
		}
		if isMap && i%2 == 0 && packKind(rest) != String {
			return to, nil, fmt.Errorf("%w: the key of a map is not a string", ErrValue)
		}
		if to, rest, err = unpack(to, rest, depth+1); err != nil {
			return to, nil, err
		}
	}
	return append(to, closing), rest, nil
}

// unpackNumber appends a number as JSON.
func unpackNumber(to, b []byte) (out, rest []byte, err error) {
	switch msgp.NextType(b) {
	case msgp.Float32Type:
		f, rest, err := msgp.ReadFloat32Bytes(b)
		if err != nil {
			return to, nil, errShort
		}
		return appendFloat(to, float64(f), 32, rest)
	case msgp.Float64Type:
		f, rest, err := msgp.ReadFloat64Bytes(b)
		if err != nil {
			return to, nil, errShort
		}
		return appendFloat(to, f, 64, rest)
	}
	if n, rest, err := msgp.ReadInt64Bytes(b); err == nil {
		return strconv.AppendInt(to, n, 10), rest, nil
	}
	n, rest, err := msgp.ReadUint64Bytes(b)
	if err != nil {
		return to, nil, errShort
	}
	return strconv.AppendUint(to, n, 10), rest, nil
}

// appendFloat appends a number with a fraction or exponent, so that it is a
// float again on the way back.
func appendFloat(to []byte, f float64, bits int, behind []byte) (out, rest []byte, err error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return to, nil, fmt.Errorf("%w: %v has no counterpart in JSON", ErrValue, f)
	}
	format := byte('f')
	if size := math.Abs(f); size != 0 && (size < 1e-6 || size >= 1e21) {
		format = 'e'
	}
	start := len(to)
	to = strconv.AppendFloat(to, f, format, -1, bits)
	for _, c := range to[start:] {
		if c == '.' || c == 'e' {
			return to, behind, nil
		}
	}
	return append(to, ".0"...), behind, nil
}

// unpackTime appends a timestamp as a string.
func unpackTime(to, b []byte) (out, rest []byte, err error) {
	t, rest, err := msgp.ReadTimeUTCBytes(b)
	if err != nil {
		return to, nil, fmt.Errorf("%w: %w", ErrValue, err)
	}
	if y := t.Year(); y < 0 || y > 9999 {
		return to, nil, fmt.Errorf("%w: a timestamp has no counterpart in RFC 3339", ErrValue)
	}
	to = t.AppendFormat(append(to, '"'), time.RFC3339Nano)
	return append(to, '"'), rest, nil
}

// pack appends JSON text as MessagePack.
func pack(to, text []byte) ([]byte, error) {
	text, err := wholeJSON(text)
	if err != nil {
		return to, err
	}
	return packValue(to, text)
}

// packValue appends a value whose grammar and encoding have been checked.
func packValue(to, text []byte) ([]byte, error) {
	switch text[0] {
	case 'n':
		return msgp.AppendNil(to), nil
	case 't', 'f':
		return msgp.AppendBool(to, text[0] == 't'), nil
	case '"':
		s, err := unquote(text)
		return msgp.AppendString(to, s), err
	case '[', '{':
		return packAll(to, text)
	}
	n, err := parseNumber(text)
	switch n.kind {
	case 'i':
		return msgp.AppendInt64(to, n.signed), err
	case 'u':
		return msgp.AppendUint64(to, n.plain), err
	}
	return msgp.AppendFloat64(to, n.float), err
}

// packAll appends an array or object. Its header is written before it is known
// how long it will be, and moved apart where that does not suffice.
func packAll(to, text []byte) ([]byte, error) {
	at := len(to)
	to = append(to, 0)
	count := 0
	_, err := eachJSON(text, 0, 0, func(key, value []byte) (err error) {
		count++
		if key != nil {
			if to, err = packValue(to, key); err != nil {
				return err
			}
		}
		to, err = packValue(to, value)
		return err
	})
	if err != nil {
		return to, err
	}
	var room [5]byte
	head := msgp.AppendArrayHeader(room[:0], uint32(count)) //nolint:gosec // each takes a byte at least
	if text[0] == '{' {
		head = msgp.AppendMapHeader(room[:0], uint32(count)) //nolint:gosec // likewise
	}
	if extra := len(head) - 1; extra > 0 {
		to = append(to, room[:extra]...)
		copy(to[at+len(head):], to[at+1:len(to)-extra])
	}
	copy(to[at:], head)
	return to, nil
}
