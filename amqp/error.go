package amqp

import (
	"errors"

	"github.com/gatehouse/gatehouse/amqp/frame"
)

// An Error is what a peer is told, or tells, when a link, a session or a
// connection ends or a delivery is rejected.
type Error = frame.Error

// A State is where a delivery stands.
type State = frame.State

// Error conditions of the standard (part 2.8.15 to 2.8.18).
const (
	InternalError         = "amqp:internal-error"
	NotFound              = "amqp:not-found"
	UnauthorizedAccess    = "amqp:unauthorized-access"
	DecodeError           = "amqp:decode-error"
	ResourceLimitExceeded = "amqp:resource-limit-exceeded"
	NotAllowed            = "amqp:not-allowed"
	InvalidField          = "amqp:invalid-field"
	NotImplemented        = "amqp:not-implemented"
	ResourceLocked        = "amqp:resource-locked"
	PreconditionFailed    = "amqp:precondition-failed"
	ResourceDeleted       = "amqp:resource-deleted"
	IllegalState          = "amqp:illegal-state"

	ConnectionForced   = "amqp:connection:forced"
	FramingError       = "amqp:connection:framing-error"
	ConnectionRedirect = "amqp:connection:redirect"

	WindowViolation  = "amqp:session:window-violation"
	ErrantLink       = "amqp:session:errant-link"
	HandleInUse      = "amqp:session:handle-in-use"
	UnattachedHandle = "amqp:session:unattached-handle"

	DetachForced          = "amqp:link:detach-forced"
	TransferLimitExceeded = "amqp:link:transfer-limit-exceeded"
	MessageSizeExceeded   = "amqp:link:message-size-exceeded"
	LinkStolen            = "amqp:link:stolen"
	LinkRedirect          = "amqp:link:redirect"
)

// What the methods of this package return.
var (
	ErrDetached   = errors.New("amqp: link is gone")
	ErrNoCredit   = errors.New("amqp: peer gave no credit for another delivery")
	ErrRole       = errors.New("amqp: link has the other direction")
	ErrTag        = errors.New("amqp: delivery tag of more than 32 bytes")
	ErrProtocol   = errors.New("amqp: peer does not speak AMQP 1.0")
	ErrSASL       = errors.New("amqp: peer was not authenticated")
	ErrHandshake  = errors.New("amqp: peer did not open the connection in time")
	ErrClosedPeer = errors.New("amqp: peer closed the socket without a close frame")
)

// asError returns what a peer may be told of err: an *Error in the chain as it
// is, anything else as an internal error without its text.
func asError(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Condition: InternalError, Description: "the server failed"}
}

// decodeError returns the error for a frame whose content is malformed.
func decodeError(err error) *Error {
	var f *frame.FieldError
	condition := DecodeError
	if errors.As(err, &f) {
		condition = InvalidField
	}
	return &Error{Condition: condition, Description: err.Error()}
}

// Err returns an error with a condition and a description for people.
func Err(condition, description string) *Error {
	return &Error{Condition: condition, Description: description}
}
