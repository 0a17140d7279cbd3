package sas

import (
	"encoding/base64"
	"net/url"
	"strings"
	"testing"
	"time"
)

// The token that npm's azure-iot-common 1.13.3 made for a host, a device and a
// key: SharedAccessSignature.create without the name of a key.
const (
	deviceToken = "SharedAccessSignature sr=acme.gateway.example.com%2Fdevices%2Fpump-7&sig=i%2BBw3Hlf0aQXCXszZBc37cjq%2F6RPAgyO6vp4Zu%2BvVVg%3D&se=2000000000"
	deviceKey   = "dGhlIGtleSBvZiBwdW1wLTcsIG9mIDMyIGJ5dGVzLi4="
)

func TestDeviceToken(t *testing.T) {
	t.Parallel()
	tok, err := Parse(deviceToken)
	if err != nil {
		t.Fatal(err)
	}
	host, device, ok := tok.Resource().Device()
	if host != "acme.gateway.example.com" || device != "pump-7" || !ok || tok.Policy() != "" || !tok.Expires().Equal(time.Unix(2e9, 0)) {
		t.Errorf("device %q at %q, policy %q, until %v", device, host, tok.Policy(), tok.Expires())
	}
	for key, want := range map[string]bool{
		deviceKey:                         true,
		"":                                false,
		deviceKey[:40]:                    false,
		strings.TrimRight(deviceKey, "="): false, // no base64
		"*" + deviceKey[1:]:               false,
		base64.StdEncoding.EncodeToString([]byte(deviceKey)): false,
	} {
		if got := tok.VerifyDecoded(key); got != want {
			t.Errorf("key %q verifies: %v", key, got)
		}
		if got, ok := tok.VerifyAnyDecoded("no base64", key); ok != want || want && got != key {
			t.Errorf("key %q as the secondary: %q, %v", key, got, ok)
		}
		if got, ok := tok.VerifyAnyDecoded(key, ""); ok != want || want && got != key {
			t.Errorf("key %q as the primary: %q, %v", key, got, ok)
		}
	}
	if tok.Verify(deviceKey) {
		t.Error("the text of the key verifies")
	}
}

// Other SDKs write the field of the policy, with nothing in it.
func TestDeviceTokenEmptyPolicy(t *testing.T) {
	t.Parallel()
	tok, err := Parse(deviceToken + "&skn=")
	if err != nil {
		t.Fatal(err)
	}
	if tok.Policy() != "" || !tok.VerifyDecoded(deviceKey) {
		t.Errorf("policy %q, or the key does not verify", tok.Policy())
	}
}

// A key that stands for no bytes, or for none at all, signs nothing, though
// anybody can make what would be its signature.
func TestDeviceTokenWithoutKey(t *testing.T) {
	t.Parallel()
	const sr = "h%2Fdevices%2Fd"
	for _, key := range []string{"", "\n", "****************", "===="} {
		raw, _ := base64.StdEncoding.DecodeString(key)
		for _, text := range []string{string(raw), key} {
			tok, err := Parse(Scheme + " sr=" + sr + "&sig=" + url.QueryEscape(independent(text, sr, "1")) + "&se=1")
			if err != nil {
				t.Fatal(err)
			}
			if tok.VerifyDecoded(key) {
				t.Errorf("key %q signs with %q", key, text)
			}
		}
	}
}

func TestResourceDevice(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"h.example.com/devices/d":          "h.example.com d",
		"H.Example.COM%2fDevices%2fPump-7": "h.example.com pump-7",
		"h/devices/d/":                     "h d",
		"devices/devices/d":                "devices d",
		"h//devices//d":                    "h d",
		"h/devices":                        "",
		"h/devices/":                       "",
		"h/devices/d/modules/m":            "",
		"h/devicesd":                       "",
		"h/x/devices/d":                    "",
		"/h/devices/d":                     "",
		"sb://h/devices/d":                 "",
		"h:8883/devices/d":                 "",
		"":                                 "",
		"acme/publishers/pump-7":           "",
	} {
		r, err := ParseResource(in)
		if err != nil {
			t.Fatal(err)
		}
		host, device, ok := r.Device()
		if got := strings.TrimSpace(host + " " + device); got != want || ok != (want != "") {
			t.Errorf("%q: %q, %v", in, got, ok)
		}
	}
	if _, _, ok := Path("h", "devices", "d").Device(); ok {
		t.Error("a path without host is a device")
	}
}

func BenchmarkVerifyDecoded(b *testing.B) {
	tok, err := Parse(deviceToken)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if !tok.VerifyDecoded(deviceKey) {
			b.Fatal("does not verify")
		}
	}
}
