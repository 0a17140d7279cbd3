package cli

import (
	"context"
	"net/http"

	"github.com/gatehouse/gatehouse/admin"
	"github.com/gatehouse/gatehouse/admin/client"
)

// Replay is "gatehouse replay".
type Replay struct {
	Of Party `arg:"" name:"account/handler" help:"The handler whose dead letters they are."`
}

// Run gives the dead letters to the handler again.
func (c *Replay) Run(ctx context.Context, g *Globals) error {
	a, err := g.client()
	if err != nil {
		return err
	}
	defer a.Close()
	var done admin.Replayed
	if err := a.Do(ctx, http.MethodPost, client.Path("accounts", c.Of.Account, "handlers", c.Of.Name)+"/replay", nil, nil, &done); err != nil {
		return err
	}
	return g.result(done, "%d given to the handler again", done.Replayed)
}
