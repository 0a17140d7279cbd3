package frame

import "github.com/gatehouse/gatehouse/amqp/wire"

// symbolic returns the number of a descriptor given by name. The standard
// allows both; hardly anyone sends names.
func symbolic(d wire.Value) (uint64, bool) {
	name, ok := d.Bytes()
	if !ok {
		return 0, false
	}
	switch string(name) {
	case "amqp:open:list":
		return CodeOpen, true
	case "amqp:begin:list":
		return CodeBegin, true
	case "amqp:attach:list":
		return CodeAttach, true
	case "amqp:flow:list":
		return CodeFlow, true
	case "amqp:transfer:list":
		return CodeTransfer, true
	case "amqp:disposition:list":
		return CodeDisposition, true
	case "amqp:detach:list":
		return CodeDetach, true
	case "amqp:end:list":
		return CodeEnd, true
	case "amqp:close:list":
		return CodeClose, true
	case "amqp:error:list":
		return codeError, true
	}
	return symbolicOther(string(name))
}

func symbolicOther(name string) (uint64, bool) {
	switch name {
	case "amqp:sasl-init:list":
		return CodeInit, true
	case "amqp:sasl-response:list":
		return CodeResponse, true
	case "amqp:source:list":
		return codeSource, true
	case "amqp:target:list":
		return codeTarget, true
	case "amqp:coordinator:list":
		return codeCoordinator, true
	case "amqp:received:list":
		return uint64(Received), true
	case "amqp:accepted:list":
		return uint64(Accepted), true
	case "amqp:rejected:list":
		return uint64(Rejected), true
	case "amqp:released:list":
		return uint64(Released), true
	case "amqp:modified:list":
		return uint64(Modified), true
	}
	return 0, false
}
