package bench

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/gatehouse/gatehouse"
)

// https measures POST requests over connections that are kept open. The
// clients share the machine, and the process, with the gateway.
func (r *run) https(ctx context.Context) error {
	g, err := r.gateway(ctx, workers, false)
	if err != nil {
		return err
	}
	return errorsOf(r.httpsOf(ctx, g), g.stop())
}

func (r *run) httpsOf(ctx context.Context, g *gateway) error {
	pem, err := os.ReadFile(g.CA())
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	body := bytes.Repeat([]byte{'x'}, r.Body)
	m, err := measure(ctx, workers, r.For, true, func(w int) (turn, error) {
		keys, err := g.Directory.Reveal(account, gatehouse.EndpointName(endpointName(w)))
		if err != nil {
			return nil, err
		}
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
		context.AfterFunc(ctx, transport.CloseIdleConnections)
		client := &http.Client{Transport: transport}
		at := fmt.Sprintf("https://%s/%s/publishers/%s/messages", g.Listeners()[0].Address, account, endpointName(w))
		return func(ctx context.Context) error {
			return post(ctx, client, at, endpointName(w), keys.Send.Primary, body)
		}, nil
	})
	if err != nil {
		return err
	}
	r.rate("post", fmt.Sprintf("%d connections, HTTP/1.1, clients included", workers), m)
	return nil
}

func post(ctx context.Context, c *http.Client, at, endpoint, key string, body []byte) error {
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, at, bytes.NewReader(body))
	if err != nil {
		return err
	}
	q.SetBasicAuth(account+"/"+endpoint, key)
	w, err := c.Do(q)
	if err != nil {
		return err
	}
	defer w.Body.Close()
	_, _ = io.Copy(io.Discard, w.Body) // there is no body in the answer that counts
	if w.StatusCode != http.StatusCreated {
		return gatehouse.Errorf(gatehouse.Internal, "the gateway answered %s", w.Status)
	}
	return nil
}
