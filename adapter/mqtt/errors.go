package mqttadapter

import (
	"errors"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/mqtt"

	"github.com/google/uuid"
)

// Return codes of CONNACK in MQTT 3.1.1 (section 3.2.2.3).
const (
	returnVersion     byte = 1
	returnClientID    byte = 2
	returnUnavailable byte = 3
	returnBadUser     byte = 4
	returnForbidden   byte = 5
)

// An answer is what a client is told for a kind of error.
type answer struct {
	connect mqtt.Code // CONNACK
	old     byte      // CONNACK in 3.1.1
	publish mqtt.Code // PUBACK and PUBREC
	suback  mqtt.Code // SUBACK
	end     mqtt.Code // DISCONNECT, of a session that may not go on
	// lasting: no retry can cure it. A message at QoS 0 refused for such a
	// reason ends the connection, to tell its client; one refused for another
	// is dropped, and counted.
	lasting bool
}

// answers is the one table from kinds of errors to what clients are told.
var answers = map[gatehouse.Kind]answer{
	gatehouse.Internal:        {mqtt.UnspecifiedError, returnUnavailable, mqtt.UnspecifiedError, mqtt.UnspecifiedError, mqtt.UnspecifiedError, false},
	gatehouse.Invalid:         {mqtt.BadUserNameOrPassword, returnBadUser, mqtt.PayloadFormatInvalid, mqtt.TopicFilterInvalid, mqtt.ProtocolError, true},
	gatehouse.Unauthenticated: {mqtt.BadUserNameOrPassword, returnBadUser, mqtt.NotAuthorized, mqtt.NotAuthorized, mqtt.NotAuthorized, true},
	gatehouse.Expired:         {mqtt.BadUserNameOrPassword, returnBadUser, mqtt.NotAuthorized, mqtt.NotAuthorized, mqtt.NotAuthorized, true},
	gatehouse.Revoked:         {mqtt.Banned, returnForbidden, mqtt.NotAuthorized, mqtt.NotAuthorized, mqtt.AdministrativeAction, true},
	gatehouse.Forbidden:       {mqtt.NotAuthorized, returnForbidden, mqtt.NotAuthorized, mqtt.NotAuthorized, mqtt.NotAuthorized, true},
	gatehouse.Restricted:      {mqtt.NotAuthorized, returnForbidden, mqtt.NotAuthorized, mqtt.NotAuthorized, mqtt.NotAuthorized, true},
	gatehouse.TooLarge:        {mqtt.PacketTooLarge, returnUnavailable, mqtt.QuotaExceeded, mqtt.QuotaExceeded, mqtt.PacketTooLarge, true},
	gatehouse.RateLimited:     {mqtt.ConnectionRateExceeded, returnUnavailable, mqtt.QuotaExceeded, mqtt.QuotaExceeded, mqtt.MessageRateTooHigh, false},
	gatehouse.QuotaExceeded:   {mqtt.QuotaExceeded, returnUnavailable, mqtt.QuotaExceeded, mqtt.QuotaExceeded, mqtt.QuotaExceeded, false},
	gatehouse.NotFound:        {mqtt.NotAuthorized, returnForbidden, mqtt.TopicNameInvalid, mqtt.TopicFilterInvalid, mqtt.AdministrativeAction, true},
	gatehouse.Conflict:        {mqtt.ServerUnavailable, returnUnavailable, mqtt.ImplementationSpecificError, mqtt.ImplementationSpecificError, mqtt.ImplementationSpecificError, false},
	gatehouse.LockLost:        {mqtt.UnspecifiedError, returnUnavailable, mqtt.ImplementationSpecificError, mqtt.ImplementationSpecificError, mqtt.ImplementationSpecificError, false},
	gatehouse.Unavailable:     {mqtt.ServerUnavailable, returnUnavailable, mqtt.ImplementationSpecificError, mqtt.ImplementationSpecificError, mqtt.AdministrativeAction, false},
}

// Names of the user properties that a refusal has.
const (
	propertyKind       = "gatehouse-kind"
	propertyRule       = "gatehouse-rule"
	propertyRetryAfter = "gatehouse-retry-after" // milliseconds
)

// describe returns the text of err for the client. What is internal gets a name
// of its own instead, and is logged under that.
func (s *serving) describe(err error) string {
	if gatehouse.KindOf(err) != gatehouse.Internal {
		return err.Error()
	}
	name := uuid.NewString()
	s.options.Logger.Error("an MQTT operation failed", "tracking", name, "error", err)
	return "the gateway failed; its log tells why. TrackingId:" + name
}

// ruleOf returns the error of the gate in err, or one of its kind.
func ruleOf(err error) *gatehouse.Error {
	if e, ok := errors.AsType[*gatehouse.Error](err); ok {
		return e
	}
	return &gatehouse.Error{Kind: gatehouse.KindOf(err)}
}
