package app

import (
	"time"

	"github.com/gatehouse/gatehouse/adapter"
	mqttadapter "github.com/gatehouse/gatehouse/adapter/mqtt"
	"github.com/gatehouse/gatehouse/config"
)

// MQTTOptions are the options of adapters mqtts and mqtt.
type MQTTOptions struct {
	// How long a client may take until its CONNECT is there, the TLS handshake included.
	ConnectTime config.Duration `yaml:"connectTime"`
	// The longest keep-alive a client gets. One that asks for none gets this. After one and a half times its keep-alive a silent client is dropped.
	KeepAlive config.Duration `yaml:"keepAlive"`
	// How many messages a client may have on their way in.
	Window int `yaml:"window"`
	// How many messages a client may hold unacknowledged.
	Deliveries int `yaml:"deliveries"`
	// How long a client may hold a message before it is available to others again.
	HoldTime config.Duration `yaml:"holdTime"`
	// The longest a session outlives its connection.
	SessionTime config.Duration `yaml:"sessionTime"`
}

func mqttDefaults() MQTTOptions {
	return MQTTOptions{
		ConnectTime: config.Duration(mqttadapter.DefaultConnectTime), KeepAlive: config.Duration(mqttadapter.DefaultKeepAlive),
		Window: mqttadapter.DefaultWindow, Deliveries: mqttadapter.DefaultDeliveries,
		HoldTime: config.Duration(mqttadapter.DefaultHoldTime), SessionTime: config.Duration(mqttadapter.DefaultSessionTime),
	}
}

func newMQTT(d adapterDeps, o MQTTOptions) adapter.Adapter { return buildMQTT(d, o) }

func buildMQTT(d adapterDeps, o MQTTOptions) *mqttadapter.Adapter {
	return mqttadapter.New(mqttadapter.Options{
		Options: d.Options, ConnectTime: time.Duration(o.ConnectTime), KeepAlive: time.Duration(o.KeepAlive),
		Window: o.Window, Deliveries: o.Deliveries, HoldTime: time.Duration(o.HoldTime), SessionTime: time.Duration(o.SessionTime),
		Sessions: &d.app.mqttSessions,
	})
}
