package directory

import (
	"bytes"
	"math"
	"math/rand/v2"

	"github.com/gatehouse/gatehouse"
)

// encodeEndpoint checks an endpoint and makes its row.
func (p *plan) encodeEndpoint(s *step, spec *EndpointSpec, f *faults) error {
	labels, protocols := f.endpoint(spec, p.d.protocols)
	bindings := f.certificates(spec.Certificates)
	if len(f.found) > 0 {
		return nil
	}
	e := &Endpoint{name: spec.Name, key: gatehouse.Fold(spec.Name), labels: labels}
	e.describe(bindings, spec.Description)
	if spec.AllowPlaintext {
		e.flags |= flagPlaintext
	}
	inbox := spec.Inbox
	if inbox != nil && *inbox == (InboxSpec{}) {
		inbox = nil
	}
	if len(protocols) > 0 || inbox != nil {
		e.traits = &traits{protocols, inbox}
	}
	old, _ := s.old.(*Endpoint)
	if old != nil {
		e.setIncarnation(old.incarnation)
	} else {
		e.setIncarnation(rand.Uint32N(math.MaxUint32) + 1)
	}
	e.standing(spec, old)
	if err := p.sealEndpoint(s, e, old, spec.Keys, f); err != nil || len(f.found) > 0 {
		return err
	}
	return p.storeEndpoint(s, e, old)
}

// standing sets what stays as it is unless it is given.
func (e *Endpoint) standing(spec *EndpointSpec, old *Endpoint) {
	disabled, revoked := false, Revoked{}
	if old != nil {
		disabled, revoked = old.Disabled(), old.Revoked()
	}
	give(&disabled, spec.Disabled)
	give(&revoked, spec.Revoked)
	for flag, on := range map[endpointFlags]bool{flagDisabled: disabled, flagRevokedSend: revoked.Send, flagRevokedListen: revoked.Listen} {
		if on {
			e.flags |= flag
		}
	}
}

func (p *plan) sealEndpoint(s *step, e, old *Endpoint, keys *KeySpec, f *faults) error {
	if old != nil {
		e.sealed = old.sealed
		if keys == nil {
			return nil
		}
	}
	ring := keyring{keys: make([]string, keysPerEndpoint)}
	if old != nil {
		var err error
		if ring.keys, err = p.d.unseal(p.key, KindEndpoint, old.key, old.sealed, 0, keysPerEndpoint, ring.keys[:0]); err != nil {
			return err
		}
	}
	if keys == nil {
		keys = new(KeySpec)
	}
	if field, why := ring.give(sendKeys, "keys.send", keys.Send); why != "" {
		f.add(field, "%s", why)
	}
	if field, why := ring.give(listenKeys, "keys.listen", keys.Listen); why != "" {
		f.add(field, "%s", why)
	}
	if s.changed = ring.changed; len(s.changed) > 0 {
		e.sealed = p.d.seal(p.key, KindEndpoint, e.key, ring.keys)
	}
	return nil
}

// storeEndpoint makes the row of e, the endpoint as it is to be.
func (p *plan) storeEndpoint(s *step, e, old *Endpoint) error {
	var err error
	if s.value, err = appendEndpoint(make([]byte, 0, 384), e); err != nil {
		return err
	}
	s.made = e
	if old == nil {
		return nil
	}
	var space [512]byte
	before, err := appendEndpoint(space[:0], old)
	s.same = bytes.Equal(before, s.value)
	return err
}
