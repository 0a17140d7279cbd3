package test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/Azure/go-amqp"
)

// fleeting is an account whose parts are deleted and created again.
const fleeting = `
account: acme
channels: [{name: work, duplicates: 1h}]
endpoints:
  - {name: pump, keys: {send: [pump-send-key-000001]}}
  - {name: desk, keys: {listen: [desk-listen-key-0001]}}
routes:
  - {name: in, direction: ingress}
  - {name: out, direction: egress}
handlers: [{name: deliver, channel: work, kind: router}]
policies: [{name: backend, rights: [channels], keys: [backend-key-00000001]}]
`

// A fleet is a gateway that is killed once something was deleted.
type fleet struct {
	*testing.T
	*process
}

// TestDeletedIsGone deletes, kills the gateway as soon as it has answered, and
// creates anew: whoever reads the new channel from the beginning, or takes from
// the new inbox, finds nothing of the former one, and no message is taken for a
// retry of one of the former channel.
func TestDeletedIsGone(t *testing.T) {
	for name, deletions := range map[string][]string{
		"parts":   {"handler acme/deliver", "channel acme/work", "endpoint acme/desk"},
		"account": {"account acme"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := &fleet{t, &process{data: t.TempDir(), more: []string{
				"GATEHOUSE_ENGINE_KIND=pebbledb", "GATEHOUSE_LISTENERS=[{adapter: https, address: '127.0.0.1:0'}, {adapter: amqps, address: '127.0.0.1:0'}]",
			}}}
			t.Cleanup(f.kill)
			for round := range 3 {
				f.begin()
				f.command("apply", "-f", "-")
				for i := range 40 {
					f.send(fmt.Sprintf("m-%d", i), round, "")
				}
				f.send("later", round, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
				f.wantFirst(round)
				for _, what := range deletions {
					f.command(append([]string{"delete"}, strings.Fields(what)...)...)
				}
				f.kill()
			}
			f.begin()
			f.command("apply", "-f", "-")
			if shown := f.command("inbox", "acme/desk"); !strings.HasPrefix(shown, "0 active, 0 locked, 0 deferred, 0 scheduled, 0 dead") {
				t.Errorf("the new inbox has %s", shown)
			}
		})
	}
}

func (f *fleet) begin() {
	f.Helper()
	if err := f.start(); err != nil {
		f.Fatal(err)
	}
}

func (f *fleet) command(args ...string) string {
	f.Helper()
	c := exec.CommandContext(f.Context(), "gatehouse", args...)
	c.Env = append(append(os.Environ(), f.environment()...), "GATEHOUSE_URL=http://"+f.admin)
	c.Stdin = strings.NewReader(fleeting)
	out, err := c.CombinedOutput()
	if err != nil {
		f.Fatalf("gatehouse %s: %v\n%s\n%s", strings.Join(args, " "), err, out, f.log)
	}
	return string(out)
}

// send sends a message to the desk, which says in which round it was sent.
func (f *fleet) send(id string, round int, notBefore string) {
	f.Helper()
	r, err := http.NewRequestWithContext(f.Context(), http.MethodPost, f.url("https")+"/acme/publishers/pump/messages", strings.NewReader(roundText(round)))
	if err != nil {
		f.Fatal(err)
	}
	r.SetBasicAuth("acme/pump", "pump-send-key-000001")
	r.Header = http.Header{"Authorization": r.Header["Authorization"], "Ce-Specversion": {"1.0"}, "Ce-Id": {id}, "Ce-To": {"endpoints/desk"}}
	if notBefore != "" {
		r.Header.Set("Ce-Notbefore", notBefore)
	}
	w, err := f.client.Do(r)
	if err != nil {
		f.Fatal(err)
	}
	defer w.Body.Close()
	if w.StatusCode != http.StatusCreated {
		f.Fatalf("sending %s: %s", id, w.Status)
	}
}

func roundText(round int) string { return fmt.Sprintf("round %d", round) }

// wantFirst fails the test unless the first message of the channel, read from
// the beginning, and the first in the inbox are the first of the round. All are
// of one sender, and so in one partition.
func (f *fleet) wantFirst(round int) {
	f.Helper()
	ctx, cancel := context.WithTimeout(f.Context(), patience)
	defer cancel()
	from := "amqp.annotation.x-opt-offset > '-1'"
	found := make(chan *amqp.Message, 64)
	session, end := f.session(ctx, "acme/$policies/backend", "backend-key-00000001")
	defer end()
	for p := range 8 {
		receiver, err := session.NewReceiver(ctx, fmt.Sprintf("acme/channels/work/ConsumerGroups/new/Partitions/%d", p), &amqp.ReceiverOptions{
			Filters: []amqp.LinkFilter{amqp.NewSelectorFilter(from)}, Credit: 1,
		})
		if err != nil {
			f.Fatal(err)
		}
		go func() {
			if m, err := receiver.Receive(ctx, nil); err == nil {
				found <- m
			}
		}()
	}
	session, end = f.session(ctx, "acme/desk", "desk-listen-key-0001")
	defer end()
	receiver, err := session.NewReceiver(ctx, "acme/inboxes/desk", nil)
	if err != nil {
		f.Fatal(err)
	}
	m, err := receiver.Receive(ctx, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.wantIs(m, round)
	select {
	case m := <-found:
		f.wantIs(m, round)
	case <-ctx.Done():
		f.Fatal("the channel is empty")
	}
}

func (f *fleet) wantIs(m *amqp.Message, round int) {
	f.Helper()
	if m.Properties.MessageID != "m-0" || string(m.GetData()) != roundText(round) {
		f.Fatalf("round %d begins with message %v of %s", round, m.Properties.MessageID, m.GetData())
	}
}

// session connects by AMQP.
func (f *fleet) session(ctx context.Context, user, key string) (*amqp.Session, func()) {
	f.Helper()
	conn, err := amqp.Dial(ctx, f.url("amqps"), &amqp.ConnOptions{
		SASLType: amqp.SASLTypePlain(user, key), TLSConfig: f.client.Transport.(*http.Transport).TLSClientConfig.Clone(),
	})
	if err != nil {
		f.Fatal(err)
	}
	session, err := conn.NewSession(ctx, nil)
	if err != nil {
		f.Fatal(err)
	}
	return session, func() { _ = conn.Close() }
}
