package amqp1

import (
	"errors"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/amqp"
	"github.com/gatehouse/gatehouse/amqp/wire"

	"github.com/google/uuid"
)

// Conditions that Azure has besides those of the standard.
const (
	conditionRevoked       = "com.microsoft:publisher-revoked"
	conditionAuth          = "com.microsoft:auth-failed"
	conditionDisabled      = "com.microsoft:entity-disabled"
	conditionBusy          = "com.microsoft:server-busy"
	conditionTimeout       = "com.microsoft:timeout"
	conditionLockLost      = "com.microsoft:message-lock-lost"
	conditionSessionLost   = "com.microsoft:session-lock-lost"
	conditionSessionLocked = "com.microsoft:session-cannot-be-locked"
	conditionNoMessage     = "com.microsoft:message-not-found"
	conditionArgument      = "com.microsoft:argument-error"
	conditionRange         = "com.microsoft:argument-out-of-range"
	conditionDeadLetter    = "com.microsoft:dead-letter"
)

// An answer is what a client is told for a kind of error: on links, and by the
// nodes that answer requests. Azure's SDKs do not retry a condition or status
// where no retry helps.
type answer struct {
	link   string // condition of a refused message, and of a link that is detached
	attach string // condition of a link that is refused
	status int32
	reply  string // condition of a reply
}

// answers is the one table from kinds of errors to what clients are told. Of
// the statuses of errors, 401, 404 and 410 are all that the SDK for Go takes as
// final; that for JavaScript goes by the condition.
var answers = map[gatehouse.Kind]answer{
	gatehouse.Internal:        {amqp.InternalError, amqp.InternalError, 500, amqp.InternalError},
	gatehouse.Invalid:         {amqp.NotAllowed, amqp.NotAllowed, 404, conditionArgument},
	gatehouse.Unauthenticated: {amqp.UnauthorizedAccess, amqp.UnauthorizedAccess, 401, conditionAuth},
	gatehouse.Expired:         {amqp.UnauthorizedAccess, amqp.UnauthorizedAccess, 401, conditionAuth},
	gatehouse.Revoked:         {conditionRevoked, amqp.UnauthorizedAccess, 401, conditionRevoked},
	gatehouse.Forbidden:       {amqp.NotAllowed, amqp.UnauthorizedAccess, 401, amqp.UnauthorizedAccess},
	gatehouse.Restricted:      {amqp.NotAllowed, amqp.NotAllowed, 401, amqp.UnauthorizedAccess},
	gatehouse.TooLarge:        {amqp.MessageSizeExceeded, amqp.MessageSizeExceeded, 404, amqp.MessageSizeExceeded},
	gatehouse.RateLimited:     {conditionBusy, conditionBusy, 503, conditionBusy},
	gatehouse.QuotaExceeded:   {amqp.ResourceLimitExceeded, amqp.ResourceLimitExceeded, 404, amqp.ResourceLimitExceeded},
	gatehouse.NotFound:        {amqp.NotFound, amqp.NotFound, 404, amqp.NotFound},
	gatehouse.Conflict:        {amqp.ResourceLocked, amqp.ResourceLocked, 404, amqp.ResourceLocked},
	gatehouse.LockLost:        {conditionLockLost, conditionLockLost, 410, conditionLockLost},
	gatehouse.Unavailable:     {conditionBusy, conditionBusy, 503, conditionBusy},
}

// Keys of the info of an error.
const (
	infoKind       = "gatehouse:kind"
	infoRule       = "gatehouse:rule"
	infoRetryAfter = "gatehouse:retry-after" // milliseconds
)

// failed returns what a client is told of err about a message or a link it has.
func (s *serving) failed(err error) *amqp.Error {
	return s.tell(err, answers[gatehouse.KindOf(err)].link)
}

// refused returns what a client is told of err about a link that it asks for.
func (s *serving) refused(err error) *amqp.Error {
	return s.tell(err, answers[gatehouse.KindOf(err)].attach)
}

// tell describes err as the client may know it. What is internal gets a name
// of its own instead of its text, and is logged under that.
func (s *serving) tell(err error, condition string) *amqp.Error {
	if e, ok := errors.AsType[*amqp.Error](err); ok {
		return e // said in our protocol's words already
	}
	kind := gatehouse.KindOf(err)
	info := []wire.Value{wire.Symbol(infoKind), wire.String(kind.String())}
	if e, ok := errors.AsType[*gatehouse.Error](err); ok {
		if e.Rule != "" {
			info = append(info, wire.Symbol(infoRule), wire.String(e.Rule))
		}
		if e.RetryAfter > 0 {
			info = append(info, wire.Symbol(infoRetryAfter), wire.Long(e.RetryAfter.Milliseconds()))
		}
	}
	return &amqp.Error{Condition: condition, Description: s.describe(err), Info: wire.Map(info...)}
}

// describe returns the text of err for the client.
func (s *serving) describe(err error) string {
	if gatehouse.KindOf(err) != gatehouse.Internal {
		return err.Error()
	}
	name := uuid.NewString()
	s.options.Logger.Error("an AMQP operation failed", "tracking", name, "error", err)
	return "the gateway failed; its log tells why. TrackingId:" + name
}
