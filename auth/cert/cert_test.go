package cert_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"math/big"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/auth"
	"github.com/gatehouse/gatehouse/auth/authtest"
	"github.com/gatehouse/gatehouse/auth/cert"
)

const both = gatehouse.RightSend | gatehouse.RightListen

// A party has a certificate, and may issue others.
type party struct {
	*x509.Certificate
	key *ecdsa.PrivateKey
}

// issue makes a certificate that lasts a year around the suite's time, unless
// change says otherwise; by itself if by is nil.
func issue(t testing.TB, by *party, change func(*x509.Certificate)) *party {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "pump"},
		NotBefore: authtest.Now.AddDate(-2, 0, 0), NotAfter: authtest.Now.AddDate(1, 0, 0),
	}
	if change != nil {
		change(c)
	}
	parent, signer := c, key
	if by != nil {
		parent, signer = by.Certificate, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &party{made, key}
}

func authority(c *x509.Certificate) {
	c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
	c.Subject.CommonName = "authority"
	c.NotAfter = authtest.Now.AddDate(10, 0, 0)
}

func pool(all ...*party) *x509.CertPool {
	p := x509.NewCertPool()
	for _, a := range all {
		p.AddCert(a.Certificate)
	}
	return p
}

func chain(all ...*party) auth.Certificate {
	var c auth.Certificate
	for _, p := range all {
		c.Chain = append(c.Chain, p.Certificate)
	}
	return c
}

func hash(p *party) string {
	h := sha256.Sum256(p.Raw)
	return string(h[:])
}

func thumbprint(p *party, r gatehouse.Rights) auth.Binding {
	return auth.Binding{Mark: auth.Thumbprint, Value: hash(p), Rights: r}
}

// bindings are those of endpoints, by account and endpoint.
type bindings struct {
	mu  sync.Mutex
	all map[[2]string][]auth.Binding
	err error
}

func (b *bindings) CertificateBindings(a gatehouse.AccountName, e gatehouse.EndpointName) ([]auth.Binding, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	all, ok := b.all[[2]string{gatehouse.Fold(a), gatehouse.Fold(e)}]
	if !ok && b.err == nil {
		return nil, gatehouse.Errorf(gatehouse.NotFound, "there is no endpoint %q", e)
	}
	return slices.Clone(all), b.err
}

func (b *bindings) add(a gatehouse.AccountName, e gatehouse.EndpointName, all ...auth.Binding) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.all == nil {
		b.all = make(map[[2]string][]auth.Binding)
	}
	at := [2]string{gatehouse.Fold(a), gatehouse.Fold(e)}
	b.all[at] = append(b.all[at], all...)
}

// A mint makes the certificates of a suite, the same for the same claim, and
// binds them.
type mint struct {
	mu   sync.Mutex
	made map[authtest.Claim]auth.Certificate
	make func(c authtest.Claim) (auth.Certificate, auth.Binding)
	all  *bindings
}

func (m *mint) mint(_ testing.TB, c authtest.Claim) auth.Credentials {
	if c.Endpoint == "" || c.Broad {
		return nil
	}
	if c.Wrong { // one stranger for all
		c = authtest.Claim{Wrong: true, Expires: c.Expires}
	}
	c.Account, c.Endpoint = gatehouse.AccountName(gatehouse.Fold(c.Account)), gatehouse.EndpointName(gatehouse.Fold(c.Endpoint))
	m.mu.Lock()
	defer m.mu.Unlock()
	made, ok := m.made[c]
	if !ok {
		var b auth.Binding
		made, b = m.make(c)
		m.made[c] = made
		if !c.Wrong {
			m.all.add(c.Account, c.Endpoint, b)
		}
	}
	return made
}

func lasting(c authtest.Claim) func(*x509.Certificate) {
	return func(t *x509.Certificate) {
		if !c.Expires.IsZero() {
			t.NotAfter = c.Expires
		}
	}
}

// Thumbprints of self-signed certificates, and names in issued ones, keep the
// promises of package auth.
func TestSuite(t *testing.T) {
	t.Parallel()
	root := issue(t, nil, authority)
	strange := issue(t, nil, authority)
	for name, make := range map[string]func(authtest.Claim) (auth.Certificate, auth.Binding){
		"thumbprint": func(c authtest.Claim) (auth.Certificate, auth.Binding) {
			p := issue(t, nil, lasting(c))
			return chain(p), thumbprint(p, c.Right)
		},
		"name": func(c authtest.Claim) (auth.Certificate, auth.Binding) {
			by := root
			if c.Wrong {
				by = strange
			}
			name := hex.EncodeToString([]byte{byte(c.Right)}) + ".example.com"
			p := issue(t, by, func(t *x509.Certificate) {
				lasting(c)(t)
				t.DNSNames = []string{string(c.Account + "." + gatehouse.AccountName(c.Endpoint) + "." + gatehouse.AccountName(name))}
			})
			return chain(p), auth.Binding{Mark: auth.DNSName, Value: p.DNSNames[0], Rights: c.Right}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := &mint{make: make, made: map[authtest.Claim]auth.Certificate{}, all: new(bindings)}
			m.all.add(authtest.Account, authtest.Neighbour)
			m.all.add(authtest.OtherAccount, authtest.Endpoint)
			m.all.add(authtest.Account, authtest.Endpoint, thumbprint(strange, both))
			authtest.Run(t, authtest.Harness{
				Authenticator: cert.New(m.all, pool(root)), Mint: m.mint,
				NotMine: []auth.Credentials{auth.SAS{}, auth.Bearer{}, auth.Password{}, auth.Certificate{}},
			})
		})
	}
}

// verdict asks whether a certificate proves the right to send as the endpoint.
func verdict(c auth.Certificate, authorities *x509.CertPool, need gatehouse.Rights, all ...auth.Binding) (gatehouse.Identity, error) {
	b := new(bindings)
	b.add(authtest.Account, authtest.Endpoint, all...)
	return cert.New(b, authorities).Authenticate(context.Background(), &auth.Request{
		Credentials: c, Account: authtest.Account, Endpoint: authtest.Endpoint, Need: need, Now: authtest.Now,
	})
}

func TestVerdicts(t *testing.T) {
	t.Parallel()
	root := issue(t, nil, authority)
	other := issue(t, nil, authority)
	between := issue(t, root, authority)
	ended := issue(t, root, func(c *x509.Certificate) { authority(c); c.NotAfter = authtest.Now.AddDate(0, 0, -1) })
	names := func(c *x509.Certificate) {
		c.DNSNames = []string{"Pump-7.example.com"}
		c.URIs = []*url.URL{{Scheme: "spiffe", Host: "example.com", Path: "/pump-7"}}
		c.Subject.CommonName = "Pump 7"
	}
	issued, deep, self := issue(t, root, names), issue(t, between, names), issue(t, nil, names)
	wild := issue(t, root, func(c *x509.Certificate) { c.DNSNames = []string{"*.example.com"} })
	server := issue(t, root, func(c *x509.Certificate) { names(c); c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })
	client := issue(t, root, func(c *x509.Certificate) { names(c); c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
	early := issue(t, root, func(c *x509.Certificate) { names(c); c.NotBefore = authtest.Now.Add(time.Hour) })
	late := issue(t, root, func(c *x509.Certificate) { names(c); c.NotAfter = authtest.Now.Add(-time.Hour) })
	orphan := issue(t, ended, names)
	twice := issue(t, root, func(c *x509.Certificate) {
		c.Subject = pkix.Name{ExtraNames: []pkix.AttributeTypeAndValue{{Type: []int{2, 5, 4, 3}, Value: "Pump 7"}, {Type: []int{2, 5, 4, 3}, Value: "pump-8"}}}
	})
	dns := auth.Binding{Mark: auth.DNSName, Value: "pump-7.example.com", Rights: both}
	uri := auth.Binding{Mark: auth.URI, Value: "spiffe://example.com/pump-7", Rights: both}
	common := auth.Binding{Mark: auth.CommonName, Value: "Pump 7", Rights: both}
	by := func(b auth.Binding, p *party) auth.Binding { b.Issuer = hash(p); return b }
	const send, listen = gatehouse.RightSend, gatehouse.RightListen
	for _, tt := range []struct {
		name  string
		shown auth.Certificate
		trust *x509.CertPool
		need  gatehouse.Rights
		bound []auth.Binding
		kind  error
		text  string
	}{
		{"thumbprint, self-signed", chain(self), nil, send, []auth.Binding{thumbprint(self, both)}, nil, ""},
		{"thumbprint, any issuer", chain(issued), nil, send, []auth.Binding{thumbprint(issued, both)}, nil, ""},
		{"thumbprint of the issuer is not that of the leaf", chain(issued, root), pool(root), send, []auth.Binding{thumbprint(root, both)}, gatehouse.Unauthenticated, hex.EncodeToString([]byte(hash(issued)))},
		{"secondary thumbprint", chain(self), nil, listen, []auth.Binding{thumbprint(issued, both), thumbprint(self, both)}, nil, ""},
		{"the right is in another binding of it", chain(issued), pool(root), listen, []auth.Binding{thumbprint(issued, send), dns}, nil, ""},
		{"too few rights", chain(self), nil, listen, []auth.Binding{thumbprint(self, send)}, gatehouse.Forbidden, "add it to the rights"},
		{"manage", chain(self), nil, gatehouse.RightManage, []auth.Binding{thumbprint(self, both)}, gatehouse.Forbidden, ""},
		{"none listed", chain(self), nil, send, nil, gatehouse.Unauthenticated, "tls.clientCA"},

		{"DNS name", chain(issued), pool(root), send, []auth.Binding{dns}, nil, ""},
		{"URI", chain(issued), pool(root), send, []auth.Binding{uri}, nil, ""},
		{"common name", chain(issued), pool(root), send, []auth.Binding{common}, nil, ""},
		{"through others, which it shows", chain(deep, between), pool(root), send, []auth.Binding{dns}, nil, ""},
		{"through others, which it does not", chain(deep), pool(root), send, []auth.Binding{dns}, gatehouse.Unauthenticated, "not one for clients from an authority"},
		{"name in a self-signed one", chain(self), pool(root), send, []auth.Binding{dns, uri, common}, gatehouse.Unauthenticated, ""},
		{"self-signed one that shows the authority as well", chain(self, root), pool(root), send, []auth.Binding{dns, uri, common}, gatehouse.Unauthenticated, ""},
		{"wrong authority", chain(issued), pool(other), send, []auth.Binding{dns}, gatehouse.Unauthenticated, "authority"},
		{"no authority", chain(issued), nil, send, []auth.Binding{dns}, gatehouse.Unauthenticated, "tls.clientCA"},
		{"another name", chain(issued), pool(root), send, []auth.Binding{{Mark: auth.DNSName, Value: "pump-8.example.com", Rights: both}}, gatehouse.Unauthenticated, "neither"},
		{"a wildcard is no name", chain(wild), pool(root), send, []auth.Binding{dns}, gatehouse.Unauthenticated, ""},
		{"common name in another case", chain(issued), pool(root), send, []auth.Binding{{Mark: auth.CommonName, Value: "pump 7", Rights: both}}, gatehouse.Unauthenticated, ""},
		{"DNS name as common name", chain(issued), pool(root), send, []auth.Binding{{Mark: auth.CommonName, Value: "Pump-7.example.com", Rights: both}}, gatehouse.Unauthenticated, ""},
		{"two common names", chain(twice), pool(root), send, []auth.Binding{common}, gatehouse.Unauthenticated, ""},
		{"for servers alone", chain(server), pool(root), send, []auth.Binding{dns}, gatehouse.Unauthenticated, "for clients"},
		{"for clients", chain(client), pool(root), send, []auth.Binding{dns}, nil, ""},
		{"this issuer", chain(issued), pool(root, other), send, []auth.Binding{by(dns, root)}, nil, ""},
		{"an issuer between", chain(deep, between), pool(root), send, []auth.Binding{by(dns, between)}, nil, ""},
		{"another issuer", chain(issued), pool(root, other), send, []auth.Binding{by(dns, other)}, gatehouse.Unauthenticated, ""},
		{"itself as the issuer", chain(issued), pool(root), send, []auth.Binding{by(dns, issued)}, gatehouse.Unauthenticated, ""},

		{"not yet", chain(early), pool(root), send, []auth.Binding{dns}, gatehouse.Unauthenticated, "not valid before"},
		{"not yet, thumbprint", chain(early), nil, send, []auth.Binding{thumbprint(early, both)}, gatehouse.Unauthenticated, "not valid before"},
		{"no more", chain(late), pool(root), send, []auth.Binding{dns}, gatehouse.Expired, "expired at 2031-05-06T06:08:09Z"},
		{"no more, thumbprint", chain(late), nil, send, []auth.Binding{thumbprint(late, both)}, gatehouse.Expired, "expired at"},
		{"no more, and not listed", chain(late), pool(root), send, []auth.Binding{thumbprint(self, both)}, gatehouse.Unauthenticated, "does not prove"},
		{"one above it is no more", chain(orphan, ended), pool(root), send, []auth.Binding{dns}, gatehouse.Unauthenticated, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			id, err := verdict(tt.shown, tt.trust, tt.need, tt.bound...)
			if !errors.Is(err, tt.kind) {
				t.Fatalf("identity %+v, error %v; want %v", id, err, tt.kind)
			}
			if tt.kind == nil && (id.Policy != gatehouse.PolicyCertificate || !id.Expires.Equal(tt.shown.Chain[0].NotAfter)) {
				t.Errorf("identity %+v", id)
			}
			if err != nil && !strings.Contains(err.Error(), tt.text) {
				t.Errorf("the error %q does not say %q", err, tt.text)
			}
		})
	}
}

// What an authority that ends first has issued ends with it.
func TestEndsWithItsAuthority(t *testing.T) {
	t.Parallel()
	end := authtest.Now.Add(time.Hour)
	short := issue(t, nil, func(c *x509.Certificate) { authority(c); c.NotAfter = end })
	leaf := issue(t, short, func(c *x509.Certificate) { c.DNSNames = []string{"a.example"} })
	id, err := verdict(chain(leaf), pool(short), gatehouse.RightSend, auth.Binding{Mark: auth.DNSName, Value: "a.example", Rights: both})
	if err != nil || !id.Expires.Equal(end) {
		t.Fatalf("identity %+v, error %v", id, err)
	}
}

// A certificate proves endpoints only, and that much is said of no stored thing.
func TestNoEndpoint(t *testing.T) {
	t.Parallel()
	self := issue(t, nil, nil)
	b := new(bindings)
	for _, r := range []auth.Request{{Channel: authtest.Channel, Need: gatehouse.RightChannels}, {Need: gatehouse.RightManage}} {
		r.Account, r.Credentials, r.Now = authtest.Account, chain(self), authtest.Now
		if _, err := cert.New(b, nil).Authenticate(context.Background(), &r); !errors.Is(err, gatehouse.Unauthenticated) || !strings.Contains(err.Error(), "policy of the account") {
			t.Errorf("%+v: %v", r, err)
		}
	}
}

func TestBindingsThatCannotBeHad(t *testing.T) {
	t.Parallel()
	b := &bindings{err: errors.New("the disk is gone")}
	_, err := cert.New(b, nil).Authenticate(context.Background(), &auth.Request{
		Credentials: chain(issue(t, nil, nil)), Account: authtest.Account, Endpoint: authtest.Endpoint, Need: gatehouse.RightSend, Now: authtest.Now,
	})
	if !errors.Is(err, gatehouse.Unavailable) || strings.Contains(err.Error(), "disk") {
		t.Fatalf("error %v", err)
	}
}
