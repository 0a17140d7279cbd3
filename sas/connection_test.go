package sas

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"

	"github.com/google/go-cmp/cmp"
)

func TestParseConnectionString(t *testing.T) {
	t.Parallel()
	token := Sign("sb://h/acme/inboxes/pump-7", "listen", "k", time.Unix(2e9, 0))
	tests := []struct {
		name, in string
		want     ConnectionString
	}{
		{
			"as Azure shows it; a key may contain =",
			"Endpoint=sb://gw.example.com/;SharedAccessKeyName=listen;SharedAccessKey=abc=def==;EntityPath=acme/inboxes/pump-7",
			ConnectionString{Host: "gw.example.com", KeyName: "listen", Key: "abc=def==", EntityPath: "acme/inboxes/pump-7"},
		},
		{
			"names in any case, spaces, empty parts, any order",
			" ; sharedaccesskey = k ;; ENDPOINT=sb://GW:5671 ;sharedaccesskeyname=p; ",
			ConnectionString{Host: "gw:5671", KeyName: "p", Key: "k"},
		},
		{
			"ready token", "Endpoint=sb://h/;SharedAccessSignature=" + token + ";EntityPath=q",
			ConnectionString{Host: "h", Token: token, EntityPath: "q"},
		},
		{
			"ready token in another case, which JS would not know",
			"Endpoint=sb://h/;SharedAccessSignature=" + strings.Replace(token, Scheme, "sharedaccesssignature", 1),
			ConnectionString{Host: "h", Token: token},
		},
		{
			"emulator", "Endpoint=sb://localhost;SharedAccessKeyName=p;SharedAccessKey=k;UseDevelopmentEmulator=True",
			ConnectionString{Host: "localhost", KeyName: "p", Key: "k", Emulator: true},
		},
		{
			"unknown names are passed over", "Endpoint=amqps://[::1]:5671;SharedAccessKeyName=p;SharedAccessKey=k;TransportType=AmqpWebSockets",
			ConnectionString{Host: "[::1]:5671", KeyName: "p", Key: "k"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := ParseConnectionString(tt.in)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, *got); diff != "" {
				t.Fatal(diff)
			}
			again, err := ParseConnectionString(got.String())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(got, again); diff != "" {
				t.Errorf("read again from %s: %s", got, diff)
			}
		})
	}
}

func TestParseConnectionStringRefuses(t *testing.T) {
	t.Parallel()
	token := Sign("sb://h/q", "p", "hunter2", time.Unix(2e9, 0))
	tests := []struct{ name, in, says string }{
		{"empty", "", "Endpoint is missing"},
		{"no endpoint", "SharedAccessKeyName=p;SharedAccessKey=hunter2", "Endpoint is missing"},
		{"no key", "Endpoint=sb://h;SharedAccessKeyName=p", "SharedAccessKey is missing"},
		{"no key name", "Endpoint=sb://h;SharedAccessKey=hunter2", "SharedAccessKeyName is missing"},
		{"no secret", "Endpoint=sb://h;EntityPath=q", "neither"},
		{"both secrets", "Endpoint=sb://h;SharedAccessKey=hunter2;SharedAccessSignature=" + token, "excludes"},
		{"token without its word", "Endpoint=sb://h;SharedAccessSignature=sr=x&sig=hunter2", "SharedAccessSignature: MalformedToken"},
		{"twice", "Endpoint=sb://h;Endpoint=sb://i;SharedAccessKeyName=p;SharedAccessKey=hunter2", "Endpoint is there twice"},
		{"not a pair", "Endpoint=sb://h;hunter2;SharedAccessKeyName=p", "part 2"},
		{"empty value", "Endpoint=;SharedAccessKeyName=p;SharedAccessKey=hunter2", "Endpoint is empty"},
		{"not a URL", "Endpoint=h;SharedAccessKeyName=p;SharedAccessKey=hunter2", "Endpoint is not"},
		{"path in the endpoint", "Endpoint=sb://h/acme;SharedAccessKeyName=p;SharedAccessKey=hunter2", "EntityPath"},
		{"bad flag", "Endpoint=sb://h;SharedAccessKeyName=p;SharedAccessKey=hunter2;UseDevelopmentEmulator=yes", "UseDevelopmentEmulator"},
		{"control character", "Endpoint=sb://h;SharedAccessKeyName=p;SharedAccessKey=hunter2\x00x", "control character"},
		{"too long", "Endpoint=sb://h;SharedAccessKeyName=p;SharedAccessKey=" + strings.Repeat("x", MaxToken+1), "8193 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := ParseConnectionString(tt.in)
			if !errors.Is(err, gatehouse.Invalid) {
				t.Fatalf("error %v, want Invalid", err)
			}
			if !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error %q does not say %q", err, tt.says)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("error %q shows a secret", err)
			}
		})
	}
}

// A client that signs for the connection string's resource gets a token for
// its entity.
func TestConnectionStringResource(t *testing.T) {
	t.Parallel()
	c := ConnectionString{Host: "h:5671", KeyName: "listen", Key: "k", EntityPath: "Acme/Inboxes/Pump-7"}
	tok, err := Parse(Sign(c.Resource(), c.KeyName, c.Key, time.Unix(2e9, 0)))
	if err != nil {
		t.Fatal(err)
	}
	if want := Path("acme", "inboxes", "pump-7"); tok.Resource() != want {
		t.Errorf("resource %v, want %v", tok.Resource(), want)
	}
}

func FuzzParseConnectionString(f *testing.F) {
	f.Add("Endpoint=sb://gw.example.com/;SharedAccessKeyName=listen;SharedAccessKey=abc=;EntityPath=acme/inboxes/pump-7")
	f.Add("Endpoint=sb://h:1;SharedAccessSignature=" + Sign("sb://h/q", "p", "k", time.Unix(2e9, 0)) + ";UseDevelopmentEmulator=true;")
	f.Add(";;=;a=b")
	f.Fuzz(func(t *testing.T, s string) {
		c, err := ParseConnectionString(s)
		if err != nil {
			return
		}
		again, err := ParseConnectionString(c.String())
		if err != nil {
			t.Fatalf("%q: read again from %q: %v", s, c, err)
		}
		if *again != *c {
			t.Fatalf("%q: %#v, read again as %#v", s, c, again)
		}
	})
}
