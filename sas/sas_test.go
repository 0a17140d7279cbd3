package sas

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"

	"pgregory.net/rapid"
)

// independent is what a token's signature must be, by another implementation
// of HMAC than the package's.
func independent(key, sr, se string) string {
	h := hmac.New(sha256.New, []byte(key))
	h.Write([]byte(sr + "\n" + se))
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// Signatures that real SDKs and the service made; they pin the string-to-sign
// (raw sr, one LF, se) and the key (its text, not what it decodes to).
func TestVerifyVectors(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, key, sr, se, sig string
	}{
		{"plain", "key", "audience", "1578099723", "8UM0iIfFCfeBSqxSdBMW8pUbhAm7mnjSUaIZTZx8V0g="},
		{"Go SDK: form-encoded, lower case", "SAS_KEY_VALUE", "amqp%3a%2f%2flocalhost%3a5672%2fdev-q", "1795337596", "28NDDa1nNauYIHNsxlzdjs1CB/syUDTcrGi8Ro9AbvE="},
		{"JS SDK: encodeURIComponent, upper-case hex", "SAS_KEY_VALUE", "sb%3A%2F%2Flocalhost%3A5672%2Fdev-q", "1795334034", "Dm3PXgRNqhi92xR6DqZdtNY9NdPi+YlXO55IselqhZo="},
		{"Go SDK: plus for a space", "SAS_KEY_VALUE", "amqp%3a%2f%2flocalhost%3a5672%2fhub+1%2fpublishers%2fdev+a", "1795337596", "S75mXdbBAVKlrw6GpaPAwUZ3ltOJ4g1a5FA3gQqQ9WY="},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			forms := map[string]string{
				"SDK order":         Scheme + " sr=" + tt.sr + "&sig=" + url.QueryEscape(tt.sig) + "&se=" + tt.se + "&skn=send",
				"vendor docs order": Scheme + " sig=" + url.QueryEscape(tt.sig) + "&se=" + tt.se + "&skn=send&sr=" + tt.sr,
				// Sloppy clients send raw base64: a plus stays a plus.
				"raw signature": Scheme + " sr=" + tt.sr + "&sig=" + tt.sig + "&se=" + tt.se + "&skn=send",
			}
			for form, token := range forms {
				tok, err := Parse(token)
				if err != nil {
					t.Fatalf("%s: %v", form, err)
				}
				if !tok.Verify(tt.key) {
					t.Errorf("%s: the right key does not verify", form)
				}
				for _, wrong := range []string{"", tt.key + " ", strings.ToLower(tt.key) + "x", tt.key[1:]} {
					if tok.Verify(wrong) {
						t.Errorf("%s: key %q verifies", form, wrong)
					}
				}
			}
		})
	}
}

// The signed text is the raw one: re-encoding sr, or changing its case, breaks
// the signature though the resource stays the same.
func TestVerifySignsRawText(t *testing.T) {
	t.Parallel()
	sig := url.QueryEscape(independent("k", "sb%3A%2F%2Fh%2FAcme", "2000000000"))
	good, err := Parse(Scheme + " sr=sb%3A%2F%2Fh%2FAcme&sig=" + sig + "&se=2000000000&skn=p")
	if err != nil || !good.Verify("k") {
		t.Fatalf("verify: %v", err)
	}
	for _, sr := range []string{"sb%3a%2f%2fh%2facme", "sb%3A%2F%2Fh%2Facme", "sb://h/Acme"} {
		tok, err := Parse(Scheme + " sr=" + sr + "&sig=" + sig + "&se=2000000000&skn=p")
		if err != nil {
			t.Fatal(err)
		}
		if tok.Resource() != good.Resource() {
			t.Errorf("%s: resource %v, want %v", sr, tok.Resource(), good.Resource())
		}
		if tok.Verify("k") {
			t.Errorf("%s: verifies a signature made over another text", sr)
		}
	}
	if tok, _ := Parse(Scheme + " sr=sb%3A%2F%2Fh%2FAcme&sig=" + sig + "&se=02000000000&skn=p"); tok.Verify("k") {
		t.Error("se is signed as a number, not as its text")
	}
}

func TestParseFields(t *testing.T) {
	t.Parallel()
	sig := independent("k", "x", "1")
	tests := []struct {
		name, token, policy string
	}{
		{"policy name is percent-decoded (JS)", "SharedAccessSignature sr=x&sig=" + sig + "&se=1&skn=a%20b%2Bc", "a b+c"},
		{"plus in a policy name stays (Go)", "SharedAccessSignature sr=x&sig=" + sig + "&se=1&skn=a+b", "a+b"},
		{"unknown fields are passed over", "SharedAccessSignature sr=x&sig=" + sig + "&se=1&skn=p&v=2&&", "p"},
		{"the scheme in any case, spaces around", "  sharedaccesssignature sr=x&sig=" + sig + "&se=1&skn=p \r\n", "p"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tok, err := Parse(tt.token)
			if err != nil {
				t.Fatal(err)
			}
			if tok.Policy() != tt.policy {
				t.Errorf("policy %q, want %q", tok.Policy(), tt.policy)
			}
			if !tok.Verify("k") {
				t.Error("does not verify")
			}
		})
	}
}

func TestParseMalformed(t *testing.T) {
	t.Parallel()
	sig := url.QueryEscape(independent("k", "x", "1"))
	tests := []struct{ name, token, says string }{
		{"empty", "", "does not begin"},
		{"another scheme", "Bearer x", "does not begin"},
		{"no space", "SharedAccessSignature", "does not begin"},
		{"too long", "SharedAccessSignature " + strings.Repeat("x", MaxToken), "8214 bytes"},
		{"no sr", "SharedAccessSignature sig=" + sig + "&se=1&skn=p", "sr is missing"},
		{"no sig", "SharedAccessSignature sr=x&se=1&skn=p", "sig is missing"},
		{"no se", "SharedAccessSignature sr=x&sig=" + sig + "&skn=p", "se is missing"},
		{"no skn", "SharedAccessSignature sr=x&sig=" + sig + "&se=1", "skn is missing"},
		{"empty skn", "SharedAccessSignature sr=x&sig=" + sig + "&se=1&skn=", "skn is empty"},
		{"skn of nothing, twice", "SharedAccessSignature sr=h%2Fdevices%2Fd&sig=" + sig + "&se=1&skn=&skn=p", "skn is there twice"},
		{"no skn, a host and no device", "SharedAccessSignature sr=h%2Fdevices&sig=" + sig + "&se=1", "skn is missing"},
		{"no skn, a device of no host", "SharedAccessSignature sr=%2Fh%2Fdevices%2Fd&sig=" + sig + "&se=1", "skn is missing"},
		{"no skn, a module of a device", "SharedAccessSignature sr=h%2Fdevices%2Fd%2Fmodules%2Fm&sig=" + sig + "&se=1", "skn is missing"},
		{"no skn, an address of ours", "SharedAccessSignature sr=acme%2Fpublishers%2Fpump-7&sig=" + sig + "&se=1", "skn is missing"},
		{"empty skn, an address of ours", "SharedAccessSignature sr=acme%2Fpublishers%2Fpump-7&sig=" + sig + "&se=1&skn=", "skn is empty"},
		{"sr twice", "SharedAccessSignature sr=x&sr=y&sig=" + sig + "&se=1&skn=p", "sr is there twice"},
		{"bad escape in sr", "SharedAccessSignature sr=%zz&sig=" + sig + "&se=1&skn=p", "sr"},
		{"cut escape in skn", "SharedAccessSignature sr=x&sig=" + sig + "&se=1&skn=p%2", "skn"},
		{"unknown scheme in sr", "SharedAccessSignature sr=ftp%3a%2f%2fh%2fx&sig=" + sig + "&se=1&skn=p", "sr"},
		{"control character in sr", "SharedAccessSignature sr=a%00b&sig=" + sig + "&se=1&skn=p", "sr"},
		{"sig not base64", "SharedAccessSignature sr=x&sig=" + strings.Repeat("!", 44) + "&se=1&skn=p", "sig"},
		{"sig too short", "SharedAccessSignature sr=x&sig=AAAA&se=1&skn=p", "sig"},
		{"sig with line breaks", "SharedAccessSignature sr=x&sig=" + sig[:10] + "%0A" + sig[10:] + "&se=1&skn=p", "sig"},
		{"sig with stray bits", "SharedAccessSignature sr=x&sig=" + strings.Repeat("A", 42) + "B%3D&se=1&skn=p", "sig"},
		{"se not a number", "SharedAccessSignature sr=x&sig=" + sig + "&se=soon&skn=p", "se"},
		{"se negative", "SharedAccessSignature sr=x&sig=" + sig + "&se=-1&skn=p", "se"},
		{"se a fraction", "SharedAccessSignature sr=x&sig=" + sig + "&se=1.5&skn=p", "se"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse(tt.token)
			if !errors.Is(err, gatehouse.Unauthenticated) {
				t.Fatalf("error %v, want kind Unauthenticated", err)
			}
			if !strings.HasPrefix(err.Error(), "MalformedToken: ") || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error %q does not say %q", err, tt.says)
			}
			if strings.Contains(err.Error(), sig) {
				t.Errorf("error %q shows the signature", err)
			}
		})
	}
}

func TestExpiry(t *testing.T) {
	t.Parallel()
	at := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	tok, err := Parse(Sign("sb://h/x", "p", "k", at.Add(999*time.Millisecond)))
	if err != nil {
		t.Fatal(err)
	}
	if !tok.Expires().Equal(at) {
		t.Errorf("expires %v, want %v", tok.Expires(), at)
	}
	for now, want := range map[time.Time]bool{
		at.Add(-time.Nanosecond): false, at: true, at.Add(time.Hour): true, at.Add(-24 * time.Hour): false,
	} {
		if got := tok.Expired(now); got != want {
			t.Errorf("expired at %v: %v, want %v", now, got, want)
		}
	}
	if got, want := ErrExpired(at).Error(), "ExpiredToken: The token is expired. Expiration time: '2030-01-02T03:04:05Z'."; got != want {
		t.Errorf("error %q, want %q", got, want)
	}
	forever, err := Parse(Scheme + " sr=x&sig=" + independent("k", "x", strings.Repeat("9", 40)) + "&se=" + strings.Repeat("9", 40) + "&skn=p")
	if err != nil {
		t.Fatal(err)
	}
	if forever.Expired(at) || forever.Expires().Year() != 9999 || !forever.Verify("k") {
		t.Errorf("a token for ever: expires %v", forever.Expires())
	}
}

func TestVerifyAny(t *testing.T) {
	t.Parallel()
	tok, err := Parse(Sign("sb://h/x", "p", "new", time.Unix(2e9, 0)))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		primary, secondary, key string
		ok                      bool
	}{
		{"new", "old", "new", true},
		{"old", "new", "new", true},
		{"old", "", "", false},
		{"", "", "", false},
	} {
		if key, ok := tok.VerifyAny(tt.primary, tt.secondary); key != tt.key || ok != tt.ok {
			t.Errorf("VerifyAny(%q, %q) = %q, %v; want %q, %v", tt.primary, tt.secondary, key, ok, tt.key, tt.ok)
		}
	}
	empty, err := Parse(Sign("sb://h/x", "p", "", time.Unix(2e9, 0)))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := empty.VerifyAny("", ""); ok || empty.Verify("") {
		t.Error("a token signed with the empty key verifies")
	}
}

func TestSignForm(t *testing.T) {
	t.Parallel()
	got := Sign("sb://localhost:5672/dev-q", "send", "SAS_KEY_VALUE", time.Unix(1795334034, 0))
	want := "SharedAccessSignature sr=sb%3A%2F%2Flocalhost%3A5672%2Fdev-q&sig=Dm3PXgRNqhi92xR6DqZdtNY9NdPi%2BYlXO55IselqhZo%3D&se=1795334034&skn=send"
	if got != want {
		t.Errorf("token\n%s, want\n%s", got, want)
	}
	// encodeURIComponent leaves these bare and encodes UTF-8 byte by byte.
	if got := escape("aZ0-_.!~*'()/ +é"); got != "aZ0-_.!~*'()%2F%20%2B%C3%A9" {
		t.Errorf("escape: %s", got)
	}
}

// What is signed here verifies, by this package and by another HMAC, for any
// key, resource and policy; with any other key it does not.
func TestSignVerifyProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.StringN(1, 200, -1).Draw(t, "key")
		path := rapid.StringMatching(`[A-Za-z0-9 +%é._/-]{0,40}`).Draw(t, "path")
		policy := rapid.StringMatching(`[A-Za-z0-9 +%é._-]{1,20}`).Draw(t, "policy")
		expiry := time.Unix(rapid.Int64Range(0, maxExpiry).Draw(t, "expiry"), 0)
		text := Sign("sb://host/"+path, policy, key, expiry)
		tok, err := Parse(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if base64.StdEncoding.EncodeToString(tok.mac[:]) != independent(key, tok.sr, tok.se) {
			t.Fatalf("%s: another HMAC disagrees", text)
		}
		if !tok.Verify(key) || tok.Verify(key+"x") {
			t.Fatalf("%s: verifies %v with the key, %v with another", text, tok.Verify(key), tok.Verify(key+"x"))
		}
		if tok.Policy() != policy || !tok.Expires().Equal(expiry) || tok.Resource() != Path(path) {
			t.Fatalf("%s: policy %q, expires %v, resource %v", text, tok.Policy(), tok.Expires(), tok.Resource())
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add("SharedAccessSignature sr=h%2Fdevices%2Fd&sig=28NDDa1nNauYIHNsxlzdjs1CB/syUDTcrGi8Ro9AbvE=&se=1795337596")
	f.Add(Sign("sb://gw.example.com/acme/publishers/pump-7", "send", "key", time.Unix(2e9, 0)))
	f.Add("SharedAccessSignature sr=amqp%3a%2f%2fh%2fhub+1&sig=28NDDa1nNauYIHNsxlzdjs1CB/syUDTcrGi8Ro9AbvE=&se=1795337596&skn=a+b")
	f.Add("SharedAccessSignature sr=%&sig=&se=&skn")
	f.Fuzz(func(t *testing.T, s string) {
		tok, err := Parse(s)
		if err != nil {
			if !errors.Is(err, gatehouse.Unauthenticated) {
				t.Fatalf("kind %v: %v", gatehouse.KindOf(err), err)
			}
			return
		}
		if tok.Policy() == "" {
			if _, _, ok := tok.Resource().Device(); !ok {
				t.Fatalf("%q: neither a policy nor a device", s)
			}
			return
		}
		// Whoever holds the key makes a token of the same meaning from what
		// was read, and it is read the same.
		again, err := Parse(Sign("sb://h/x", tok.Policy(), "k", tok.Expires()))
		if err != nil {
			t.Fatal(err)
		}
		if again.Policy() != tok.Policy() || !again.Expires().Equal(tok.Expires()) || !again.Verify("k") {
			t.Fatalf("%q: read again as policy %q until %v", s, again.Policy(), again.Expires())
		}
	})
}

func BenchmarkParse(b *testing.B) {
	text := Sign("sb://gw.example.com/acme/publishers/pump-7", "send", "2Yb0PxM0nq6dYv1kq1l1Q2m0g8zv7o6nq3Jc0lqVfWE=", time.Unix(2e9, 0))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(text); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	const key = "2Yb0PxM0nq6dYv1kq1l1Q2m0g8zv7o6nq3Jc0lqVfWE="
	tok, err := Parse(Sign("sb://gw.example.com/acme/publishers/pump-7", "send", key, time.Unix(2e9, 0)))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if !tok.Verify(key) {
			b.Fatal("does not verify")
		}
	}
}

// For comparison: the same by crypto/hmac.
func BenchmarkVerifyStandardHMAC(b *testing.B) {
	const key = "2Yb0PxM0nq6dYv1kq1l1Q2m0g8zv7o6nq3Jc0lqVfWE="
	b.ReportAllocs()
	for b.Loop() {
		h := hmac.New(sha256.New, []byte(key))
		h.Write([]byte("sb%3A%2F%2Fgw.example.com%2Facme%2Fpublishers%2Fpump-7\n2000000000"))
		_ = h.Sum(nil)
	}
}
