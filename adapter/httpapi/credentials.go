package httpapi

import (
	"net/http"

	"github.com/gatehouse/gatehouse/auth"
)

// authorization returns the header that carries the proof. Azure's clients may
// use another name for it, where a proxy keeps the first for itself.
func authorization(h http.Header) string {
	if v := h["Servicebusauthorization"]; len(v) > 0 {
		return v[0]
	}
	if v := h["Authorization"]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// credentials returns what a request shows as proof: its authorization, and
// the certificate its connection was opened with. The error is of kind
// Unauthenticated.
func credentials(r *http.Request, header string) ([]auth.Credentials, error) {
	var shown []auth.Credentials
	if header != "" {
		var err error
		if shown, err = auth.FromAuthorization(header); err != nil {
			return nil, err
		}
	}
	if c, ok := auth.FromTLS(r.TLS); ok {
		shown = append(shown, c)
	}
	return shown, nil
}
