// Package secret proves identities by shared keys: those of an endpoint's own
// policies, send and listen, and those of an account's policies. A client
// shows a SAS token signed with a key, or the key itself as a password. It
// does not ask whether the endpoint is enabled or revoked; the gate does.
//
// What a token is good for follows from its resource (sr) and policy (skn):
//
//   - The resource must cover the address: ACCOUNT/publishers/ENDPOINT to
//     send, ACCOUNT/inboxes/ENDPOINT to receive, ACCOUNT/channels/CHANNEL for
//     channels, ACCOUNT to manage, each with what the client uses below it.
//     ACCOUNT/endpoints/ENDPOINT covers the endpoint's publisher and inbox.
//   - A policy "send" or "listen" is the endpoint's own if the resource is an
//     address of the endpoint. Its token must be for that policy's address or
//     below: ACCOUNT/publishers/ENDPOINT or ACCOUNT/inboxes/ENDPOINT, nothing
//     broader, and not ACCOUNT/endpoints/ENDPOINT.
//   - Any other policy is the account's. Its token may be for the account or
//     anything below, not for the whole namespace. It gives those rights of
//     the policy that the resource covers; manage includes send and listen.
//   - The token that the device SDKs of Azure IoT Hub make names no policy, and
//     its resource is HOST/devices/DEVICE. It is that of endpoint DEVICE of the
//     account that is the first label of HOST, and gives the right of each of
//     the endpoint's own policies that has the key which signed it. A device
//     has one key: it may send and listen if both policies have that. The key
//     is base64, and what it stands for signs.
//
// Refusals that follow from what the caller sent alone say so (a token that is
// malformed or for another address). All others that come before a right
// signature are one and the same error, after the same work, whether the
// account, the endpoint, the policy or only the signature is wrong.
package secret

import (
	"context"
	"crypto/rand"
	"errors"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/auth"
	"github.com/gatehouse/gatehouse/sas"
)

// New returns an authenticator for auth.SAS, auth.Password, and auth.Bearer
// that holds a SAS token. It is safe for concurrent use and keeps no keys.
func New(keys auth.Keys) auth.Authenticator {
	return &authenticator{
		keys: keys,
		// What a proof is compared with when there is no such key.
		nobody: auth.KeyPair{Primary: rand.Text() + rand.Text(), Secondary: rand.Text() + rand.Text()},
	}
}

type authenticator struct {
	keys   auth.Keys
	nobody auth.KeyPair
}

// Authenticate implements auth.Authenticator.
func (a *authenticator) Authenticate(_ context.Context, r *auth.Request) (gatehouse.Identity, error) {
	var proofs []proof
	switch c := r.Credentials.(type) {
	case auth.SAS:
		proofs = joined(c.Token, auth.User{})
	case auth.Bearer:
		if !sas.IsToken(c.Token) {
			return gatehouse.Identity{}, auth.ErrNotMine
		}
		proofs = joined(c.Token, auth.User{})
	case auth.Password:
		u, err := checkUser(c.User, r)
		if err != nil {
			return gatehouse.Identity{}, err
		}
		proofs = joined(c.Password, u)
	default:
		return gatehouse.Identity{}, auth.ErrNotMine
	}
	if err := checkNames(r); err != nil {
		return gatehouse.Identity{}, err
	}
	return a.any(r, proofs)
}

// A proof is one key or token that the client showed, with what its user name
// said, if it had one.
type proof struct {
	text string
	user auth.User
}

// joined returns the proofs in text: itself, or the two that a comma joins. A
// key may itself have a comma; then it is tried whole as well.
func joined(text string, u auth.User) []proof {
	var all []proof
	for part := range auth.SplitTokens(text) {
		all = append(all, proof{part, u})
	}
	if len(all) == 1 && all[0].text == text {
		return all
	}
	if !sas.IsToken(text) {
		all = append(all, proof{text, u})
	}
	return all
}

// checkNames refuses a request for names that cannot exist, before they become
// parts of paths.
func checkNames(r *auth.Request) error {
	for _, name := range [...]string{string(r.Account), string(r.Endpoint), string(r.Channel)} {
		if name == "" && r.Account != "" {
			continue
		}
		if err := gatehouse.CheckName(name); err != nil {
			return gatehouse.Errorf(gatehouse.Unauthenticated, "the address is not one of this gateway: %v", err)
		}
	}
	return nil
}

// checkUser reads a user name and holds it against the request's address.
func checkUser(user string, r *auth.Request) (auth.User, error) {
	u, ok := auth.ParseUser(user)
	if !ok {
		return u, gatehouse.Errorf(gatehouse.Unauthenticated,
			"the user name is not ACCOUNT/ENDPOINT, ACCOUNT/$policies/POLICY or the name of a policy")
	}
	if u.Account != "" && gatehouse.Fold(u.Account) != gatehouse.Fold(r.Account) {
		return u, gatehouse.Errorf(gatehouse.Unauthenticated, "the user name is of another account than the address")
	}
	if u.Endpoint != "" && gatehouse.Fold(u.Endpoint) != gatehouse.Fold(r.Endpoint) {
		return u, gatehouse.Errorf(gatehouse.Unauthenticated, "the user name is not of the endpoint in the address; trusted code signs in as ACCOUNT/$policies/POLICY")
	}
	return u, nil
}

// any returns what the first proof that is good for r proves, or else the
// refusal that says most: one that follows a right proof.
func (a *authenticator) any(r *auth.Request, proofs []proof) (gatehouse.Identity, error) {
	refusal := sas.ErrSignature()
	for i, p := range proofs {
		id, err := a.prove(r, p)
		if err == nil {
			return id, nil
		}
		var e *gatehouse.Error
		if !errors.As(err, &e) {
			return gatehouse.Identity{}, err
		}
		if i == 0 || refusal.Kind == gatehouse.Unauthenticated && e.Kind != gatehouse.Unauthenticated {
			refusal = e
		} else if refusal.Kind == gatehouse.Unauthenticated {
			refusal = gatehouse.Errorf(gatehouse.Unauthenticated, "none of the credentials is good for %s", addressOf(r))
		}
	}
	return gatehouse.Identity{}, refusal
}

func (a *authenticator) prove(r *auth.Request, p proof) (gatehouse.Identity, error) {
	if sas.IsToken(p.text) || p.user == (auth.User{}) {
		return a.token(r, p)
	}
	return a.key(r, p)
}

// pair returns the keys of a policy, and its rights. known is false, and the
// keys are nobody's, if there is no such policy. own says that it is the
// endpoint's.
func (a *authenticator) pair(r *auth.Request, policy gatehouse.PolicyName, own bool) (pair auth.KeyPair, rights gatehouse.Rights, known bool, err error) {
	switch {
	case gatehouse.CheckName(string(policy)) != nil:
		return a.nobody, 0, false, nil
	case own:
		rights = ownRight(policy)
		pair, err = r.OwnKeys(a.keys, policy)
	default:
		pair, rights, err = a.keys.PolicyKeys(r.Account, policy)
	}
	if errors.Is(err, gatehouse.NotFound) {
		return a.nobody, 0, false, nil
	}
	if err != nil {
		return a.nobody, 0, false, gatehouse.Wrap(gatehouse.Unavailable, err, "the credentials cannot be checked at present; try again shortly")
	}
	if rights.Has(gatehouse.RightManage) {
		rights |= gatehouse.RightSend | gatehouse.RightListen
	}
	return pair, rights, true, nil
}

// ownRight returns the right of an endpoint's own policy, and zero for the
// name of any other.
func ownRight(policy gatehouse.PolicyName) gatehouse.Rights {
	switch policy {
	case gatehouse.PolicySend:
		return gatehouse.RightSend
	case gatehouse.PolicyListen:
		return gatehouse.RightListen
	}
	return 0
}

// identity is what a right proof by key of policy proves, or the Forbidden
// error that it is too little.
func identity(r *auth.Request, policy gatehouse.PolicyName, own bool, key string, granted gatehouse.Rights) (gatehouse.Identity, error) {
	if granted == 0 || !granted.Has(r.Need) {
		return gatehouse.Identity{}, gatehouse.Errorf(gatehouse.Forbidden,
			"policy %q does not have the right to %s %s; use the key of a policy that has it", policy, rightNames(r.Need&^granted), addressOf(r))
	}
	endpoint := r.Endpoint
	if !own {
		endpoint = ""
	}
	return gatehouse.Identity{
		Account: r.Account, Endpoint: r.Endpoint, Policy: policy, Rights: granted,
		Proof: auth.Proof(r.Account, endpoint, policy, key),
	}, nil
}
