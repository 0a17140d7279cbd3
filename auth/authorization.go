package auth

import (
	"encoding/base64"
	"strings"

	"github.com/gatehouse/gatehouse"
)

// FromAuthorization returns the credentials in the value of an Authorization
// header, whose scheme is SharedAccessSignature, Bearer or Basic. The error is
// of kind Unauthenticated.
func FromAuthorization(header string) ([]Credentials, error) {
	scheme, rest, _ := strings.Cut(header, " ")
	switch {
	case strings.EqualFold(scheme, "SharedAccessSignature"):
		return []Credentials{SAS{Token: header}}, nil
	case strings.EqualFold(scheme, "Bearer"):
		return FromToken(rest), nil
	case strings.EqualFold(scheme, "Basic"):
		text, err := base64.StdEncoding.DecodeString(rest)
		user, password, ok := strings.Cut(string(text), ":")
		if err != nil || !ok {
			return nil, gatehouse.Errorf(gatehouse.Unauthenticated, "the Basic authorization is malformed; it is the base64 of USER:PASSWORD, where the user is ACCOUNT/ENDPOINT")
		}
		return []Credentials{Password{User: user, Password: password}}, nil
	}
	return nil, gatehouse.Errorf(gatehouse.Unauthenticated, "the authorization scheme is unknown; use SharedAccessSignature, Bearer or Basic")
}
