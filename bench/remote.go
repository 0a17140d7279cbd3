package bench

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/gatehouse/gatehouse"
)

// ServeCommand is the argument that makes the program the process of the
// gateway: it is to call Serve.
const ServeCommand = "bench-server"

// A remote is a gateway in a process of its own: see server.go.
type remote struct {
	setup
	addresses map[string]string // of listeners, by adapter
	cmd       *exec.Cmd
	ask       *json.Encoder
	answers   *json.Decoder
	hangUp    func() error
	remove    func()
	profiles  string // folder; empty for none
}

// remote starts a gateway with listeners for some adapters, and waits until it
// serves. It must be stopped.
func (r *run) remote(ctx context.Context, s setup) (*remote, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	dir, remove, err := r.folder()
	if err != nil {
		return nil, err
	}
	s.Dir, s.Send, s.Listen = dir, rand.Text(), rand.Text()
	g := &remote{setup: s, cmd: exec.CommandContext(ctx, program, ServeCommand), remove: remove, profiles: r.Profiles}
	g.cmd.Stderr = os.Stderr
	if err := g.start(); err != nil {
		remove()
		return nil, err
	}
	var a answer
	if err = g.ask.Encode(s); err == nil {
		err = g.answers.Decode(&a)
	}
	if err != nil {
		return nil, errorsOf(fmt.Errorf("the gateway did not start: %w", err), g.stop())
	}
	g.addresses = a.Addresses
	return g, nil
}

func (g *remote) start() error {
	in, err := g.cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := g.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	g.ask, g.answers, g.hangUp = json.NewEncoder(in), json.NewDecoder(out), in.Close
	return g.cmd.Start()
}

// stop stops the gateway and removes its data.
func (g *remote) stop() error {
	defer g.remove()
	_ = g.hangUp() // if that fails it has ended already
	return g.cmd.Wait()
}

func (g *remote) question(q question) (answer, error) {
	var a answer
	if err := g.ask.Encode(q); err != nil {
		return a, err
	}
	if err := g.answers.Decode(&a); err != nil {
		return a, fmt.Errorf("the process of the gateway has ended: %w", err)
	}
	if a.Error != "" {
		return a, gatehouse.Errorf(gatehouse.Internal, "the process of the gateway: %s", a.Error)
	}
	return a, nil
}

// during measures what the gateway uses while f runs, and profiles it under
// that name if profiles are wanted.
func (g *remote) during(name string, m *rate, f func() error) error {
	if g.profiles != "" {
		if _, err := g.question(question{Profile: filepath.Join(g.profiles, name+".pprof")}); err != nil {
			return err
		}
		defer func() { _, _ = g.question(question{StopProfile: true}) }() // a failure shows in what follows
	}
	before, err := g.question(question{Used: true})
	if err != nil {
		return err
	}
	if err := f(); err != nil {
		return err
	}
	after, err := g.question(question{Used: true})
	if err != nil {
		return err
	}
	m.bytes, m.objects, m.cpu = after.Used.Bytes-before.Used.Bytes, after.Used.Objects-before.Used.Objects, after.Used.CPU-before.Used.CPU
	return nil
}

// held tells what memory the gateway holds, and profiles it under that name,
// unless that is empty, if profiles are wanted.
func (g *remote) held(name string) (held, error) {
	a, err := g.question(question{Held: true})
	if err == nil && name != "" && g.profiles != "" {
		_, err = g.question(question{Heap: filepath.Join(g.profiles, name+".pprof")})
	}
	return a.Held, err
}
