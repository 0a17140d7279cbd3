package mqttadapter

import (
	"net/http"
	"testing"

	"github.com/gatehouse/gatehouse/adapter/adaptertest"
	"github.com/gatehouse/gatehouse/directory"
	"github.com/gatehouse/gatehouse/mqtt"
	"github.com/gatehouse/gatehouse/restrict"
	"github.com/gatehouse/gatehouse/rule"

	"github.com/coder/websocket"
	"github.com/eclipse/paho.golang/packets"
)

// TestWebSocketOrigins connects from web pages: from those that a restriction
// states, and from others.
func TestWebSocketOrigins(t *testing.T) {
	t.Parallel()
	s := newWebSite(t, Options{}, nil)
	connect := func(origin string) mqtt.Code {
		h := http.Header{}
		if origin != "" {
			h.Set("Origin", origin)
		}
		ws, _, err := websocket.Dial(s.ctx, "ws://"+s.address+WebSocketPath, &websocket.DialOptions{HTTPHeader: h, Subprotocols: []string{"mqtt"}})
		s.must(err)
		defer ws.CloseNow() //nolint:errcheck // what was to be seen was seen
		nc := websocket.NetConn(s.ctx, ws, websocket.MessageBinary)
		_, err = nc.Write((&mqtt.Connect{
			Version: mqtt.Version5, CleanStart: true, UserName: adaptertest.Account + "/" + adaptertest.Sender, Password: []byte(adaptertest.SendKey(adaptertest.Sender)),
		}).Append(nil))
		s.must(err)
		p, err := packets.ReadPacket(nc)
		s.must(err)
		answer, ok := p.Content.(*packets.Connack)
		if !ok {
			t.Fatalf("the answer is %v", p)
		}
		return mqtt.Code(answer.ReasonCode)
	}
	const app, evil = "https://app.example.com", "https://evil.example"
	if c := connect(app); c != mqtt.NotAuthorized {
		t.Errorf("a page, though no origins are stated: %v", c)
	}
	_, err := s.world.Directory.Update(s.ctx, adaptertest.Account, directory.Change{Spec: &directory.RestrictionSpec{
		Restriction: restrict.Restriction{Name: "web", Endpoints: rule.Selector{Names: []string{adaptertest.Sender}}, Origins: []string{app}},
	}})
	s.must(err)
	for origin, want := range map[string]mqtt.Code{app: mqtt.Success, evil: mqtt.NotAuthorized, "null": mqtt.NotAuthorized, "": mqtt.Success} {
		if c := connect(origin); c != want {
			t.Errorf("origin %q: %v, want %v", origin, c, want)
		}
	}
}
