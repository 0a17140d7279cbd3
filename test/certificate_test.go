package test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// certificate is "certificate NAME [-by NAME] [-dns NAME] [-uri URI] [-cn NAME]
// [-for ca|DURATION]" in scripts. It writes a certificate to NAME.pem and
// its key to NAME.key, self-signed unless -by says whose it is, good for a day unless -for
// gives another time, which may have passed. The thumbprint becomes the variable
// NAME. "ca" makes an authority.
func certificate(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args)%2 == 0 {
		ts.Fatalf("usage: certificate NAME [-by NAME] [-dns NAME] [-uri URI] [-cn NAME] [-for ca|DURATION]")
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: args[0]},
		NotBefore: time.Now().AddDate(-1, 0, 0), NotAfter: time.Now().AddDate(0, 0, 1),
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	parent, signer := c, key
	for flags := args[1:]; len(flags) > 0; flags = flags[2:] {
		switch value := flags[1]; flags[0] {
		case "-by":
			pair, err := tls.X509KeyPair(both(ts, value))
			ts.Check(err)
			parent, signer = pair.Leaf, pair.PrivateKey.(*ecdsa.PrivateKey)
		case "-dns":
			c.DNSNames = append(c.DNSNames, value)
		case "-uri":
			u, err := url.Parse(value)
			ts.Check(err)
			c.URIs = append(c.URIs, u)
		case "-cn":
			c.Subject.CommonName = value
		case "-for":
			if value == "ca" {
				c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
				continue
			}
			d, err := time.ParseDuration(value)
			ts.Check(err)
			c.NotAfter = time.Now().Add(d)
		default:
			ts.Fatalf("certificate: there is no %s", flags[0])
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	ts.Check(err)
	keyText, err := x509.MarshalECPrivateKey(key)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".key"), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyText}), 0o600))
	hash := sha256.Sum256(der)
	ts.Setenv(args[0], hex.EncodeToString(hash[:]))
}

// both returns a certificate and its key, as tls.X509KeyPair takes them.
func both(ts *testscript.TestScript, name string) (certificate, key []byte) {
	return []byte(ts.ReadFile(name + ".pem")), []byte(ts.ReadFile(name + ".key"))
}

// showing returns a client as c that shows a certificate, NAME.pem with NAME.key. It keeps no
// connection.
func showing(ts *testscript.TestScript, c *http.Client, name string) *http.Client {
	pair, err := tls.X509KeyPair(both(ts, strings.TrimSuffix(name, ".pem")))
	ts.Check(err)
	transport := c.Transport.(*http.Transport).Clone()
	transport.DisableKeepAlives = true
	transport.TLSClientConfig.Certificates = []tls.Certificate{pair}
	return &http.Client{Transport: transport, Timeout: c.Timeout}
}
