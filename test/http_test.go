package test

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// request is "http METHOD WHERE [-u USER:PASSWORD] [-E CERTIFICATE]
// [-H 'NAME: VALUE']... [-d BODY]" in scripts. CERTIFICATE is the file of
// one, see certificate. WHERE is a path of the https listener, a path of the http
// listener behind "http:", one of the admin listener behind "admin:", or a
// whole address. It prints status, headers and body, and fails for a status
// from 400 on.
func request(ts *testscript.TestScript, neg bool, args []string) {
	shown, status := do(ts, args)
	if _, err := io.WriteString(ts.Stdout(), shown); err != nil {
		ts.Fatalf("%v", err)
	}
	if failed := status >= http.StatusBadRequest; failed != neg {
		ts.Fatalf("the status is %d", status)
	}
}

// do makes the request and returns what it prints.
func do(ts *testscript.TestScript, args []string) (shown string, status int) {
	if len(args) < 2 {
		ts.Fatalf("usage: http METHOD WHERE [-u USER:PASSWORD] [-E CERTIFICATE] [-H 'NAME: VALUE']... [-d BODY]")
	}
	s := sessionOf(ts)
	if s.command == nil {
		ts.Fatalf("the gateway does not run")
	}
	r, err := http.NewRequest(args[0], s.address(args[1]), nil)
	ts.Check(err)
	client := s.client
	for flags := args[2:]; len(flags) > 0; flags = flags[2:] {
		if len(flags) == 1 {
			ts.Fatalf("%s needs a value", flags[0])
		}
		switch value := flags[1]; flags[0] {
		case "-u":
			user, password, _ := strings.Cut(value, ":")
			r.SetBasicAuth(user, password)
		case "-E":
			client = showing(ts, client, value)
		case "-H":
			name, text, _ := strings.Cut(value, ":")
			r.Header.Set(name, strings.TrimSpace(text))
		case "-d":
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(value)), int64(len(value))
		default:
			ts.Fatalf("%s is none of -u, -E, -H and -d", flags[0])
		}
	}
	w, err := client.Do(r)
	ts.Check(err)
	defer w.Body.Close()
	body, err := io.ReadAll(w.Body)
	ts.Check(err)
	var b strings.Builder
	fmt.Fprintln(&b, w.Status)
	for _, name := range slices.Sorted(maps.Keys(w.Header)) {
		fmt.Fprintf(&b, "%s: %s\n", name, strings.Join(w.Header[name], ", "))
	}
	fmt.Fprintf(&b, "\n%s\n", body)
	return b.String(), w.StatusCode
}

// address returns where a request goes.
func (s *session) address(where string) string {
	for prefix, base := range map[string]string{"http:/": s.url("http"), "admin:/": "http://" + s.admin, "/": s.url("https")} {
		if rest, ok := strings.CutPrefix(where, prefix); ok && !strings.HasPrefix(rest, "/") {
			return base + "/" + rest
		}
	}
	return where
}
