// Package amqp is the server side of AMQP 1.0 (OASIS AMQP Version 1.0, parts 2,
// 3 and 5): it takes connections, authenticates them by SASL, and carries
// messages over links in both directions with flow control and settlement. It
// is written against the standard, and against what the common clients really
// do where the two differ; doc comments cite the standard by part and section.
//
// It is not a broker and not a client: what an address means, who may attach
// to it and what becomes of a message is decided by the embedding program's
// Handler. It imports nothing but its own sub-packages: wire (types), frame
// (performatives) and message (sections).
//
//	server, err := amqp.NewServer(amqp.Config{ContainerID: "example"})
//	conn := server.NewConn(netConn, handler)
//	err = conn.Serve(ctx)
//
// A connection is served by the goroutine that calls Serve, and by a second one
// that exists only while there is something to write. There is none for a
// session or a link. Callbacks run on the Serve goroutine, one at a time and in
// the order of the frames (Sender.Ready excepted), and must not block: what
// takes time is to be handed on, and answered later from any goroutine with
// Delivery.Accept, Sent.Settle, Attach.Refuse and so on. All methods of Conn,
// Session, Attach, Incoming, Outgoing, Delivery and Sent may be called
// concurrently; none blocks on the network.
//
// Guarantees: a delivery is acknowledged when the program says so and not
// before; what goes out keeps its order within a link; a peer can neither send
// more than it was given credit for nor make the connection hold more memory
// than Config allows; a malformed frame ends the connection with the error the
// standard names for it, never the process.
//
// Not supported, and refused as such: resuming deliveries of an earlier link,
// dynamic nodes and transactions. An idle connection costs a few KiB: its
// buffers come from a pool and go back to it.
package amqp
