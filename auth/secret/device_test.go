package secret_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/auth"
	"github.com/gatehouse/gatehouse/auth/authtest"
	"github.com/gatehouse/gatehouse/auth/secret"
	"github.com/gatehouse/gatehouse/sas"
)

// deviceToken is what a device SDK of Azure IoT Hub makes of a base64 key.
func deviceToken(t testing.TB, resource, key string, expires time.Time) string {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(key)
	if err != nil {
		t.Fatal(err)
	}
	sr, se := url.QueryEscape(resource), strconv.FormatInt(expires.Unix(), 10)
	h := hmac.New(sha256.New, raw)
	h.Write([]byte(sr + "\n" + se))
	return sas.Scheme + " sr=" + sr + "&sig=" + url.QueryEscape(base64.StdEncoding.EncodeToString(h.Sum(nil))) + "&se=" + se
}

// inBase64 is a key whose bytes are text.
func inBase64(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

// newDevices is newKeys with keys in base64.
func newDevices() *authtest.Keys {
	k := new(authtest.Keys)
	for _, a := range []gatehouse.AccountName{authtest.Account, authtest.OtherAccount} {
		for _, e := range []gatehouse.EndpointName{authtest.Endpoint, authtest.Neighbour} {
			for _, p := range []gatehouse.PolicyName{gatehouse.PolicySend, gatehouse.PolicyListen} {
				pair := pairOf(string(a), string(e), string(p))
				k.SetEndpoint(a, e, p, auth.KeyPair{Primary: inBase64(pair.Primary), Secondary: inBase64(pair.Secondary)})
			}
		}
	}
	return k
}

// mintDevice makes the token of a device with the key of one policy.
func mintDevice(t testing.TB, c authtest.Claim, key func(auth.KeyPair) string) string {
	policy, pair := policyFor(c)
	if policy == "all" {
		return "" // no device proves this
	}
	k := inBase64(key(pair))
	if c.Wrong {
		k = inBase64("somebody else's")
	}
	if c.Expires.IsZero() {
		c.Expires = authtest.Now.Add(time.Hour)
	}
	return deviceToken(t, string(c.Account)+".gw.example.com/devices/"+string(c.Endpoint), k, c.Expires)
}

func TestDeviceConformance(t *testing.T) {
	t.Parallel()
	for name, mint := range map[string]func(testing.TB, authtest.Claim) auth.Credentials{
		"primary key": func(t testing.TB, c authtest.Claim) auth.Credentials {
			if text := mintDevice(t, c, primary); text != "" {
				return auth.Password{User: userOf(c), Password: text}
			}
			return nil
		},
		"secondary key, no user name": func(t testing.TB, c authtest.Claim) auth.Credentials {
			if text := mintDevice(t, c, secondary); text != "" {
				return auth.SAS{Token: text}
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			authtest.Run(t, authtest.Harness{
				Authenticator: secret.New(newDevices()), Mint: mint, NotMine: []auth.Credentials{auth.Certificate{}},
			})
		})
	}
}

// What the token of a device is good for. Rights are printed in bits: listen,
// send.
func TestDevice(t *testing.T) {
	t.Parallel()
	const (
		one, two, three = "b25lIGtleSBmb3IgYm90aA==", "dHdvIGlzIGEgc2Vjb25kYXJ5", "dGhyZWUgbGlzdGVucyBvbmx5"
		send, listen    = gatehouse.RightSend, gatehouse.RightListen
		at              = "acme.gw.example.com/devices/pump-7"
	)
	keys := new(authtest.Keys)
	keys.SetEndpoint("acme", "pump-7", "send", auth.KeyPair{Primary: one, Secondary: two})
	keys.SetEndpoint("acme", "pump-7", "listen", auth.KeyPair{Primary: three, Secondary: one})
	keys.SetEndpoint("acme", "pump-70", "send", auth.KeyPair{Primary: one})
	keys.SetEndpoint("acme", "text", "send", auth.KeyPair{Primary: "not-base64-at-all!"})
	keys.SetEndpoint("acme", "empty", "send", auth.KeyPair{})
	keys.SetPolicy("acme", "all", auth.KeyPair{Primary: one}, allRights)
	a := secret.New(keys)
	tests := []struct {
		name, sr, key string
		endpoint      gatehouse.EndpointName
		need          gatehouse.Rights
		late          bool
		want          string
	}{
		{"one key for both, send", at, one, "pump-7", send, false, "send 0001"},
		{"one key for both, listen", at, one, "pump-7", listen, false, "listen 0010"},
		{"one key for both, whatever", at, one, "pump-7", 0, false, "send 0001"},
		{"a key of send", at, two, "pump-7", send, false, "send 0001"},
		{"a key of send, to listen", at, two, "pump-7", listen, false, "Forbidden"},
		{"a key of listen", at, three, "pump-7", listen, false, "listen 0010"},
		{"a key of listen, to send", at, three, "pump-7", send, false, "Forbidden"},
		{"a key of listen, whatever", at, three, "pump-7", 0, false, "listen 0010"},
		{"one proof gives one right", at, one, "pump-7", send | listen, false, "Forbidden"},
		{"no manager", at, one, "pump-7", gatehouse.RightManage, false, "Forbidden"},
		{"in another case", "ACME.GW.example.com/Devices/PUMP-7", one, "pump-7", send, false, "send 0001"},
		{"a host of one label", "acme/devices/pump-7", one, "pump-7", send, false, "send 0001"},
		{"expired", at, one, "pump-7", send, true, "Expired"},
		{"expired, and too little", at, two, "pump-7", listen, true, "Expired"},
		{"expired, wrong key", at, inBase64("wrong"), "pump-7", send, true, "Unauthenticated"},
		{"wrong key", at, inBase64("wrong"), "pump-7", send, false, "Unauthenticated"},
		{"another account", "acme-2.gw.example.com/devices/pump-7", one, "pump-7", send, false, "Unauthenticated"},
		{"a longer account", "acmes/devices/pump-7", one, "pump-7", send, false, "Unauthenticated"},
		{"the account is not the first label", "gw.acme.example.com/devices/pump-7", one, "pump-7", send, false, "Unauthenticated"},
		{"another device with the same key", "acme.gw.example.com/devices/pump-70", one, "pump-7", send, false, "Unauthenticated"},
		{"a device that is not", "acme.gw.example.com/devices/pump-x", one, "pump-x", send, false, "Unauthenticated"},
		{"no address of a device", "acme/publishers/pump-7", one, "pump-7", send, false, "Unauthenticated"},
		{"no address of a device, for an endpoint so called", "acme/devices", one, "devices", send, false, "Unauthenticated"},
		{"a channel", at, one, "", gatehouse.RightChannels, false, "Unauthenticated"},
		{"the account", "acme/devices/", one, "", 0, false, "Unauthenticated"},
		{"a key that is no base64", "acme/devices/text", inBase64("not-base64-at-all!"), "text", send, false, "Unauthenticated"},
		{"the empty key", "acme/devices/empty", "", "empty", send, false, "Unauthenticated"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			expires := authtest.Now.Add(time.Minute)
			if tt.late {
				expires = authtest.Now
			}
			r := auth.Request{Credentials: auth.SAS{Token: deviceToken(t, tt.sr, tt.key, expires)}, Endpoint: tt.endpoint, Need: tt.need}
			if r.Endpoint == "" {
				r.Channel = "telemetry"
			}
			if got := ask(a, r); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// A token of a device is the same for each user name that may go with it, and
// good for all that is below its endpoint until it ends.
func TestDeviceUser(t *testing.T) {
	t.Parallel()
	expires := authtest.Now.Add(time.Minute)
	key := inBase64(pairOf("acme", "pump-7", "send").Primary)
	text := deviceToken(t, "acme.gw.example.com/devices/pump-7", key, expires)
	a := secret.New(newDevices())
	for user, want := range map[string]string{
		"acme/pump-7":        "send 0001",
		"Acme/Pump-7":        "send 0001",
		"send":               "Unauthenticated",
		"acme/$policies/all": "Unauthenticated",
		"acme/pump-70":       "Unauthenticated",
	} {
		r := auth.Request{Credentials: auth.Password{User: user, Password: text}, Endpoint: "pump-7", Need: gatehouse.RightSend}
		if got := ask(a, r); got != want {
			t.Errorf("user %s: got %s, want %s", user, got, want)
		}
	}
	id, err := a.Authenticate(context.Background(), &auth.Request{
		Credentials: auth.SAS{Token: text}, Account: "Acme", Endpoint: "pump-7", Need: gatehouse.RightSend, Below: "messages", Now: authtest.Now,
	})
	if err != nil || !id.Expires.Equal(expires) || !(auth.KeyPair{Primary: key}).Proves(id.Proof, "acme", "pump-7", gatehouse.PolicySend) {
		t.Errorf("identity %+v, error %v", id, err)
	}
}

// Without the right key nobody learns whether there is such a device, or which
// of its policies has what kind of key.
func TestDeviceTellsNothing(t *testing.T) {
	t.Parallel()
	keys := newDevices()
	keys.SetEndpoint("acme", "text", "send", auth.KeyPair{Primary: "no-base64-here!!"})
	keys.SetEndpoint("acme", "text", "listen", auth.KeyPair{})
	a := secret.New(keys)
	want := sas.ErrSignature().Error()
	for _, endpoint := range []gatehouse.EndpointName{"pump-7", "pump-x", "text"} {
		text := deviceToken(t, "acme.gw.example.com/devices/"+string(endpoint), inBase64("wrong"), authtest.Now)
		for _, need := range []gatehouse.Rights{0, gatehouse.RightSend, gatehouse.RightListen} {
			_, err := a.Authenticate(context.Background(), &auth.Request{
				Credentials: auth.SAS{Token: text}, Account: "acme", Endpoint: endpoint, Need: need, Now: authtest.Now,
			})
			if err == nil || err.Error() != want {
				t.Errorf("%s, need %04b: %v", endpoint, need, err)
			}
		}
	}
	keys.Fail(errors.New("disk 7 is on fire"))
	_, err := a.Authenticate(context.Background(), &auth.Request{
		Credentials: auth.SAS{Token: deviceToken(t, "acme/devices/pump-7", inBase64("x"), authtest.Now)}, Account: "acme", Endpoint: "pump-7", Now: authtest.Now,
	})
	if !errors.Is(err, gatehouse.Unavailable) || strings.Contains(err.Error(), "fire") {
		t.Errorf("the keys cannot be had: %v", err)
	}
}

// What a caller who is refused costs, known or not: compare the two.
func BenchmarkDeviceRefusal(b *testing.B) {
	a := secret.New(newDevices())
	for name, endpoint := range map[string]gatehouse.EndpointName{"wrong key": "pump-7", "no such endpoint": "pump-x"} {
		b.Run(name, func(b *testing.B) {
			r := &auth.Request{
				Credentials: auth.SAS{Token: deviceToken(b, "acme/devices/"+string(endpoint), inBase64("x"), authtest.Now)},
				Account:     "acme", Endpoint: endpoint, Need: gatehouse.RightSend, Now: authtest.Now,
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := a.Authenticate(b.Context(), r); err == nil {
					b.Fatal("let in")
				}
			}
		})
	}
}
