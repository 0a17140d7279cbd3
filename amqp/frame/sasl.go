package frame

import "github.com/gatehouse/gatehouse/amqp/wire"

// A SASLCode is the result of a SASL exchange (part 5.3.3.6).
type SASLCode uint8

// The results.
const (
	SASLOK      SASLCode = 0
	SASLAuth    SASLCode = 1 // the credentials are wrong
	SASLSys     SASLCode = 2
	SASLSysPerm SASLCode = 3
	SASLSysTemp SASLCode = 4 // try again later
)

// Init is how a client starts a SASL exchange (part 5.3.3.2).
type Init struct {
	Mechanism string
	Response  []byte // nil if none was sent, which is not the same as empty
	Hostname  string
}

// Decode sets i from the fields of a sasl-init.
func (i *Init) Decode(items wire.Items) error {
	f := fields{items: items}
	mechanism := f.any()
	name, ok := mechanism.Str()
	if !ok {
		f.fail("mechanism", "is missing or not a symbol")
	}
	*i = Init{Mechanism: name, Response: f.binary("initial-response"), Hostname: f.text("hostname")}
	return f.err
}

// Append appends the sasl-init.
func (i *Init) Append(dst []byte) []byte {
	dst, at := start(dst, CodeInit)
	dst = wire.AppendSymbol(dst, i.Mechanism)
	if i.Response == nil {
		dst = wire.AppendNull(dst)
	} else {
		dst = wire.AppendBinary(dst, i.Response)
	}
	return wire.EndList(appendText(dst, i.Hostname), at, 3)
}

// DecodeResponse reads the bytes of a sasl-response or a sasl-challenge.
func DecodeResponse(items wire.Items) ([]byte, error) {
	f := fields{items: items}
	b := f.binary("response")
	return b, f.err
}

// AppendMechanisms appends the mechanisms a server offers, in order of
// preference, always as an array (part 5.3.3.1).
func AppendMechanisms(dst []byte, mechanisms []string) []byte {
	dst, at := start(dst, CodeMechanisms)
	return wire.EndList(wire.AppendSymbols(dst, mechanisms...), at, 1)
}

// AppendChallenge appends a sasl-challenge (part 5.3.3.3).
func AppendChallenge(dst, challenge []byte) []byte {
	dst, at := start(dst, CodeChallenge)
	return wire.EndList(wire.AppendBinary(dst, challenge), at, 1)
}

// AppendResponse appends a sasl-response (part 5.3.3.4).
func AppendResponse(dst, response []byte) []byte {
	dst, at := start(dst, CodeResponse)
	return wire.EndList(wire.AppendBinary(dst, response), at, 1)
}

// AppendOutcome appends a sasl-outcome (part 5.3.3.5).
func AppendOutcome(dst []byte, code SASLCode) []byte {
	dst, at := start(dst, CodeOutcome)
	return wire.EndList(wire.AppendUbyte(dst, uint8(code)), at, 1)
}
