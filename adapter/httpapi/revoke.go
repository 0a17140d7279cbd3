package httpapi

import (
	"net/http"
	"time"
)

// maxRevocation bounds the body of a revocation, which is a short document.
const maxRevocation = 64 << 10

// revoke serves PUT and DELETE of a revoked publisher.
func (c *call) revoke() error {
	publisher := c.target.endpoint
	if c.r.Method == http.MethodDelete {
		if err := c.Revoker.Restore(c.r.Context(), c.session, publisher); err != nil {
			return err
		}
		c.w.WriteHeader(http.StatusOK)
		return nil
	}
	body, err := c.readBody(maxRevocation)
	if err != nil {
		return err
	}
	if err := parseRevocation(body, publisher); err != nil {
		return err
	}
	if err := c.Revoker.Revoke(c.r.Context(), c.session, publisher); err != nil {
		return err
	}
	entry, err := formatEntry(c.base()+"/revokedpublishers", publisher, time.Now())
	if err != nil {
		return err
	}
	return c.answer(http.StatusCreated, typeEntry, entry)
}

// listRevoked serves GET of the revoked publishers.
func (c *call) listRevoked() error {
	publishers, err := c.Revoker.Revoked(c.r.Context(), c.session)
	if err != nil {
		return err
	}
	feed, err := formatFeed(c.base()+"/revokedpublishers", publishers, time.Now())
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, typeFeed, feed)
}

// base returns the URI of the account as the client knows it.
func (c *call) base() string {
	return c.protocol + "://" + c.r.Host + "/" + string(c.target.account)
}
