package directory

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"math"
	"strings"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/rule"
)

// The row of an endpoint is binary, because there may be millions to read at
// start:
//
//	version 1, flags
//	traits  JSON, labels  (key, value)…
//	length of name, length of the sealed keys, length of certificates if flags say there are some
//	incarnation, four bytes, if flags say there is one
//	name, sealed keys, certificates, description to the end
//
// where traits, labels, keys and values have their length before them. Lengths
// are uvarints. Traits and labels are written the same for all endpoints that
// have the same, so that a reader knows them without decoding them.
//
// All other rows are version 1, the sealed keys with their length before them,
// and the definition as JSON.
const rowVersion = 1

func appendField(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// appendEndpoint appends the row of an endpoint.
func appendEndpoint(dst []byte, e *Endpoint) ([]byte, error) {
	dst = append(dst, rowVersion, byte(e.flags))
	if e.traits == nil {
		dst = append(dst, 0)
	} else {
		text, err := json.Marshal(e.traits)
		if err != nil {
			return nil, err
		}
		dst = appendField(dst, string(text))
	}
	var space [512]byte
	labels := space[:0]
	for _, l := range e.labels {
		labels = appendField(appendField(labels, l.Key), l.Value)
	}
	dst = append(binary.AppendUvarint(dst, uint64(len(labels))), labels...)
	dst = binary.AppendUvarint(dst, uint64(len(e.name)))
	dst = binary.AppendUvarint(dst, uint64(len(e.sealed)))
	if e.flags&flagCertificates != 0 {
		dst = binary.AppendUvarint(dst, uint64(e.bound))
	}
	if e.flags&flagIncarnation != 0 {
		dst = binary.BigEndian.AppendUint32(dst, e.incarnation)
	}
	dst = append(append(dst, e.name...), e.sealed...)
	return append(dst, e.rest...), nil
}

// A decoder reads the rows of endpoints. It remembers some of the label sets
// and traits it has met, so that endpoints share them; how many is fixed. It
// is for one goroutine.
type decoder struct {
	seed   maphash.Seed
	labels [1024]struct {
		block  string
		labels rule.Labels
	}
	traits [256]struct {
		block  string
		traits *traits
	}
}

func newDecoder() *decoder { return &decoder{seed: maphash.MakeSeed()} }

var errShort = errors.New("the row ends too early")

// endpoint reads a row. It keeps nothing of data.
func (d *decoder) endpoint(data []byte, revision uint64) (*Endpoint, error) {
	if len(data) < 2 {
		return nil, errShort
	}
	if data[0] != rowVersion {
		return nil, fmt.Errorf("it has format %d, which this version of Gatehouse does not know", data[0])
	}
	e := &Endpoint{flags: endpointFlags(data[1]), revision: revision}
	if e.flags>>flagsKnown != 0 {
		return nil, fmt.Errorf("it has flags %#x, which this version of Gatehouse does not know", data[1])
	}
	traits, rest, err := block(data[2:])
	if err != nil {
		return nil, err
	}
	labels, rest, err := block(rest)
	if err != nil {
		return nil, err
	}
	if e.traits, err = d.knownTraits(traits); err != nil {
		return nil, err
	}
	if e.labels, err = d.knownLabels(labels); err != nil {
		return nil, err
	}
	name, rest, err := length(rest)
	if err != nil {
		return nil, err
	}
	sealed, rest, err := length(rest)
	if err != nil {
		return nil, err
	}
	bound := 0
	if e.flags&flagCertificates != 0 {
		if bound, rest, err = length(rest); err != nil {
			return nil, err
		}
	}
	if rest, err = e.readIncarnation(rest); err != nil {
		return nil, err
	}
	if name > len(rest) || sealed > len(rest)-name || bound > len(rest)-name-sealed {
		return nil, errShort
	}
	text := string(rest) // the one copy that the endpoint keeps
	e.name, e.sealed, e.rest = text[:name], text[name:name+sealed], text[name+sealed:]
	if err := e.setBound(bound); err != nil {
		return nil, err
	}
	e.key = gatehouse.Fold(e.name)
	if e.key == "" {
		return nil, errors.New("it has no name")
	}
	return e, nil
}

// readIncarnation reads the incarnation, if flags say there is one, and returns
// what follows.
func (e *Endpoint) readIncarnation(data []byte) (rest []byte, err error) {
	if e.flags&flagIncarnation == 0 {
		return data, nil
	}
	if len(data) < 4 {
		return nil, errShort
	}
	if e.incarnation = binary.BigEndian.Uint32(data); e.incarnation == 0 {
		return nil, errors.New("the incarnation is zero")
	}
	return data[4:], nil
}

// setBound notes how long the certificates are with which the rest begins.
func (e *Endpoint) setBound(n int) error {
	if n > math.MaxUint16 || (n > 0) != (e.flags&flagCertificates != 0) {
		return errBinding
	}
	e.bound = uint16(n)
	_, err := readBindings([]byte(e.bindings()))
	return err
}

// length reads a number that must fit what may follow it.
func length(data []byte) (n int, rest []byte, err error) {
	u, size := binary.Uvarint(data)
	if size <= 0 || u > uint64(len(data)-size) {
		return 0, nil, errShort
	}
	return int(u), data[size:], nil
}

func block(data []byte) (b, rest []byte, err error) {
	n, rest, err := length(data)
	if err != nil {
		return nil, nil, err
	}
	return rest[:n], rest[n:], nil
}

func (d *decoder) knownTraits(data []byte) (*traits, error) {
	if len(data) == 0 {
		return nil, nil
	}
	slot := &d.traits[maphash.Bytes(d.seed, data)%uint64(len(d.traits))]
	if slot.block == string(data) {
		return slot.traits, nil
	}
	t := new(traits)
	if err := strictJSON(data, t); err != nil {
		return nil, err
	}
	slot.block, slot.traits = string(data), t
	return t, nil
}

func (d *decoder) knownLabels(data []byte) (rule.Labels, error) {
	if len(data) == 0 {
		return nil, nil
	}
	slot := &d.labels[maphash.Bytes(d.seed, data)%uint64(len(d.labels))]
	if slot.block == string(data) {
		return slot.labels, nil
	}
	n, err := countFields(data)
	if err != nil {
		return nil, err
	}
	l := make(rule.Labels, 0, n/2)
	text := string(data)
	for rest := data; len(rest) > 0; {
		var label rule.Label
		label.Key, rest = textField(text, rest)
		label.Value, rest = textField(text, rest)
		if len(l) > 0 && l[len(l)-1].Key >= label.Key {
			return nil, errors.New("its labels are out of order")
		}
		l = append(l, label)
	}
	slot.block, slot.labels = text, l
	return l, nil
}

// countFields counts the fields that data consists of: an even number.
func countFields(data []byte) (int, error) {
	n := 0
	for ; len(data) > 0; n++ {
		var err error
		if _, data, err = block(data); err != nil {
			return 0, err
		}
	}
	if n%2 != 0 {
		return 0, errShort
	}
	return n, nil
}

// textField reads a field that is there from the end of text, which rest is a
// copy of, and returns it as a part of text.
func textField(text string, rest []byte) (string, []byte) {
	b, after, _ := block(rest)
	end := len(text) - len(after)
	return text[end-len(b) : end], after
}

// encodeSpec returns the row of a definition other than an endpoint.
func encodeSpec(s Spec, sealed string) ([]byte, error) {
	text, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	return append(appendField([]byte{rowVersion}, sealed), text...), nil
}

// decodeSpec reads the row of a definition other than an endpoint.
func decodeSpec(data []byte, s Spec) (sealed string, err error) {
	if len(data) == 0 {
		return "", errShort
	}
	if data[0] != rowVersion {
		return "", fmt.Errorf("it has format %d, which this version of Gatehouse does not know", data[0])
	}
	keys, text, err := block(data[1:])
	if err != nil {
		return "", err
	}
	if err := strictJSON(text, s); err != nil {
		return "", err
	}
	if s.SpecName() == "" {
		return "", errors.New("it has no name")
	}
	return string(keys), nil
}

// strictJSON decodes what this version knows all of: to pass over a field that
// a newer one has written could be to let in whom it keeps out.
func strictJSON(data []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is something behind the definition")
	}
	return nil
}
