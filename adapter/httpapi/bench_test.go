package httpapi

import (
	"bytes"
	"crypto/tls"
	"flag"
	"io"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/adapter/adaptertest"
	"github.com/gatehouse/gatehouse/inbox"
)

func BenchmarkReadHeader(b *testing.B) {
	h := http.Header{
		"Content-Type": {"application/json"}, "Content-Length": {"256"}, "User-Agent": {"x"}, "Authorization": {"SharedAccessSignature sr=x"},
		"Brokerproperties": {`{"MessageId":"m-1","Label":"reading"}`}, "Priority": {`"High"`},
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := readHeader(new(gatehouse.Message), h); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkWriteHeader(b *testing.B) {
	d := &inbox.Delivery{
		Message: &gatehouse.Message{
			ID: "0190a6e4-7e1b-7c3a-8a52-000102030405", Source: "/acme/endpoints/pump-7", Type: "reading", ContentType: "application/json",
			Attributes: []gatehouse.Attribute{{Name: "Priority", Value: gatehouse.String("High")}},
		},
		Count: 1, Sequence: 1,
	}
	b.ReportAllocs()
	for b.Loop() {
		writeHeader(http.Header{}, d)
	}
}

var connections = flag.Int("connections", 64, "connections of BenchmarkPost")

// BenchmarkPost sends messages of 256 bytes over HTTPS with keep-alive, from
// many connections at a time. The clients share the machine.
func BenchmarkPost(b *testing.B) {
	server, trusting := adaptertest.TLS(b)
	for _, c := range []struct {
		name   string
		config *tls.Config
	}{{"https", trusting}, {"http", nil}} {
		b.Run(c.name, func(b *testing.B) {
			var o Options
			if c.config != nil {
				o.TLS = server
			}
			ln := listen(b)
			serve(b, ln, o, newWorld(b).Gate)
			login := adaptertest.Login{
				Address: ln.Addr().String(), Account: adaptertest.Account, Endpoint: adaptertest.Sender,
				SendKey: adaptertest.SendKey(adaptertest.Sender),
			}
			body := bytes.Repeat([]byte("x"), 256)
			var failed atomic.Pointer[error]
			b.SetParallelism(*connections / 2)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				c := dialer(c.config, 1, binaryShape)(login).(*client)
				defer c.Close()
				for pb.Next() {
					if err := c.postBytes(body); err != nil {
						failed.Store(&err)
					}
				}
			})
			if err := failed.Load(); err != nil {
				b.Fatal(*err)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
		})
	}
}

// postBytes is Send with as little work for the client as can be.
func (c *client) postBytes(body []byte) error {
	r, err := http.NewRequest(http.MethodPost, c.publisher(), bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.SetBasicAuth(string(c.Account)+"/"+string(c.Endpoint), c.SendKey)
	w, err := c.http.Do(r)
	if err != nil {
		return err
	}
	defer w.Body.Close()
	answer, err := io.ReadAll(w.Body)
	if err == nil && w.StatusCode != http.StatusCreated {
		err = problemError(w, answer)
	}
	return err
}
