package auth

import (
	"crypto/tls"
	"crypto/x509"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse"
)

func TestBindingProof(t *testing.T) {
	t.Parallel()
	const both = gatehouse.RightSend | gatehouse.RightListen
	issuer := strings.Repeat("i", 32)
	base := Binding{Mark: DNSName, Value: "a.example", Issuer: issuer, Rights: both}
	id := gatehouse.Identity{Account: "Acme", Endpoint: "Pump-7", Rights: gatehouse.RightSend, Proof: base.Proof("acme", "pump-7")}
	if !base.Proves(&id) {
		t.Error("the proof depends on the case of names, or on rights that were not used")
	}
	for name, b := range map[string]Binding{
		"mark":   {Mark: CommonName, Value: base.Value, Issuer: issuer, Rights: both},
		"value":  {Mark: DNSName, Value: "b.example", Issuer: issuer, Rights: both},
		"issuer": {Mark: DNSName, Value: base.Value, Rights: both},
		"moved":  {Mark: DNSName, Value: issuer + base.Value, Rights: both},
		"rights": {Mark: DNSName, Value: base.Value, Issuer: issuer, Rights: gatehouse.RightListen},
	} {
		if b.Proves(&id) {
			t.Errorf("another %s proves the same", name)
		}
	}
	id.Endpoint = "pump-70"
	if base.Proves(&id) {
		t.Error("it proves another endpoint")
	}
}

func TestFromTLS(t *testing.T) {
	t.Parallel()
	leaf := new(x509.Certificate)
	for _, s := range []*tls.ConnectionState{nil, {}} {
		if c, ok := FromTLS(s); ok {
			t.Errorf("%v of nothing", c)
		}
	}
	if c, ok := FromTLS(&tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}}); !ok || len(c.Chain) != 1 || c.Chain[0] != leaf {
		t.Errorf("%v, %v", c, ok)
	}
}
