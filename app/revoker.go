package app

import (
	"context"
	"slices"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/directory"
	"github.com/gatehouse/gatehouse/gate"
)

// A revoker revokes publishers for clients of Azure's REST operations.
type revoker struct{ directory *directory.Directory }

// Revoke withdraws the publisher of an endpoint.
func (r revoker) Revoke(ctx context.Context, s *gate.Session, publisher gatehouse.EndpointName) error {
	account := s.Identity().Account
	e, err := r.endpoint(account, publisher)
	if err != nil {
		return err
	}
	if e.Revoked().Send {
		return gatehouse.Errorf(gatehouse.Conflict, "the publisher of endpoint %q is revoked already", e.Name())
	}
	return r.directory.Revoke(ctx, account, publisher, directory.Revoked{Send: true})
}

// Restore gives it back.
func (r revoker) Restore(ctx context.Context, s *gate.Session, publisher gatehouse.EndpointName) error {
	return r.directory.Restore(ctx, s.Identity().Account, publisher, directory.Revoked{Send: true})
}

// Revoked lists the publishers of the session's account that are revoked.
func (r revoker) Revoked(_ context.Context, s *gate.Session) ([]gatehouse.EndpointName, error) {
	account := r.directory.Current().Account(s.Identity().Account)
	if account == nil {
		return nil, gatehouse.Errorf(gatehouse.NotFound, "account %q is gone", s.Identity().Account)
	}
	names := slices.Collect(func(yield func(gatehouse.EndpointName) bool) {
		for e := range account.Endpoints("") {
			if e.Revoked().Send && !yield(e.Name()) {
				return
			}
		}
	})
	return names, nil
}

func (r revoker) endpoint(a gatehouse.AccountName, name gatehouse.EndpointName) (*directory.Endpoint, error) {
	if account := r.directory.Current().Account(a); account != nil {
		if e := account.Endpoint(name); e != nil {
			return e, nil
		}
	}
	return nil, gatehouse.Errorf(gatehouse.NotFound, "account %q has no endpoint %q", a, name)
}
