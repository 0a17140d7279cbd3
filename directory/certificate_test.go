package directory_test

import (
	"context"
	"reflect"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/auth"
	"github.com/gatehouse/gatehouse/directory"
)

const certified = `
account: acme
endpoints:
  - name: pump-7
    description: a pump
    certificates:
      - {sha256: "` + strings30 + `:AB:cd"}
      - {sha256: ` + zeros + `, rights: [listen]}
      - {dns: Pump-7.Example.COM, rights: [listen, send]}
      - {uri: "spiffe://example.com/pump-7", issuer: ` + zeros + `}
      - {commonName: pump 7, rights: [send]}
`

const (
	strings30 = "01:02:03:04:05:06:07:08:09:0a:0b:0c:0d:0e:0f:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E"
	zeros     = "0000000000000000000000000000000000000000000000000000000000000000"
)

// What a file lists is what is asked for, is exported, and is there again when
// the directory is opened anew.
func TestCertificates(t *testing.T) {
	t.Parallel()
	const both = gatehouse.RightSend | gatehouse.RightListen
	var hash []byte
	for i := range 30 {
		hash = append(hash, byte(i+1))
	}
	nothing := string(make([]byte, 32))
	want := []auth.Binding{
		{Mark: auth.Thumbprint, Value: string(append(hash, 0xab, 0xcd)), Rights: both},
		{Mark: auth.Thumbprint, Value: nothing, Rights: gatehouse.RightListen},
		{Mark: auth.DNSName, Value: "pump-7.example.com", Rights: both},
		{Mark: auth.URI, Value: "spiffe://example.com/pump-7", Issuer: nothing, Rights: both},
		{Mark: auth.CommonName, Value: "pump 7", Rights: gatehouse.RightSend},
	}
	e := newEngine(t)
	d := open(t, e)
	if _, err := d.Apply(context.Background(), parse(t, certified), true); err != nil {
		t.Fatal(err)
	}
	for _, d := range []*directory.Directory{d, open(t, e)} {
		got, err := d.CertificateBindings("ACME", "Pump-7")
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v, %v; want %+v", got, err, want)
		}
		file, err := d.Export("acme")
		if err != nil || file.Endpoints[0].Description != "a pump" {
			t.Fatal(file, err)
		}
		exported := file.Endpoints[0].Certificates
		for i, s := range []directory.CertificateSpec{
			{SHA256: strings.ToLower(strings.ReplaceAll(strings30, ":", "")) + "abcd"},
			{SHA256: zeros, Rights: []string{"listen"}},
			{DNS: "pump-7.example.com"},
			{URI: "spiffe://example.com/pump-7", Issuer: zeros},
			{CommonName: "pump 7", Rights: []string{"send"}},
		} {
			if !reflect.DeepEqual(exported[i], s) {
				t.Errorf("exported as %+v, want %+v", exported[i], s)
			}
		}
		if diff, err := d.Diff(context.Background(), file, true); err != nil || len(diff) != 0 {
			t.Errorf("what was exported differs: %s, %v", short(diff), err)
		}
	}
	if _, err := d.CertificateBindings("acme", "pump-8"); gatehouse.KindOf(err) != gatehouse.NotFound {
		t.Errorf("of an endpoint that is not there: %v", err)
	}
	f := parse(t, "account: acme\nendpoints: [{name: pump-7, description: a pump}]\n")
	diff, err := d.Apply(context.Background(), f, true)
	if err != nil || len(diff) != 1 || !strings.HasPrefix(diff[0].Fields[0].Field, "certificates") {
		t.Fatalf("leaving them out: %s, %v", short(diff), err)
	}
	if got, err := d.CertificateBindings("acme", "pump-7"); err != nil || got != nil {
		t.Errorf("left out, they are %+v, %v", got, err)
	}
}

func TestCertificatesThatAreRefused(t *testing.T) {
	t.Parallel()
	d := open(t, newEngine(t))
	acme(t, d)
	for text, list := range map[string][]directory.CertificateSpec{
		`certificates[0]: it says nothing of the certificate`:               {{Rights: []string{"send"}}},
		`certificates[0]: it has more than one mark`:                        {{SHA256: zeros, DNS: "a.example"}},
		`certificates[1]: it is listed before`:                              {{SHA256: zeros}, {SHA256: zeros, Rights: []string{"send"}}},
		`certificates[0].sha256: it is not a thumbprint in hex`:             {{SHA256: "sha256 Fingerprint=" + strings30}},
		`certificates[0].sha256: it has 20 bytes, as SHA-1 has`:             {{SHA256: zeros[:40]}},
		`certificates[0].sha256: it has 30 bytes`:                           {{SHA256: strings30}},
		`certificates[0].dns: it has a wildcard`:                            {{DNS: "*.example.com"}},
		`certificates[0].dns: "pump 7" is not a DNS name`:                   {{DNS: "pump 7"}},
		`certificates[0].dns: "a..b" is not a DNS name`:                     {{DNS: "a..b"}},
		`certificates[0].uri: it is not a URI`:                              {{URI: "pump-7"}},
		`certificates[0].commonName: it is not a text`:                      {{CommonName: "pump\x007"}},
		`certificates[0].issuer: a thumbprint stands`:                       {{SHA256: zeros, Issuer: zeros}},
		`certificates[0].issuer: it is not a thumbprint`:                    {{DNS: "a.example", Issuer: "acme"}},
		`certificates[0].rights: a certificate can have the rights send`:    {{SHA256: zeros, Rights: []string{"manage"}}},
		`certificates[1].rights: a certificate can have the rights send an`: {{SHA256: zeros}, {DNS: "a.example", Rights: []string{"sing"}}},
		`certificates: there are 17; at most 16 are allowed`:                make([]directory.CertificateSpec, 17),
	} {
		_, err := d.Put(context.Background(), "acme", &directory.EndpointSpec{Name: "pump", Certificates: list}, 0)
		wantKind(t, err, gatehouse.Invalid, `endpoint "pump": `+text)
	}
}
