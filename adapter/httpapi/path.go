package httpapi

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/inbox"
)

// An operation is what a path stands for; with the method it says what to do.
type operation uint8

const (
	opNone       operation = iota
	opSend                 // {account}/publishers/{endpoint}/messages
	opProduce              // {account}/channels/{channel}/messages
	opPeek                 // {inbox}/messages
	opReceive              // {inbox}/messages/head
	opDeferred             // {inbox}/messages/deferred/{sequence}
	opLock                 // {inbox}/messages/{id}/{lock}
	opDeadLetter           // {inbox}/messages/{id}/{lock}/deadletter
	opDefer                // {inbox}/messages/{id}/{lock}/defer
	opRevoked              // {account}/revokedpublishers
	opRevokedOne           // {account}/revokedpublishers/{endpoint}
	opGuest                // {account}/endpoints/{endpoint}/{name}…, {account}/inboxes/{endpoint}/events…
	operations             // their number
)

// allowed are the methods of each operation, as the Allow header lists them.
var allowed = [operations]string{
	opSend:       "POST, OPTIONS",
	opProduce:    "POST, OPTIONS",
	opPeek:       "GET, OPTIONS",
	opReceive:    "POST, DELETE, OPTIONS",
	opDeferred:   "POST, DELETE, OPTIONS",
	opLock:       "POST, PUT, DELETE, OPTIONS",
	opDeadLetter: "POST, OPTIONS",
	opDefer:      "POST, OPTIONS",
	opRevoked:    "GET, OPTIONS",
	opRevokedOne: "PUT, DELETE, OPTIONS",
	opGuest:      "GET, POST, DELETE, OPTIONS", // at most
}

// need is the right each operation asks for. Guests ask for themselves.
var need = [operations]gatehouse.Rights{
	opSend:       gatehouse.RightSend,
	opProduce:    gatehouse.RightChannels,
	opPeek:       gatehouse.RightListen,
	opReceive:    gatehouse.RightListen,
	opDeferred:   gatehouse.RightListen,
	opLock:       gatehouse.RightListen,
	opDeadLetter: gatehouse.RightListen,
	opDefer:      gatehouse.RightListen,
	opRevoked:    gatehouse.RightManage,
	opRevokedOne: gatehouse.RightManage,
}

// allows reports whether the operation knows the method.
func (o operation) allows(method string) bool {
	for m := range strings.SplitSeq(allowed[o], ", ") {
		if m == method && m != http.MethodOptions {
			return true
		}
	}
	return false
}

// A target is what the path of a request names.
type target struct {
	op       operation
	account  gatehouse.AccountName
	endpoint gatehouse.EndpointName // also the publisher of opRevokedOne
	channel  gatehouse.ChannelName
	dead     bool             // the dead letters of the inbox
	lock     inbox.LockToken  // of opLock, opDeadLetter and opDefer
	sequence gatehouse.Offset // of opDeferred
	guest    string           // of opGuest: Guest.Below, folded
	rest     string           // of opGuest: what follows that
}

// maxSegments is how many segments the longest path has.
const maxSegments = 8

// parsePath reads an escaped path. Fixed segments are compared without case;
// one trailing slash is passed over. ok is false for a path that is none of
// ours, or has a segment that cannot be a name.
func parsePath(escaped string) (t target, ok bool) {
	var space [maxSegments]string
	s, ok := split(space[:0], escaped)
	if !ok || len(s) < 2 || gatehouse.CheckName(s[0]) != nil {
		return target{}, false
	}
	t.account = gatehouse.AccountName(s[0])
	switch kind, rest := s[1], s[2:]; {
	case is(kind, "publishers"), is(kind, "publisher"):
		ok = t.sender(opSend, rest)
		t.endpoint = gatehouse.EndpointName(first(rest))
	case is(kind, "channels"):
		ok = t.sender(opProduce, rest)
		t.channel = gatehouse.ChannelName(first(rest))
	case is(kind, "inboxes"):
		ok = t.inbox(rest)
	case is(kind, "endpoints"):
		ok = t.visit("endpoints", rest)
	case is(kind, "revokedpublishers"):
		ok = t.revoked(rest)
	default:
		ok = false
	}
	if !ok {
		return target{}, false
	}
	return t, true
}

// split appends the segments of a path, unescaped.
func split(dst []string, escaped string) ([]string, bool) {
	escaped = strings.TrimSuffix(strings.TrimPrefix(escaped, "/"), "/")
	for s := range strings.SplitSeq(escaped, "/") {
		if s == "" || len(dst) == cap(dst) {
			return nil, false
		}
		if strings.IndexByte(s, '%') >= 0 {
			var err error
			if s, err = url.PathUnescape(s); err != nil {
				return nil, false
			}
		}
		dst = append(dst, s)
	}
	return dst, true
}

func is(segment, fixed string) bool {
	return len(segment) == len(fixed) && strings.EqualFold(segment, fixed)
}

func first(s []string) string {
	if len(s) == 0 {
		return ""
	}
	return s[0]
}

// sender reads {name}/messages.
func (t *target) sender(op operation, rest []string) bool {
	t.op = op
	return len(rest) == 2 && gatehouse.CheckName(rest[0]) == nil && is(rest[1], "messages")
}

// revoked reads what may follow revokedpublishers: nothing, or a name.
func (t *target) revoked(rest []string) bool {
	t.op = opRevoked
	if len(rest) == 0 {
		return true
	}
	t.op, t.endpoint = opRevokedOne, gatehouse.EndpointName(rest[0])
	return len(rest) == 1 && gatehouse.CheckName(rest[0]) == nil
}

// visit reads {name}/{guest} and what may follow it.
func (t *target) visit(kind string, rest []string) bool {
	if len(rest) < 2 || gatehouse.CheckName(rest[0]) != nil {
		return false
	}
	t.op, t.endpoint = opGuest, gatehouse.EndpointName(rest[0])
	t.guest, t.rest = kind+"/"+gatehouse.Fold(rest[1]), strings.Join(rest[2:], "/")
	return true
}

// inbox reads {name}[/$deadletterqueue]/messages and what may follow it.
func (t *target) inbox(rest []string) bool {
	if len(rest) < 2 || gatehouse.CheckName(rest[0]) != nil {
		return false
	}
	if is(rest[1], "events") {
		return t.visit("inboxes", rest)
	}
	t.endpoint, rest = gatehouse.EndpointName(rest[0]), rest[1:]
	if is(rest[0], "$deadletterqueue") {
		t.dead, rest = true, rest[1:]
	}
	if len(rest) == 0 || !is(rest[0], "messages") {
		return false
	}
	switch rest = rest[1:]; len(rest) {
	case 0:
		t.op = opPeek
		return true
	case 1:
		t.op = opReceive
		return is(rest[0], "head")
	}
	return t.message(rest)
}

// message reads deferred/{sequence}, or {id}/{lock} and what may follow it.
// The lock alone says which message is meant; the id is for people.
func (t *target) message(rest []string) bool {
	lock, err := inbox.ParseLockToken(strings.TrimSuffix(strings.TrimPrefix(rest[1], "{"), "}"))
	if err != nil {
		t.op = opDeferred
		sequence, err := strconv.ParseUint(rest[1], 10, 64)
		t.sequence = gatehouse.Offset(sequence)
		return err == nil && len(rest) == 2 && is(rest[0], "deferred")
	}
	t.lock = lock
	switch {
	case len(rest) == 2:
		t.op = opLock
	case len(rest) == 3 && is(rest[2], "deadletter"):
		t.op = opDeadLetter
	case len(rest) == 3 && is(rest[2], "defer"):
		t.op = opDefer
	default:
		return false
	}
	return true
}
