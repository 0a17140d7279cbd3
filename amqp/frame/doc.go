// Package frame reads and writes the frames of AMQP 1.0 (OASIS AMQP 1.0, part
// 2: transport, and part 5: security): the protocol header, the frame header,
// the nine performatives from open to close, the five SASL frames, the termini
// of part 3 and the delivery states that travel in them.
//
// Each type has Decode, which takes the fields of the described list that
// Parse found, and Append, which appends the whole described list. Open, begin
// and attach are always written with every field up to the last one, since
// some clients index them without looking at their length. What was decoded
// aliases the frame, strings apart.
//
// It has no state and does no I/O; package amqp is the machine.
package frame
