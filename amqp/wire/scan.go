package wire

import (
	"encoding/binary"
	"errors"
	"unicode/utf8"
)

// What a value may be at most, whoever sent it.
const (
	MaxDepth    = 32      // lists, maps, arrays and descriptors inside each other
	MaxElements = 1 << 16 // elements of one list or array; a map entry is two

	// maxEmpty bounds the elements of an array that take no bytes, so that ten
	// bytes on the wire cannot ask for 65536 steps of work.
	maxEmpty = 256
)

// Why bytes are not a value. All mean amqp:decode-error (part 2.8.15).
var (
	ErrShort    = errors.New("amqp: value ends before its declared size")
	ErrType     = errors.New("amqp: unknown type constructor")
	ErrDepth    = errors.New("amqp: value nested deeper than 32 levels")
	ErrElements = errors.New("amqp: more than 65536 elements in one value")
	ErrSize     = errors.New("amqp: declared size and content of a value differ")
	ErrMap      = errors.New("amqp: map with a key but no value")
	ErrBool     = errors.New("amqp: boolean is neither 0 nor 1")
	ErrText     = errors.New("amqp: string is not UTF-8")
)

// Split takes the first value off data. The value is checked to its depths, so
// that looking into it later cannot fail. It aliases data.
func Split(data []byte) (v Value, rest []byte, err error) {
	if len(data) == 0 {
		return Value{}, nil, ErrShort
	}
	n, err := payload(data[0], data[1:], MaxDepth)
	if err != nil {
		return Value{}, nil, err
	}
	return Value{code: data[0], body: data[1 : 1+n : 1+n]}, data[1+n:], nil
}

// payload returns how many bytes at the start of data belong to a value with
// the constructor code, having checked them.
func payload(code byte, data []byte, depth int) (int, error) {
	n, err := extent(code, data)
	if err != nil {
		return 0, err
	}
	switch code {
	case codeDescribed:
		return describedExtent(data, depth)
	case codeBool:
		if data[0] > 1 {
			return 0, ErrBool
		}
	case codeString8:
		if !utf8.Valid(data[1:n]) {
			return 0, ErrText
		}
	case codeString32:
		if !utf8.Valid(data[4:n]) {
			return 0, ErrText
		}
	case codeList8, codeList32, codeMap8, codeMap32:
		return n, checkCompound(code, data[:n], depth)
	case codeArray8, codeArray32:
		return n, checkArray(code, data[:n], depth)
	}
	return n, nil
}

// extent returns the size of a payload by its constructor and size prefix
// alone. For a described value it is zero.
func extent(code byte, data []byte) (int, error) {
	n := 0
	switch code >> 4 {
	case 0x0:
		if code != codeDescribed {
			return 0, ErrType
		}
		return 0, nil
	case 0x4:
	case 0x5:
		n = 1
	case 0x6:
		n = 2
	case 0x7:
		n = 4
	case 0x8:
		n = 8
	case 0x9:
		n = 16
	case 0xa, 0xc, 0xe:
		if len(data) < 1 {
			return 0, ErrShort
		}
		n = 1 + int(data[0])
	case 0xb, 0xd, 0xf:
		if len(data) < 4 {
			return 0, ErrShort
		}
		n = 4 + int(binary.BigEndian.Uint32(data))
	default:
		return 0, ErrType
	}
	if typeOf(code) == TypeInvalid {
		return 0, ErrType
	}
	if n > len(data) {
		return 0, ErrShort
	}
	return n, nil
}

// describedExtent measures a descriptor and the value it describes.
func describedExtent(data []byte, depth int) (int, error) {
	if depth == 0 {
		return 0, ErrDepth
	}
	n := 0
	for range 2 {
		if n >= len(data) {
			return 0, ErrShort
		}
		m, err := payload(data[n], data[n+1:], depth-1)
		if err != nil {
			return 0, err
		}
		n += 1 + m
	}
	return n, nil
}

// header splits the payload of a list, map or array into its count and the
// bytes of its elements.
func header(code byte, body []byte) (count int, items []byte, err error) {
	if code>>4 == 0xc || code>>4 == 0xe {
		if len(body) < 2 {
			return 0, nil, ErrSize
		}
		return int(body[1]), body[2:], nil
	}
	if len(body) < 8 {
		return 0, nil, ErrSize
	}
	n := binary.BigEndian.Uint32(body[4:])
	if n > MaxElements {
		return 0, nil, ErrElements
	}
	return int(n), body[8:], nil
}

func checkCompound(code byte, body []byte, depth int) error {
	if depth == 0 {
		return ErrDepth
	}
	count, items, err := header(code, body)
	if err != nil {
		return err
	}
	if typeOf(code) == TypeMap && count%2 != 0 {
		return ErrMap
	}
	for range count {
		if len(items) == 0 {
			return ErrSize
		}
		n, err := payload(items[0], items[1:], depth-1)
		if err != nil {
			return err
		}
		items = items[1+n:]
	}
	if len(items) != 0 {
		return ErrSize
	}
	return nil
}

func checkArray(code byte, body []byte, depth int) error {
	if depth == 0 {
		return ErrDepth
	}
	count, items, err := header(code, body)
	if err != nil {
		return err
	}
	if count == 0 && len(items) == 0 {
		return nil // some libraries leave the constructor of an empty array out
	}
	_, elem, items, err := elementCode(items, depth-1)
	if err != nil {
		return err
	}
	if typeOf(elem) == TypeInvalid {
		return ErrType
	}
	if elem>>4 == 0x4 && count > maxEmpty {
		return ErrElements
	}
	for range count {
		n, err := payload(elem, items, depth-1)
		if err != nil {
			return err
		}
		items = items[n:]
	}
	if len(items) != 0 {
		return ErrSize
	}
	return nil
}

// elementCode takes the constructor of an array's elements off data: a code,
// or a descriptor (prefix, with its leading zero) and the code of what it
// describes.
func elementCode(data []byte, depth int) (prefix []byte, code byte, rest []byte, err error) {
	if len(data) == 0 {
		return nil, 0, nil, ErrSize
	}
	if data[0] != codeDescribed {
		return nil, data[0], data[1:], nil
	}
	if len(data) < 2 || data[1] == codeDescribed {
		return nil, 0, nil, ErrType
	}
	if depth <= 0 {
		return nil, 0, nil, ErrDepth
	}
	n, err := payload(data[1], data[2:], depth-1)
	if err != nil {
		return nil, 0, nil, err
	}
	end := 2 + n
	if end >= len(data) {
		return nil, 0, nil, ErrSize
	}
	if data[end] == codeDescribed {
		return nil, 0, nil, ErrType
	}
	return data[:end], data[end], data[end+1:], nil
}
