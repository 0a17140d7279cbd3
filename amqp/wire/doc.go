// Package wire reads and writes the AMQP 1.0 type system (OASIS AMQP 1.0,
// part 1: types): primitive values, lists, maps, arrays and described values.
//
// A Value is one encoded value, looked at in place: reading a field of a frame
// or an entry of a map allocates nothing, and a value that is passed on is
// passed on byte for byte. Values are built with constructors such as String
// and Map, or appended straight to a buffer with AppendString and the like.
//
//	v, rest, err := wire.Split(data) // checked as a whole: nesting, counts, sizes
//	for key, value := range v.Entries() {
//		…
//	}
//
// Reading is permissive: integers of any width, string or symbol, list or
// array. Writing is strict and picks the shortest encoding. No reflection, and
// nothing is allocated on the word of a size or a count that was read.
//
// It is not a mapping to Go structs, and it knows nothing of frames.
package wire
