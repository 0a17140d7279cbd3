package main

import (
	"context"
	"time"

	"github.com/gatehouse/gatehouse/bench"
	"github.com/gatehouse/gatehouse/cli"
)

// benchCommand measures a gateway.
type benchCommand struct {
	What      []string      `arg:"" optional:"" help:"What to measure: disk, submit, inbox, https, through, endpoints; nothing: all."`
	Dir       string        `default:"." type:"existingdir" help:"Where the data goes: a folder on the disk that counts."`
	For       time.Duration `default:"5s" help:"How long each measurement lasts."`
	Body      int           `default:"256" help:"Size of messages in bytes."`
	Endpoints int           `default:"1000000" help:"How many there are when their number is measured."`
}

// Run measures.
func (c *benchCommand) Run(ctx context.Context, g *cli.Globals) error {
	return bench.Run(ctx, bench.Options{Dir: c.Dir, For: c.For, Body: c.Body, Endpoints: c.Endpoints, Out: g.Stdout}, c.What...)
}
