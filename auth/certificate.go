package auth

import "crypto/tls"

// FromTLS returns the certificate that the client of a connection showed. ok is
// false if it showed none, or if there is no TLS (nil). Adapters show it to the
// gate with whatever else the client sends as proof:
//
//	if c, ok := auth.FromTLS(&state); ok {
//		shown = append(shown, c)
//	}
//
// state is that of a server whose handshake is over.
func FromTLS(state *tls.ConnectionState) (c Certificate, ok bool) {
	if state == nil || len(state.PeerCertificates) == 0 {
		return Certificate{}, false
	}
	return Certificate{Chain: state.PeerCertificates}, true
}
