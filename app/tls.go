package app

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"path/filepath"
	"time"

	"github.com/gatehouse/gatehouse/app/certs"
)

// An identity is what TLS listeners show, and whom they ask for a certificate.
type identity struct {
	server    *tls.Config
	authority string // file with the local authority, if there is one
}

// path returns the place of something in the data folder.
func (a *App) path(name string) string { return filepath.Join(a.Config.Data, name) }

// openTLS finds the certificate, or makes one, if any listener needs it.
func (a *App) openTLS(context.Context) error {
	a.tls = new(identity)
	if !needsTLS(a.Config) {
		return nil
	}
	certificate, key := a.Config.TLS.Certificate, a.Config.TLS.Key
	if certificate == "" {
		local, err := certs.Ensure(a.path("tls"), certs.Names(), time.Now())
		if err != nil {
			return err
		}
		a.sayMade(local)
		certificate, key, a.tls.authority = local.Certificate, local.Key, local.Authority
	}
	source, err := certs.Open(certificate, key, a.logger)
	if err != nil {
		return a.Config.Faultf("tls", "%v", err)
	}
	a.tls.server = source.Config()
	if file := a.Config.TLS.ClientCA; file != "" {
		pool, err := certs.Authorities(file)
		if err != nil {
			return a.Config.Faultf("tls.clientCA", "%v", err)
		}
		a.tls.server.ClientCAs, a.tls.server.ClientAuth = pool, tls.VerifyClientCertIfGiven
	}
	return nil
}

func (a *App) sayMade(l *certs.Local) {
	if l.MadeAuthority {
		a.logger.Info("no certificate is configured: a local authority was made; clients must trust it", "ca", l.Authority)
	}
	if l.MadeCertificate {
		a.logger.Info("a certificate of the local authority was made", "file", l.Certificate, "names", certs.Names())
	}
}

// ignoreClosed passes over the error of closing what is closed already.
func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
