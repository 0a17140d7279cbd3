package httpapi

import (
	"net/http"
	"strings"

	"github.com/gatehouse/gatehouse"
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
		if shown, err = parseAuthorization(header); err != nil {
			return nil, err
		}
	}
	if c, ok := auth.FromTLS(r.TLS); ok {
		shown = append(shown, c)
	}
	return shown, nil
}

func parseAuthorization(header string) ([]auth.Credentials, error) {
	scheme, rest, _ := strings.Cut(header, " ")
	switch {
	case strings.EqualFold(scheme, "SharedAccessSignature"):
		return []auth.Credentials{auth.SAS{Token: header}}, nil
	case strings.EqualFold(scheme, "Bearer"):
		return auth.FromToken(rest), nil
	case strings.EqualFold(scheme, "Basic"):
		basic := http.Request{Header: http.Header{"Authorization": {header}}}
		user, password, ok := basic.BasicAuth()
		if !ok {
			return nil, gatehouse.Errorf(gatehouse.Unauthenticated, "the Basic authorization is malformed; it is the base64 of USER:PASSWORD, where the user is ACCOUNT/ENDPOINT")
		}
		return []auth.Credentials{auth.Password{User: user, Password: password}}, nil
	}
	return nil, gatehouse.Errorf(gatehouse.Unauthenticated, "the authorization scheme is unknown; use SharedAccessSignature, Bearer or Basic")
}
