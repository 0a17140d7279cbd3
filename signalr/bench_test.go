package signalr

import (
	"bytes"
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/gatehouse/gatehouse/signalr/wire"
)

// BenchmarkEcho calls a method over one WebSocket, 64 calls at a time, with an
// argument of 256 bytes. The client is of this process.
func BenchmarkEcho(b *testing.B) {
	const batch = 64
	web := httptest.NewServer(NewServer(&hub{}, Options{}))
	defer web.Close()
	ws, _, err := websocket.Dial(b.Context(), web.URL+"/hub", nil) //nolint:bodyclose // there is none
	if err != nil {
		b.Fatal(err)
	}
	defer ws.CloseNow() //nolint:errcheck // it is over
	ws.SetReadLimit(-1)
	send := func(text string) {
		if err := ws.Write(context.Background(), websocket.MessageText, []byte(strings.ReplaceAll(text, "|", "\x1e"))); err != nil {
			b.Fatal(err)
		}
	}
	read := func(records int) {
		for records > 0 {
			_, data, err := ws.Read(context.Background())
			if err != nil {
				b.Fatal(err)
			}
			records -= bytes.Count(data, []byte{wire.Separator})
		}
	}
	send(hello)
	read(1)
	calls := strings.Repeat(fmt.Sprintf(`{"type":1,"invocationId":"1","target":"echo","arguments":["%s"]}|`, strings.Repeat("x", 256)), batch)
	b.ReportAllocs()
	for n := 0; n < b.N; n += batch {
		send(calls)
		read(batch)
	}
}
