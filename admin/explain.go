package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"net/netip"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/cloudevents"
	"github.com/gatehouse/gatehouse/gate"
	"github.com/gatehouse/gatehouse/restrict"

	"github.com/danielgtaylor/huma/v2"
)

// A Question asks what would become of a message.
type Question struct {
	Endpoint string `json:"endpoint" doc:"The sender or, with from, the receiver"`
	From     string `json:"from,omitempty" doc:"Ask about the way out, from this channel to the endpoint"`
	// Message is a CloudEvent in JSON.
	Message    json.RawMessage `json:"message,omitempty" doc:"A CloudEvent in JSON"`
	Connection *Connection     `json:"connection,omitempty" doc:"How the sender would come"`
}

// A Connection is how an endpoint would come.
type Connection struct {
	Protocol string `json:"protocol,omitempty" doc:"Name of the adapter; without one, what asks for it is not looked at"`
	TLS      bool   `json:"tls,omitempty"`
	Remote   string `json:"remote,omitempty" doc:"IP address of the client"`
	Origin   string `json:"origin,omitempty" doc:"Origin of the web page"`
}

func (s *server) explain(api huma.API) {
	huma.Register(api, operation(http.MethodPost, "/accounts/{account}/explain", "explain", "Tell what would become of a message, and every rule that was looked at", "explain"),
		func(_ context.Context, in *struct {
			AccountPath
			Body Question
		},
		) (*struct{ Body gate.Answer }, error) {
			q, err := questionOf(in.Account, &in.Body)
			if err != nil {
				return nil, s.fail(err)
			}
			return &struct{ Body gate.Answer }{s.Gate.Explain(q)}, nil
		})
}

func questionOf(account string, in *Question) (gate.Question, error) {
	q := gate.Question{
		Account: gatehouse.AccountName(account), Endpoint: gatehouse.EndpointName(in.Endpoint), From: gatehouse.ChannelName(in.From),
	}
	if len(in.Message) > 0 {
		m, err := cloudevents.Decode(in.Message)
		if err != nil {
			return q, err
		}
		q.Message = m
	}
	if c := in.Connection; c != nil {
		q.Connection = restrict.Connection{Protocol: c.Protocol, TLS: c.TLS, Origin: c.Origin}
		if c.Remote != "" {
			addr, err := netip.ParseAddr(c.Remote)
			if err != nil {
				return q, gatehouse.Errorf(gatehouse.Invalid, "remote %q is not an IP address", c.Remote)
			}
			q.Connection.Remote = addr
		}
	}
	return q, nil
}
