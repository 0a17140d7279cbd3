// Package record is the form in which messages are stored: a versioned binary
// codec of gatehouse.Message. It keeps every field but Position, which the
// place of a record tells.
//
// A record of version 1 is
//
//	version  1 byte, 1
//	present  uvarint, a bit for each field that is not empty
//	size     uvarint, the length of the body; only if there is one
//	fields   those present, in the order of their bits
//	body     the rest
//
// with strings as a uvarint length and their bytes, signed numbers as zigzag
// varints, times as seconds since 1970 (signed) and nanoseconds (uvarint) in
// UTC, lists as a uvarint count and their elements, and values as their type
// (1 byte) and what it needs. There is one encoding of a message: Decode takes
// no other, so that most damage is noticed even without a checksum, which
// engines keep anyway.
//
// Records outlive programs. What version 1 means never changes; a change of
// the format gets a new version, and the old ones stay readable.
package record

// version is the only version so far.
const version = 1

// MaxDepth is how deep lists and maps may lie within each other in an
// attribute: one directly in an attribute is at depth 1. What lies deeper is
// stored as null; whoever accepts messages refuses them long before.
const MaxDepth = 1024

// The fields, by the bits that say whether they are present. Those of the
// header follow each other in this order. The numbers are part of the format.
const (
	hasID = 1 << iota
	hasType
	hasSubject
	hasTime
	hasContentType
	hasSchema
	hasSource
	hasTo
	hasKey
	hasGroup
	hasCorrelationID
	hasReplyTo
	hasTTL
	hasNotBefore
	hasTraceParent
	hasAttributes
	hasBody
	hasHops
	hasEnqueued
	hasChannel
	hasDead
	unknown // this and all greater bits are not used
)
