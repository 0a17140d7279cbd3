package test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// patience is how long one step of a gateway may take before it has failed. It
// is no measure of how long it should.
const patience = time.Minute

// A process is the real gateway, which is started, stopped and killed. It
// listens at free ports, others with each start.
type process struct {
	data   string   // its data folder
	more   []string // environment, NAME=VALUE
	args   []string // of serve
	client *http.Client

	// While it runs.
	command *exec.Cmd
	log     *watcher
	exited  chan struct{} // closed when it has ended
	bound                 // where it is reached
}

// bound are the addresses that a gateway has bound, HOST:PORT by adapter.
type bound struct {
	admin     string
	listeners map[string]string
}

// environment returns what the gateway and commands for it run with.
func (p *process) environment() []string {
	return append([]string{
		"GATEHOUSE_DATA=" + p.data, "GATEHOUSE_ADMIN_ADDRESS=127.0.0.1:0", "GATEHOUSE_LOG_FORMAT=json",
		"GATEHOUSE_LISTENERS=[{adapter: https, address: '127.0.0.1:0'}, {adapter: http, address: '127.0.0.1:0'}, {adapter: mqtts, address: '127.0.0.1:0'}]",
	}, p.more...)
}

// start starts the gateway and returns when it is ready.
func (p *process) start() error {
	if p.command != nil {
		return errors.New("the gateway runs already")
	}
	c := exec.Command("gatehouse", append([]string{"serve"}, p.args...)...)
	c.Env = append(os.Environ(), p.environment()...)
	p.log = &watcher{ready: make(chan bound, 1)}
	c.Stdout, c.Stderr = p.log, p.log
	if err := c.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	go func() {
		_ = c.Wait() // the state tells
		close(exited)
	}()
	p.command, p.exited = c, exited
	select {
	case p.bound = <-p.log.ready:
	case <-p.exited:
		p.command = nil
		return fmt.Errorf("the gateway ended at once: %v\n%s", c.ProcessState, p.log)
	case <-time.After(patience):
		p.kill()
		return fmt.Errorf("the gateway does not get ready:\n%s", p.log)
	}
	if p.client == nil {
		var err error
		p.client, err = newClient(filepath.Join(p.data, "tls", "ca.pem"))
		return err
	}
	return nil
}

// newClient returns a client that trusts the authority in a file.
func newClient(authority string) (*http.Client, error) {
	text, err := os.ReadFile(authority)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	return &http.Client{
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, MaxIdleConnsPerHost: 256},
		Timeout:   2 * patience,
	}, nil
}

// url returns the base of the addresses of an adapter.
func (p *process) url(adapter string) string { return adapter + "://" + p.listeners[adapter] }

// stop asks the gateway to end and waits until it has.
func (p *process) stop() error {
	if p.command == nil {
		return errors.New("the gateway does not run")
	}
	c := p.command
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-p.exited:
	case <-time.After(patience):
		p.kill()
		return fmt.Errorf("the gateway does not stop:\n%s", p.log)
	}
	p.ended()
	if !c.ProcessState.Success() {
		return fmt.Errorf("the gateway ended with %v\n%s", c.ProcessState, p.log)
	}
	return nil
}

// kill ends the gateway as a power cut would, as far as a process can tell. It
// does nothing if the gateway does not run.
func (p *process) kill() {
	if p.command == nil {
		return
	}
	_ = p.command.Process.Kill() // it may have ended
	<-p.exited
	p.ended()
}

func (p *process) ended() {
	p.command = nil
	if p.client != nil {
		p.client.CloseIdleConnections()
	}
}

// A watcher keeps what a gateway logs and finds the line that says it is ready.
type watcher struct {
	mu    sync.Mutex
	text  bytes.Buffer
	seen  int // bytes of text in lines that were looked at
	ready chan bound
}

// Write takes what is logged.
func (w *watcher) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text.Write(b)
	for {
		line, _, ok := bytes.Cut(w.text.Bytes()[w.seen:], []byte("\n"))
		if !ok {
			return len(b), nil
		}
		w.seen += len(line) + 1
		w.look(line)
	}
}

func (w *watcher) look(line []byte) {
	var l struct {
		Message   string `json:"msg"`
		Admin     string
		Listeners []struct{ Adapter, Address string }
	}
	if json.Unmarshal(line, &l) != nil || l.Message != "the gateway is ready" {
		return
	}
	b := bound{admin: l.Admin, listeners: map[string]string{}}
	for _, at := range l.Listeners {
		b.listeners[at.Adapter] = at.Address
	}
	w.ready <- b
}

// String returns all that was logged.
func (w *watcher) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}
