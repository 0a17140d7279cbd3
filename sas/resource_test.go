package sas

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse"
)

func TestParseResource(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, in string
		readings []string // as String shows them
	}{
		{"Go SDK", "amqps%3a%2f%2fhost%2fhub%2fpublishers%2fdev+a", []string{"/hub/publishers/dev%20a"}},
		{"JS SDK", "sb%3A%2F%2Fhost%2FHub%2FPublishers%2FDev%20A", []string{"/hub/publishers/dev%20a"}},
		{".NET", "https%3a%2f%2fhost%2fhub", []string{"/hub"}},
		{"not encoded", "sb://host/hub", []string{"/hub"}},
		{"port and user dropped", "AMQP://me:pw@Host:5672/Hub/", []string{"/hub"}},
		{"other ports are the same", "wss://host:443/hub", []string{"/hub"}},
		{"IPv6", "amqps://[::1]:5671/hub", []string{"/hub"}},
		{"slashes collapsed", "https://host//a///b//", []string{"/a/b"}},
		{"spaces around", "+sb://host/a+", []string{"/a"}},
		{"namespace", "sb://host/", []string{"/"}},
		{"namespace without slash", "sb://host", []string{"/"}},
		{"a request's path", "/acme/Inboxes/Pump-7/$DeadLetterQueue", []string{"/acme/inboxes/pump-7/$deadletterqueue"}},
		{"a bare address, or a host", "acme/publishers/pump-7", []string{"/acme/publishers/pump-7", "/publishers/pump-7"}},
		{"a bare host, or an account", "acme", []string{"/acme", "/"}},
		{"a host with a port and no scheme", "host:5671/acme", []string{"/acme"}},
		{"only ASCII is folded", "sb://h/\u212a", []string{"/%E2%84%AA"}},
		{"a scheme within the path is none", "acme/a://b", []string{"/acme/a%3A/b", "/a%3A/b"}},
		{"empty", "", []string{"/"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r, err := ParseResource(tt.in)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for reading := range r.Readings() {
				got = append(got, reading.String())
			}
			if !slices.Equal(got, tt.readings) {
				t.Errorf("readings %q, want %q", got, tt.readings)
			}
		})
	}
	for _, bad := range []string{"%", "%4", "sb://h/%g0", "ftp://h/x", "://h", "a\x00b", "a%0ab", strings.Repeat("a", MaxToken+1)} {
		if _, err := ParseResource(bad); !errors.Is(err, gatehouse.Invalid) {
			t.Errorf("%.20q: error %v, want Invalid", bad, err)
		}
	}
}

func TestCovers(t *testing.T) {
	t.Parallel()
	tests := []struct {
		resource, address string
		want              bool
	}{
		{"sb://h/a/b", "/a/b", true},
		{"sb://h/a/b", "/a/b/c", true},
		{"sb://h/A/B", "/a/B/C", true},
		{"sb://h/a/b", "/a/bc", false},
		{"sb://h/a/b", "/a", false},
		{"sb://h/a/b", "/a/c", false},
		{"sb://h", "/a/b", true},
		{"sb://h/a", "sb://other:1234/a/b", true},
		{"h.example.com/a/b", "/a/b/c", true}, // first segment a host
		{"a/b", "/a/b/c", true},               // first segment a name
		{"a/b", "/b/c", true},                 // or a host
		{"/a/b", "/b/c", false},               // a leading slash: no host
		{"sb://a/b", "/a/b", false},           // a scheme: a host
		{"sb://h/a%2Fb", "/a/b", true},        // an encoded slash separates as any other
		{"sb://h/a/%2e%2e/b", "/b", false},    // dots are names like any other
		{"sb://h/acme", "/acme.evil/inboxes", false},
	}
	for _, tt := range tests {
		r, err := ParseResource(tt.resource)
		if err != nil {
			t.Fatal(err)
		}
		a, err := ParseResource(tt.address)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Covers(a); got != tt.want {
			t.Errorf("%q covers %q: %v, want %v", tt.resource, tt.address, got, tt.want)
		}
	}
	if Path("Acme", "inboxes", "Pump-7") != Path("acme", "INBOXES", "pump-7") {
		t.Error("Path does not fold")
	}
	if !(Resource{}).IsZero() || Path("a").IsZero() {
		t.Error("IsZero")
	}
	if got := Path("a", "b").Segments(); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("segments %q", got)
	}
}

func FuzzParseResource(f *testing.F) {
	for _, s := range []string{"amqps%3a%2f%2fhost%2fhub+1", "sb://h:1/A//b/", "a/b", "/", "a", "%25%2f+", "host:1/x", "a://b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseResource(s)
		if err != nil {
			return
		}
		if strings.Contains(r.path, "//") || strings.HasPrefix(r.path, "/") || strings.HasSuffix(r.path, "/") {
			t.Fatalf("%q: path %q has an empty segment", s, r.path)
		}
		if len(r.String()) > MaxToken {
			return // encoding made it too long to read again
		}
		again, err := ParseResource(r.String())
		if err != nil || again != r {
			t.Fatalf("%q: %#v, read again from %q as %#v (%v)", s, r, r.String(), again, err)
		}
		if !r.Covers(Path(strings.Split(r.path, "/")...)) {
			t.Fatalf("%q does not cover itself", s)
		}
	})
}
