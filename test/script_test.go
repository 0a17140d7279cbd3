package test

import (
	"errors"
	"flag"
	"net"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/internal/judge"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "write what scripts compare with anew")

// TestScript runs every script in testdata/script over every engine. They read
// like the session of a user; besides what testscript has, they can say
//
//	gateway start [NAME=VALUE]...     start the gateway of this script, with settings
//	gateway stop|restart|kill         steer it
//	[!] gatehouse ARGUMENT...         run the command line against it
//	code N                            the last gatehouse ended with exit code N
//	[!] http METHOD PATH ...          make a request, see http_test.go
//	certificate NAME ...              make a certificate, see certificate_test.go
//	until PATTERN COMMAND...          repeat gatehouse or http until it prints that
//	capture NAME PATTERN              what the parentheses find in stdout, as a variable
//
// and, as conditions, the name of the engine. MQTTS_PORT is where devices
// connect by MQTT, as Mosquitto's commands do.
func TestScript(t *testing.T) {
	judge.Program(t, "mosquitto_sub", "mosquitto-clients")
	for _, engine := range []string{"memory", "pebbledb"} {
		t.Run(engine, func(t *testing.T) {
			testscript.Run(t, testscript.Params{
				Dir:                filepath.Join("testdata", "script"),
				Setup:              func(env *testscript.Env) error { return setup(env, engine) },
				Condition:          func(c string) (bool, error) { return condition(c, engine) },
				RequireUniqueNames: true,
				UpdateScripts:      *update,
				Cmds: map[string]func(*testscript.TestScript, bool, []string){
					"gateway": steer, "gatehouse": gatehouse, "code": code, "http": request, "certificate": certificate, "until": until, "capture": capture,
				},
			})
		})
	}
}

// A session is what one script works with.
type session struct {
	*process
	code int // of the last gatehouse
}

type sessionKey struct{}

func sessionOf(ts *testscript.TestScript) *session { return ts.Value(sessionKey{}).(*session) }

func setup(env *testscript.Env, engine string) error {
	s := &session{process: &process{data: filepath.Join(env.WorkDir, "data"), more: []string{"GATEHOUSE_ENGINE_KIND=" + engine}}}
	env.Vars = append(env.Vars, s.environment()...)
	env.Values[sessionKey{}] = s
	env.Defer(s.kill)
	return nil
}

func condition(c, engine string) (bool, error) {
	if c == "memory" || c == "pebbledb" {
		return c == engine, nil
	}
	return false, errors.New("it is not known")
}

// steer is "gateway".
func steer(ts *testscript.TestScript, neg bool, args []string) {
	s := sessionOf(ts)
	if neg || len(args) == 0 || len(args) > 1 && args[0] != "start" {
		ts.Fatalf("usage: gateway start [NAME=VALUE]...|stop|restart|kill")
	}
	switch args[0] {
	case "start":
		s.more = append(s.more, args[1:]...)
		ts.Check(s.start())
	case "stop":
		ts.Check(s.stop())
	case "restart":
		ts.Check(s.stop())
		ts.Check(s.start())
	case "kill":
		s.kill()
	default:
		ts.Fatalf("gateway %s: there are start, stop, restart and kill", args[0])
	}
	ts.Setenv("GATEHOUSE_URL", "http://"+s.admin)
	_, port, _ := net.SplitHostPort(s.listeners["mqtts"])
	ts.Setenv("MQTTS_PORT", port)
}

// gatehouse runs the command line.
func gatehouse(ts *testscript.TestScript, neg bool, args []string) {
	err := run(ts, args)
	switch {
	case err == nil && neg:
		ts.Fatalf("it succeeded, and should not")
	case err != nil && !neg:
		ts.Fatalf("it failed: %v", err)
	}
}

func run(ts *testscript.TestScript, args []string) error {
	s := sessionOf(ts)
	err := ts.Exec("gatehouse", args...)
	exit := new(exec.ExitError)
	switch {
	case err == nil:
		s.code = 0
	case errors.As(err, &exit):
		s.code = exit.ExitCode()
	default:
		ts.Fatalf("gatehouse: %v", err)
	}
	return err
}

// code holds the exit code of the last gatehouse against the one given.
func code(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: code N")
	}
	if got := strconv.Itoa(sessionOf(ts).code); got != args[0] {
		ts.Fatalf("the exit code is %s, not %s", got, args[0])
	}
}

// until repeats a command until its output matches.
func until(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || args[1] != "gatehouse" && args[1] != "http" {
		ts.Fatalf("usage: until PATTERN gatehouse|http ARGUMENT...")
	}
	pattern, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	for end := time.Now().Add(patience); ; {
		var shown string
		if args[1] == "http" {
			shown, _ = do(ts, args[2:])
		} else {
			_ = run(ts, args[2:]) // what it shows counts
			shown = ts.ReadFile("stdout")
		}
		if pattern.MatchString(shown) {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("%q does not come; the last was:\n%s", args[0], shown)
		}
		<-time.After(10 * time.Millisecond) // it is another process that does the work
	}
}

// capture sets a variable to what a pattern finds in the last output.
func capture(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: capture NAME PATTERN")
	}
	pattern, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	found := pattern.FindStringSubmatch(ts.ReadFile("stdout"))
	if len(found) != 2 {
		ts.Fatalf("%q finds nothing, or has not one pair of parentheses", args[1])
	}
	ts.Setenv(args[0], strings.TrimRight(found[1], "\r\n"))
}
