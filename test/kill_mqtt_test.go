package test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/eclipse/paho.golang/packets"
)

// An exact is a device that sends at QoS 2 in a session that outlives its
// connections, and the gateway: what it does not know the fate of it sends again,
// so that in the end there is nothing in doubt.
type exact struct {
	*ledger
	client   string
	known    bool // the gateway has said that it has the session
	id       uint16
	n        int  // message under way; 0: none
	received bool // PUBREC has come for it
}

// run sends until the connection ends.
func (d *exact) run(ctx context.Context, stored func()) {
	conn, err := d.connect(ctx)
	if err != nil {
		return
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	for ctx.Err() == nil {
		if d.n == 0 {
			d.n, d.received = d.number(), false
			d.id = d.id%3 + 1 // few, so that each is used again soon
		}
		if !d.settle(conn) {
			return
		}
		stored()
	}
}

// connect takes up the session.
func (d *exact) connect(ctx context.Context) (*tls.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	dialer := &tls.Dialer{Config: d.process.client.Transport.(*http.Transport).TLSClientConfig.Clone()}
	nc, err := dialer.DialContext(ctx, "tcp", d.listeners["mqtts"])
	if err != nil {
		return nil, err
	}
	conn := nc.(*tls.Conn)
	_ = conn.SetDeadline(time.Now().Add(2 * patience))
	hour := uint32(3600)
	hello := &packets.Connect{
		ProtocolName: "MQTT", ProtocolVersion: 5, ClientID: d.client, KeepAlive: 600, UsernameFlag: true, PasswordFlag: true,
		Username: "acme/sender", Password: []byte("sender-send-key-0001"), Properties: &packets.Properties{SessionExpiryInterval: &hour},
	}
	if err = write(conn, packets.CONNECT, hello, 0); err == nil {
		err = d.greeted(conn)
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

func (d *exact) greeted(conn *tls.Conn) error {
	one, err := packets.ReadPacket(conn)
	if err != nil {
		return err
	}
	ack, ok := one.Content.(*packets.Connack)
	if !ok || ack.ReasonCode != 0 {
		return fmt.Errorf("%s was not let in: %v", d.client, one)
	}
	if d.known && !ack.SessionPresent {
		d.Errorf("the session of %s was lost", d.client)
	}
	d.known = true
	return nil
}

// settle sends the message under way, or goes on with it, until the gateway has
// said that all is done; it reports whether it has.
func (d *exact) settle(conn *tls.Conn) bool {
	sent := false
	for {
		var err error
		switch {
		case d.received:
			err = write(conn, packets.PUBREL, &packets.Pubrel{PacketID: d.id, Properties: &packets.Properties{}}, 2)
		case !sent:
			p := &packets.Publish{QoS: 2, PacketID: d.id, Topic: "endpoints/receiver", Payload: []byte(strconv.Itoa(d.n)), Properties: &packets.Properties{}}
			err = write(conn, packets.PUBLISH, p, 2<<1|1<<3) // DUP always: who says that it was not sent before?
			sent = true
		}
		if err != nil {
			return false
		}
		one, err := packets.ReadPacket(conn)
		if err != nil {
			return false
		}
		switch p := one.Content.(type) {
		case *packets.Pubrec:
			if p.ReasonCode >= 0x80 { // it may be stored all the same
				d.note(d.unknown, d.n)
				d.n = 0
				return false
			}
			d.note(d.accepted, d.n)
			d.received = true
		case *packets.Pubcomp:
			d.n = 0
			return true
		default:
			return false
		}
	}
}

func write(conn *tls.Conn, kind byte, content packets.Packet, flags byte) error {
	one := packets.NewControlPacket(kind)
	one.Content, one.Flags = content, flags
	_, err := one.WriteTo(conn)
	return err
}
