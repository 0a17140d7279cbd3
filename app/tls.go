package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"path/filepath"
	"time"

	"github.com/gatehouse/gatehouse/adapter/httpapi"
	"github.com/gatehouse/gatehouse/app/certs"
	"github.com/gatehouse/gatehouse/config"
)

// An identity is what TLS listeners show, and whom they trust.
type identity struct {
	server    *tls.Config
	authority string         // file with the local authority, if there is one
	clients   *x509.CertPool // the authorities of client certificates; nil: none
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
		a.tls.clients = pool
	}
	return nil
}

// tlsOf returns the configuration of a listener that speaks TLS.
//
// Clients are asked for a certificate without saying whose, and whatever they
// show is let through: one that an endpoint lists by its thumbprint need not be
// issued by anyone, and clients with one would not show it if authorities were
// named. Package auth/cert verifies it, when it is used as a proof.
func (a *App) tlsOf(k adapterKind, l *config.Listener) *tls.Config {
	c := a.tls.server.Clone()
	if asks(a.Config, k, l) {
		c.ClientAuth = tls.RequestClientCert
	}
	return c
}

// asks reports whether the clients of a listener are asked for a certificate.
func asks(cfg *config.Config, k adapterKind, l *config.Listener) bool {
	for _, said := range [...]string{l.ClientCertificates, cfg.TLS.ClientCertificates} {
		if said != "" {
			return said == config.Ask
		}
	}
	return k.name != httpapi.ProtocolTLS || cfg.TLS.ClientCA != ""
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
