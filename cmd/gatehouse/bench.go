package main

import (
	"context"
	"time"

	"github.com/gatehouse/gatehouse/bench"
	"github.com/gatehouse/gatehouse/cli"
)

// benchCommand measures a gateway.
type benchCommand struct {
	What        []string      `arg:"" optional:"" help:"What to measure: disk, submit, inbox, https, amqp, mqtt, signalr, through, endpoints; nothing: all."`
	Dir         string        `default:"." type:"existingdir" help:"Where the data goes: a folder on the disk that counts."`
	For         time.Duration `default:"5s" help:"How long each measurement lasts."`
	Body        int           `default:"256" help:"Size of messages in bytes."`
	Endpoints   int           `default:"1000000" help:"How many there are when their number is measured."`
	Connections int           `default:"10000" help:"How many there are when idle ones are measured."`
	Profiles    string        `type:"existingdir" placeholder:"DIR" help:"A folder for profiles of the gateway's CPU, of measurements over the network."`
}

// Run measures.
func (c *benchCommand) Run(ctx context.Context, g *cli.Globals) error {
	return bench.Run(ctx, bench.Options{
		Dir: c.Dir, For: c.For, Body: c.Body, Endpoints: c.Endpoints, Connections: c.Connections, Profiles: c.Profiles,
		Out: g.Stdout, JSON: g.Output == "json",
	}, c.What...)
}

// benchServerCommand is the gateway that bench measures from another process.
type benchServerCommand struct{}

// Run serves until its input ends.
func (benchServerCommand) Run(ctx context.Context, s streams) error {
	return bench.Serve(ctx, s.in, s.out)
}
