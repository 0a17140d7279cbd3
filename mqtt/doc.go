// Package mqtt reads and writes the control packets of MQTT 3.1.1 and 5.0, for
// either side: what a server decodes a client encodes, and the reverse. It
// knows packets, not sessions, and nothing of Gatehouse.
//
// Sections and statements are those of the OASIS standards "MQTT Version 3.1.1"
// and "MQTT Version 5.0"; where a number stands alone, the two agree or it is of
// 5.0.
//
//	h, n, err := mqtt.ParseHeader(buf)   // n == 0: more bytes are needed
//	...
//	var p mqtt.Publish
//	err = p.Decode(h, buf[n:n+h.Length], mqtt.Version5)
//	...
//	buf = (&mqtt.Ack{Type: mqtt.TypePubAck, PacketID: p.PacketID}).Append(buf[:0], mqtt.Version5)
//
// Decode is strict: what a receiver must treat as malformed, or as a protocol
// error that shows in the packet alone, is a *Error with the reason code that
// the sender is to be told. It never panics, and allocates in proportion to the
// bytes there are, whatever lengths they claim. Decoded byte slices alias the
// input; strings do not.
//
// Append writes what it is given and does not check it: a program must not set
// what the standard forbids. Text that is too long for its length field is cut.
package mqtt
