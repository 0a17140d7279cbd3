package secret

import (
	"strings"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/auth"
	"github.com/gatehouse/gatehouse/sas"
)

// The fixed segments of addresses.
const (
	publishers = "publishers"
	inboxes    = "inboxes"
	endpoints  = "endpoints"
	channels   = "channels"
)

// token proves an identity by a SAS token.
func (a *authenticator) token(r *auth.Request, p proof) (gatehouse.Identity, error) {
	t, err := sas.Parse(p.text)
	if err != nil {
		return gatehouse.Identity{}, err
	}
	if t.Policy() == "" {
		return a.device(r, t, p.user)
	}
	policy := gatehouse.PolicyName(gatehouse.Fold(t.Policy()))
	if p.user.Policy != "" && gatehouse.Fold(p.user.Policy) != string(policy) {
		return gatehouse.Identity{}, gatehouse.Errorf(gatehouse.Unauthenticated, "the user name names another policy than the token's skn")
	}
	covered, own, err := scope(r, t.Resource(), policy)
	if err != nil {
		return gatehouse.Identity{}, err
	}
	pair, rights, known, err := a.pair(r, policy, own)
	if err != nil {
		return gatehouse.Identity{}, err
	}
	key, ok := t.VerifyAny(pair.Primary, pair.Secondary)
	if !ok || !known {
		return gatehouse.Identity{}, sas.ErrSignature()
	}
	if t.Expired(r.Now) {
		return gatehouse.Identity{}, sas.ErrExpired(t.Expires())
	}
	id, err := identity(r, policy, own, key, rights&covered)
	id.Expires = t.Expires()
	return id, err
}

// scope says which rights at the request's address a token for resource can
// give at most, and whether policy is the endpoint's own. It fails if that is
// not what the request needs; the error tells only what the caller sent.
func scope(r *auth.Request, resource sas.Resource, policy gatehouse.PolicyName) (covered gatehouse.Rights, own bool, err error) {
	account := sas.Path(string(r.Account))
	for reading := range resource.Readings() {
		if !account.Covers(reading) {
			continue
		}
		own = isOwn(r, reading, policy)
		covered = covers(r, reading)
		if own && !ownAddress(r, policy).Covers(reading) {
			covered = 0 // the endpoint's, but of its other policy, or broader
		}
		if covered != 0 && covered.Has(r.Need) {
			return covered, own, nil
		}
	}
	return 0, false, gatehouse.Errorf(gatehouse.Unauthenticated,
		"the token is for %.200q, with which policy %.64q cannot prove itself to %s; make one whose sr is that address", resource, policy, addressOf(r))
}

// covers returns the rights whose address resource covers.
func covers(r *auth.Request, resource sas.Resource) gatehouse.Rights {
	account := string(r.Account)
	var rights gatehouse.Rights
	if r.Endpoint != "" {
		endpoint := string(r.Endpoint)
		if resource.Covers(sas.Path(account, publishers, endpoint, r.Below)) {
			rights |= gatehouse.RightSend
		}
		if resource.Covers(sas.Path(account, inboxes, endpoint, r.Below)) {
			rights |= gatehouse.RightListen
		}
		if resource.Covers(sas.Path(account, endpoints, endpoint, r.Below)) {
			rights |= gatehouse.RightSend | gatehouse.RightListen
		}
	} else if resource.Covers(sas.Path(account, channels, string(r.Channel), r.Below)) {
		rights |= gatehouse.RightChannels
	}
	if resource.Covers(sas.Path(account)) {
		rights |= gatehouse.RightManage
	}
	return rights
}

// isOwn reports whether policy, with a token for resource, is one of the
// endpoint's own rather than one of the account's.
func isOwn(r *auth.Request, resource sas.Resource, policy gatehouse.PolicyName) bool {
	if r.Endpoint == "" || ownRight(policy) == 0 {
		return false
	}
	account, endpoint := string(r.Account), string(r.Endpoint)
	for _, kind := range [...]string{publishers, inboxes, endpoints} {
		if sas.Path(account, kind, endpoint).Covers(resource) {
			return true
		}
	}
	return false
}

// ownAddress returns the address of an endpoint's own policy.
func ownAddress(r *auth.Request, policy gatehouse.PolicyName) sas.Resource {
	if policy == gatehouse.PolicySend {
		return sas.Path(string(r.Account), publishers, string(r.Endpoint))
	}
	return sas.Path(string(r.Account), inboxes, string(r.Endpoint))
}

// addressOf shows the address that r needs a proof for.
func addressOf(r *auth.Request) string {
	account := string(r.Account)
	switch {
	case r.Endpoint == "" && r.Channel != "":
		return account + "/" + channels + "/" + string(r.Channel)
	case r.Endpoint == "":
		return account
	case r.Need == gatehouse.RightSend:
		return account + "/" + publishers + "/" + string(r.Endpoint)
	case r.Need == gatehouse.RightListen:
		return account + "/" + inboxes + "/" + string(r.Endpoint)
	}
	return account + "/" + endpoints + "/" + string(r.Endpoint)
}

// rightNames lists rights for people.
func rightNames(r gatehouse.Rights) string {
	var names []string
	for _, right := range [...]struct {
		bit  gatehouse.Rights
		name string
	}{
		{gatehouse.RightSend, "send as"},
		{gatehouse.RightListen, "listen at"},
		{gatehouse.RightManage, "manage"},
		{gatehouse.RightChannels, "use channels of"},
	} {
		if r.Has(right.bit) {
			names = append(names, right.name)
		}
	}
	if len(names) == 0 {
		return "use"
	}
	return strings.Join(names, " and ")
}
