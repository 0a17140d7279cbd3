package signalr

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestABodyThatNeverEnds(t *testing.T) {
	t.Parallel()
	h := &hub{}
	_, address := serve(t, h, Options{BodyTimeout: 100 * time.Millisecond, PollGap: time.Second})
	c := client(t)
	at := address + "?id=" + token(t, c, address)
	ask(t, c, http.MethodGet, at, "")
	host := strings.TrimSuffix(strings.TrimPrefix(address, "http://"), "/hub")
	slow, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	_ = slow.SetDeadline(time.Now().Add(30 * time.Second))
	_, query, _ := strings.Cut(at, "?")
	if _, err := fmt.Fprintf(slow, "POST /hub?%s HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n%s", query, `{"protocol"`); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(slow), nil)
	if err != nil || answer.StatusCode != http.StatusBadRequest {
		t.Fatalf("%v, %v", answer, err)
	}
	_ = answer.Body.Close()
	h.await(t, "closed", func() bool { return len(h.closed) == 1 && h.closed[0] == ErrBroken })
}

func TestPostsComeOneByOne(t *testing.T) {
	t.Parallel()
	h := &hub{}
	_, address := serve(t, h, Options{})
	c := client(t)
	at := address + "?id=" + token(t, c, address)
	ask(t, c, http.MethodGet, at, "")
	post := func(text string) {
		if status, _, _ := ask(t, c, http.MethodPost, at, strings.ReplaceAll(text, "|", "\x1e")); status != http.StatusOK {
			t.Errorf("%d", status)
		}
	}
	post(hello)
	var posts sync.WaitGroup
	for n := range 10 {
		posts.Go(func() {
			var body string
			for i := range 200 { // more than is read at once
				body += fmt.Sprintf(`{"type":1,"target":"note","arguments":["%d/%d"]}|`, n, i)
			}
			post(body)
		})
	}
	posts.Wait()
	if len(h.log) != 2000 {
		t.Fatalf("%d notes came", len(h.log))
	}
	for i := 0; i < 2000; i += 200 { // each body came in one piece
		of, _, _ := strings.Cut(h.log[i], "/")
		for k := range 200 {
			if want := fmt.Sprintf("%s/%d\"", of, k); h.log[i+k] != want {
				t.Fatalf("note %d is %s, want %s", i+k, h.log[i+k], want)
			}
		}
	}
	ask(t, c, http.MethodDelete, at, "")
}
