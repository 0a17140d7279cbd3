// Command gatehouse is the gateway, and the tool to steer one.
//
// It reads arguments, turns signals into the end of a context, and maps errors
// to exit codes; everything else is in package app.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/gatehouse/gatehouse/cli"

	"github.com/alecthomas/kong"
)

// version is set when a release is built.
var version = ""

// Exit codes beside those of cli.ExitCode.
const (
	exitOK     = 0
	exitUsage  = 2   // the command line or the configuration is wrong
	exitForced = 130 // it was interrupted before it was done
)

// A commandLine is all that can be typed.
type commandLine struct {
	cli.Globals
	Serve serveCommand `cmd:"" help:"Run the gateway."`
	cli.Commands
	Bench       benchCommand       `cmd:"" help:"Measure a gateway on this machine and disk."`
	BenchServer benchServerCommand `cmd:"" hidden:"" help:"The gateway that bench measures."`
	Version     versionCommand     `cmd:"" help:"Print the version."`
}

// streams are where a command reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

func main() {
	ctx, stop := untilSignal(context.Background())
	defer stop()
	os.Exit(run(ctx, os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr}))
}

// untilSignal returns a context that ends with the first signal to stop. The
// second ends the process at once.
func untilSignal(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case <-signals:
			cancel()
		case <-ctx.Done():
			return
		}
		<-signals
		fmt.Fprintln(os.Stderr, "gatehouse: stopped at once; nothing acknowledged is lost")
		os.Exit(exitForced)
	}()
	return ctx, cancel
}

// run does what the arguments say and returns the exit code.
func run(ctx context.Context, args []string, s streams) int {
	var line commandLine
	line.Stdin, line.Stdout, line.Stderr = s.in, s.out, s.err
	code := -1
	parser, err := kong.New(&line,
		kong.Name("gatehouse"),
		kong.Description("The boundary between your systems and everybody else's: devices, browsers and partners send and receive here."),
		kong.ShortUsageOnError(), kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Writers(s.out, s.err),
		kong.Exit(func(c int) { code = c }),
		kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(s, &line.Globals),
	)
	if err != nil {
		return fail(s.err, err)
	}
	command, err := parser.Parse(args)
	switch {
	case code >= 0: // --help was answered
		return code
	case err != nil:
		parser.Stdout = s.err // where the usage goes
		parser.FatalIfErrorf(err)
		return exitUsage
	}
	err = command.Run()
	switch {
	case err == nil:
		return exitOK
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return exitForced
	}
	return fail(s.err, err)
}

// fail tells the error and returns its exit code.
func fail(w io.Writer, err error) int {
	fmt.Fprintf(w, "gatehouse: %v\n", err)
	return cli.ExitCode(err)
}

type versionCommand struct{}

// Run prints the version.
func (versionCommand) Run(s streams, g *cli.Globals) error {
	if g.Output == "json" {
		return json.NewEncoder(s.out).Encode(map[string]string{"version": programVersion()})
	}
	_, err := fmt.Fprintln(s.out, "gatehouse", programVersion())
	return err
}

// programVersion returns the version of a release, or else the commit it was
// built from.
func programVersion() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "dev"
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" && len(setting.Value) >= 12 {
			return "dev-" + setting.Value[:12]
		}
	}
	return "dev"
}
