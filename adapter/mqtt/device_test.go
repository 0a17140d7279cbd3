package mqttadapter

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/adapter/adaptertest"
	"github.com/gatehouse/gatehouse/cloudevents"
	"github.com/gatehouse/gatehouse/directory"
	"github.com/gatehouse/gatehouse/internal/judge"
	"github.com/gatehouse/gatehouse/mqtt"

	"github.com/eclipse/paho.golang/packets"
)

// A device of Azure IoT Hub: it has one key, in base64, for both directions.
const (
	device     = "meter-1"
	deviceHost = "acme.gateway.example.com"
	deviceKey  = "dGhlIGtleSBvZiBtZXRlci0xLCAzMiBieXRlcyBsb25n"
)

// define makes the device an endpoint.
func (s *site) define(plain bool, keys ...string) {
	s.Helper()
	_, err := s.world.Directory.Update(s.ctx, adaptertest.Account, directory.Change{Spec: &directory.EndpointSpec{
		Name: device, AllowPlaintext: plain, Keys: &directory.KeySpec{Send: keys, Listen: keys},
	}})
	s.must(err)
}

// Microsoft's device SDK, as npm serves it, with a connection string that has a
// new host name and key: it sends, receives, and renews its token.
func TestDeviceSDK(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it takes processes")
	}
	modules := filepath.Join(judge.Node(t, "azure-iot-device@1.18.4", "azure-iot-device-mqtt@1.16.4"), "node_modules")
	script, err := filepath.Abs(filepath.Join("testdata", "device.cjs"))
	if err != nil {
		t.Fatal(err)
	}
	server, _ := adaptertest.TLS(t)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificates[0].Certificate[0]})
	if err := os.WriteFile(ca, text, 0o600); err != nil {
		t.Fatal(err)
	}
	var secure Options
	secure.TLS = server
	for transport, serve := range map[string]func(t *testing.T) *site{
		"Mqtt":   func(t *testing.T) *site { return newSite(t, secure) },
		"MqttWs": func(t *testing.T) *site { return newWebSite(t, Options{}, server) },
	} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			s := serve(t)
			s.define(false, deviceKey)
			s.giveTo(device, &gatehouse.Message{
				ID: "m-0", CorrelationID: "c/0", ContentType: "text/plain", Body: []byte(`"before"`),
				Attributes: []gatehouse.Attribute{{Name: "level", Value: gatehouse.String("5 &")}, {Name: contentEncoding, Value: gatehouse.String("ascii")}},
			})
			c := exec.CommandContext(s.ctx, "node", script, transport, s.address, ca,
				fmt.Sprintf("HostName=%s;DeviceId=%s;SharedAccessKey=%s;GatewayHostName=localhost", deviceHost, device, deviceKey),
				adaptertest.Receiver+","+device)
			c.Env = append(c.Environ(), "NODE_PATH="+modules, "NODE_NO_WARNINGS=1")
			out, err := c.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			want := []string{ // sorted: a message to itself may come before it is told that it is stored
				`connections 2`,
				`received "after" m-"after" c/1 application/json utf-8 21 %`,
				`received "before" m-0 c/0 text/plain ascii 5 &`,
				`sent "after" MessageEnqueued`,
				`sent "hello" MessageEnqueued`,
			}
			got := strings.Split(strings.TrimSpace(string(out)), "\n")
			if slices.Sort(got); !slices.Equal(got, want) {
				t.Errorf("it printed\n%s", out)
			}
			m := s.take(adaptertest.Receiver).Message
			level, _ := m.Attribute("level")
			if string(m.Body) != `"hello"` || m.ID != `m-"hello"` || m.ContentType != "application/json" || m.CorrelationID != "c/1" ||
				cloudevents.Text(level) != "21 %" || m.Source != "/Acme/endpoints/meter-1" {
				t.Errorf("received %+v", m)
			}
		})
	}
}

// tokenOf is what the SDK makes of a key, for TestDeviceToken.
func tokenOf(t testing.TB, key string) []byte {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(key)
	if err != nil {
		t.Fatal(err)
	}
	sr, se := url.QueryEscape(deviceHost+"/devices/"+device), fmt.Sprint(time.Now().Add(time.Hour).Unix())
	h := hmac.New(sha256.New, raw)
	h.Write([]byte(sr + "\n" + se))
	return []byte("SharedAccessSignature sr=" + sr + "&sig=" + url.QueryEscape(base64.StdEncoding.EncodeToString(h.Sum(nil))) + "&se=" + se)
}

// A device may do what its key is for, until that is replaced.
func TestDeviceToken(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	const next = "dGhlIG5leHQga2V5IG9mIG1ldGVyLTEsIGFzIGxvbmcu"
	s.define(true, deviceKey, next)
	show := func(key string) func(*packets.Connect) {
		return func(c *packets.Connect) {
			c.Username = deviceHost + "/" + device + "/?api-version=2021-04-12"
			c.ClientID, c.Password = "device with key "+key[:20], tokenOf(t, key)
		}
	}
	join := func(key string) *peer {
		p, _ := s.join(device, show(key))
		s.subscribe(p, 1, "devices/"+device+"/messages/devicebound/#")
		return p
	}
	first, second := join(deviceKey), join(next)
	if code := s.publish(first, 1, "sent"); code != mqtt.Success {
		t.Errorf("publish: %v", code)
	}
	if got := string(s.take(adaptertest.Receiver).Message.Body); got != "sent" {
		t.Errorf("received %q", got)
	}

	// One key is replaced in each policy: what it opened ends, the rest stays.
	s.define(true, "YW5vdGhlciBrZXkgb2YgbWV0ZXItMQ==", next)
	if code := s.ended(first); code != mqtt.AdministrativeAction {
		t.Errorf("with the old key: %v", code)
	}
	if code := s.notLetIn(device, show(deviceKey)); code != mqtt.BadUserNameOrPassword {
		t.Errorf("with the old key, again: %v", code)
	}
	s.giveTo(device, &gatehouse.Message{Body: []byte("still here")})
	s.puback(second, s.expect(second, "still here"))

	s.must(s.world.Directory.Revoke(s.ctx, adaptertest.Account, device, directory.Revoked{Send: true, Listen: true}))
	if code := s.ended(second); code != mqtt.AdministrativeAction {
		t.Errorf("revoked: %v", code)
	}
}
