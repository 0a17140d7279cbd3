// Package authtest proves that an authenticator keeps the promises of package
// auth: Run is the suite every one must pass. Keys is an auth.Keys in memory
// for tests, with the accounts the suite asks about.
package authtest

import (
	"sync"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/auth"
)

// Keys holds keys in memory. It is safe for concurrent use; the zero Keys is
// empty.
type Keys struct {
	mu       sync.Mutex
	pairs    map[id]auth.KeyPair
	policies map[id]policy
	err      error
}

type id struct{ account, endpoint, policy string }

type policy struct {
	pair   auth.KeyPair
	rights gatehouse.Rights
}

// SetEndpoint gives an endpoint's own policy its keys.
func (k *Keys) SetEndpoint(a gatehouse.AccountName, e gatehouse.EndpointName, p gatehouse.PolicyName, pair auth.KeyPair) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.pairs == nil {
		k.pairs = make(map[id]auth.KeyPair)
	}
	k.pairs[id{gatehouse.Fold(a), gatehouse.Fold(e), gatehouse.Fold(p)}] = pair
}

// SetPolicy gives an account's policy its keys and rights.
func (k *Keys) SetPolicy(a gatehouse.AccountName, p gatehouse.PolicyName, pair auth.KeyPair, rights gatehouse.Rights) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.policies == nil {
		k.policies = make(map[id]policy)
	}
	k.policies[id{account: gatehouse.Fold(a), policy: gatehouse.Fold(p)}] = policy{pair, rights}
}

// Fail makes every look-up fail with err, until it is nil again.
func (k *Keys) Fail(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.err = err
}

// OwnKeys implements auth.Keys.
func (k *Keys) OwnKeys(a gatehouse.AccountName, e gatehouse.EndpointName) (send, listen auth.KeyPair, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err != nil {
		return send, listen, k.err
	}
	key := id{gatehouse.Fold(a), gatehouse.Fold(e), string(gatehouse.PolicySend)}
	send, sends := k.pairs[key]
	key.policy = string(gatehouse.PolicyListen)
	listen, listens := k.pairs[key]
	if !sends && !listens {
		return send, listen, gatehouse.Errorf(gatehouse.NotFound, "account %q has no endpoint %q", a, e)
	}
	return send, listen, nil
}

// PolicyKeys implements auth.Keys.
func (k *Keys) PolicyKeys(a gatehouse.AccountName, p gatehouse.PolicyName) (auth.KeyPair, gatehouse.Rights, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err != nil {
		return auth.KeyPair{}, 0, k.err
	}
	found, ok := k.policies[id{account: gatehouse.Fold(a), policy: gatehouse.Fold(p)}]
	if !ok {
		return auth.KeyPair{}, 0, gatehouse.Errorf(gatehouse.NotFound, "account %q has no policy %q", a, p)
	}
	return found.pair, found.rights, nil
}
