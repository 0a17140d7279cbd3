// Package signalr is the server side of ASP.NET Core SignalR: negotiation, the
// three transports (WebSockets, Server-Sent Events, long polling), both hub
// protocols (JSON and MessagePack), keep-alive in both directions, client
// results and stateful reconnect. It is written against what the common clients
// do, first of all Microsoft's own for JavaScript.
//
// It is not a broker, and it knows nothing of groups or users: who may connect,
// what the methods of the hub are and what is sent to whom is decided by the
// embedding program's Hub. It imports nothing but its own sub-package wire
// (values and records).
//
//	server := signalr.NewServer(hub, signalr.Options{})
//	http.Handle("/chat/", server) // /chat/ and /chat/negotiate
//	...
//	err := server.Close(ctx)      // clients reconnect elsewhere
//
// One Server may serve any number of paths: a path that ends in /negotiate
// negotiates, any other is the endpoint of connections. A connection belongs to
// the Hub's owner who negotiated it, not to a path: Hub.Continue sees every
// later request.
//
// An established WebSocket has one goroutine, which reads, and a second one
// only while there is something to write; ServeHTTP returns as soon as it is
// established. Callbacks about what a client sent run one at a time and in the
// order of its records, and must not block: what takes time is to be handed on,
// and answered later from any goroutine with Invocation.Complete or Fail. All
// methods of Server, Conn, Call and Invocation may be called concurrently; none
// but Server.Close and Conn.Wait waits for the network.
//
// Guarantees: a call with an id gets exactly one completion, when the program
// says so, and completions leave in the order of the calls; what is sent keeps
// its order; a client can make its connection hold no more memory than Options
// allow, and a slow reader no more than SendBuffer and one record; a malformed
// record ends the connection, never the process. With stateful reconnect nothing
// is lost or doubled when a socket breaks and the client returns in time;
// otherwise what was under way when a connection ended may be lost, in both
// directions: who needs more awaits results (Conn.Invoke).
//
// Not supported, and refused as such: streams in either direction, the
// redirecting form of negotiation, and ASP.NET SignalR 2 (jQuery).
package signalr
