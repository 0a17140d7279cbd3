package cli

import (
	"context"
	"net/http"
	"strings"
	"text/tabwriter"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/admin"
	"github.com/gatehouse/gatehouse/admin/client"
	"github.com/gatehouse/gatehouse/cloudevents"
	"github.com/gatehouse/gatehouse/gate"
)

// Explain is "gatehouse explain".
type Explain struct {
	Of       Party  `arg:"" name:"account/endpoint" help:"The sender or, with --from, the receiver."`
	From     string `placeholder:"CHANNEL" help:"Ask about the way out of this channel."`
	Protocol string `placeholder:"NAME" help:"How the sender would come: https, http, …"`
	Plain    bool   `help:"It would come without TLS."`
	Remote   string `placeholder:"IP" help:"The sender's IP address."`
	Origin   string `placeholder:"URL" help:"The origin of the sender's web page."`
	envelope
}

// Run asks the gateway and shows the decision with every rule looked at. A
// message that may not pass makes the command end with 4.
func (c *Explain) Run(ctx context.Context, g *Globals) error {
	m, err := c.message(g)
	if err != nil {
		return err
	}
	q := admin.Question{Endpoint: c.Of.Name, From: c.From, Message: cloudevents.Append(nil, m)}
	if c.Protocol != "" || c.Remote != "" || c.Origin != "" || c.Plain {
		q.Connection = &admin.Connection{Protocol: c.Protocol, TLS: !c.Plain, Remote: c.Remote, Origin: c.Origin}
	}
	gateway, err := g.client()
	if err != nil {
		return err
	}
	defer gateway.Close()
	var a gate.Answer
	if err := gateway.Do(ctx, http.MethodPost, client.Path("accounts", c.Of.Account, "explain"), nil, q, &a); err != nil {
		return err
	}
	if g.Output == "json" {
		err = g.print(a)
	} else {
		err = g.showAnswer(&a)
	}
	if err == nil && !a.Allowed {
		err = gatehouse.Errorf(gatehouse.Forbidden, "the message may not pass")
	}
	return err
}

func (g *Globals) showAnswer(a *gate.Answer) error {
	verdict := "allowed"
	if !a.Allowed {
		verdict = "refused (" + a.Kind + "): " + a.Reason
	} else if len(a.Channels) > 0 {
		names := make([]string, len(a.Channels))
		for i, c := range a.Channels {
			names[i] = string(c)
		}
		verdict += ": goes to " + strings.Join(names, ", ")
	}
	if err := g.say("%s", verdict); err != nil {
		return err
	}
	table := tabwriter.NewWriter(g.Stdout, 0, 8, 2, ' ', 0)
	row(table, "  OUTCOME", "KIND", "RULE", "WHY")
	for _, s := range a.Steps {
		row(table, "  "+s.Outcome, s.Kind, s.Rule, s.Reason)
	}
	return table.Flush()
}
