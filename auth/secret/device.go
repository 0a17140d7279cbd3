package secret

import (
	"strings"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/auth"
	"github.com/gatehouse/gatehouse/sas"
)

// device proves an identity by the token that a device made with its key, as
// the SDKs of Azure IoT Hub do. It names no policy: both of the endpoint's own
// are tried, in any case, and one is taken that has the key and the right that
// the request needs.
func (a *authenticator) device(r *auth.Request, t *sas.Token, u auth.User) (gatehouse.Identity, error) {
	if u.Policy != "" {
		return gatehouse.Identity{}, gatehouse.Errorf(gatehouse.Unauthenticated, "the user name names a policy, and the token is that of a device; sign in as ACCOUNT/ENDPOINT")
	}
	if !isDevice(r, t.Resource()) {
		return gatehouse.Identity{}, gatehouse.Errorf(gatehouse.Unauthenticated,
			"the token is for %.200q, with which a device cannot prove itself to %s; its sr must be HOST/devices/ENDPOINT, and the first label of HOST the account", t.Resource(), addressOf(r))
	}
	var id gatehouse.Identity
	var refusal error
	signed := false
	for _, policy := range [...]gatehouse.PolicyName{gatehouse.PolicySend, gatehouse.PolicyListen} {
		pair, right, known, err := a.pair(r, policy, true)
		if err != nil {
			return gatehouse.Identity{}, err
		}
		key, ok := t.VerifyAnyDecoded(pair.Primary, pair.Secondary)
		if !ok || !known {
			continue
		}
		signed = true
		if id.Rights == 0 {
			id, refusal = identity(r, policy, true, key, right)
		}
	}
	switch {
	case !signed:
		return gatehouse.Identity{}, sas.ErrSignature()
	case t.Expired(r.Now):
		return gatehouse.Identity{}, sas.ErrExpired(t.Expires())
	}
	id.Expires = t.Expires()
	return id, refusal
}

// isDevice reports whether resource is the request's endpoint, as a device of
// Azure IoT Hub is named: HOST/devices/ENDPOINT, where the first label of HOST
// stands for the account.
func isDevice(r *auth.Request, resource sas.Resource) bool {
	host, device, ok := resource.Device()
	account, _, _ := strings.Cut(host, ".")
	return ok && account == gatehouse.Fold(r.Account) && device == gatehouse.Fold(r.Endpoint)
}
