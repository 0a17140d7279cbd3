// Package message takes AMQP 1.0 messages apart and puts them together (OASIS
// AMQP 1.0, part 3.2: message format).
//
// Parse finds the sections of an encoded message and checks their form; what is
// inside a section is decoded when it is asked for, in place. The raw bytes
// stay at hand, so that a message, or its part from the properties on, can be
// passed on byte for byte. Messages are built by appending sections in their
// order: header, delivery annotations, message annotations, properties,
// application properties, body, footer.
//
//	m, err := message.Parse(delivery.Message)
//	p, err := m.Properties()
//	for data := range m.Data() { … }
//
// Everything returned aliases the message.
package message
