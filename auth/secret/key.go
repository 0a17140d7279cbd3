package secret

import (
	"crypto/sha256"
	"crypto/subtle"
	"slices"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/auth"
)

// errKey is the refusal of a bare key: for whatever reason, the same.
func errKey() error {
	return gatehouse.Errorf(gatehouse.Unauthenticated, "the user name or the password is wrong")
}

// key proves an identity by a key shown as the password.
func (a *authenticator) key(r *auth.Request, p proof) (gatehouse.Identity, error) {
	policy := gatehouse.PolicyName(gatehouse.Fold(p.user.Policy))
	switch {
	case p.user.Endpoint != "":
		return a.ownKey(r, p.text)
	case p.user.Account == "" && r.Endpoint != "" && ownRight(policy) != 0:
		return a.policyKey(r, p.text, policy, true)
	}
	return a.policyKey(r, p.text, policy, false)
}

// ownKey looks for key among both policies of the endpoint, so that a client
// that uses the wrong one of its two keys can be told.
func (a *authenticator) ownKey(r *auth.Request, key string) (gatehouse.Identity, error) {
	policies := [...]gatehouse.PolicyName{gatehouse.PolicySend, gatehouse.PolicyListen}
	if r.Need == gatehouse.RightListen {
		slices.Reverse(policies[:])
	}
	refusal := errKey()
	for _, policy := range policies {
		id, err := a.policyKey(r, key, policy, true)
		if err == nil {
			return id, nil
		}
		if gatehouse.KindOf(err) != gatehouse.Unauthenticated {
			refusal = err
		}
	}
	return gatehouse.Identity{}, refusal
}

// policyKey proves an identity by a key of one policy.
func (a *authenticator) policyKey(r *auth.Request, key string, policy gatehouse.PolicyName, own bool) (gatehouse.Identity, error) {
	pair, rights, known, err := a.pair(r, policy, own)
	if err != nil {
		return gatehouse.Identity{}, err
	}
	first, second := same(key, pair.Primary), same(key, pair.Secondary)
	if !known || !first && !second {
		return gatehouse.Identity{}, errKey()
	}
	return identity(r, policy, own, key, rights&reach(r))
}

// same compares in a time that does not depend on where, or in what length,
// the keys differ. An empty key is no key.
func same(shown, key string) bool {
	a, b := sha256.Sum256([]byte(shown)), sha256.Sum256([]byte(key))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1 && key != ""
}

// reach returns the rights there are at the request's address.
func reach(r *auth.Request) gatehouse.Rights {
	if r.Endpoint != "" {
		return gatehouse.RightSend | gatehouse.RightListen | gatehouse.RightManage
	}
	return gatehouse.RightChannels | gatehouse.RightManage
}
