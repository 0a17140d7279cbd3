package bench

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"strings"
	"time"
)

// What is measured over the network has the gateway in a process of its own,
// so that what the clients use is not counted as the gateway's. The two talk
// through its standard input and output: a JSON document a line, an answer for
// each question. It stops when its input ends.

// A setup is the first question: the gateway to start.
type setup struct {
	Dir       string
	Adapters  []string // one listener each, on loopback
	Endpoints int
	Router    bool // handlers deliver what is in the channel
	Send      string
	Listen    string // keys of all endpoints
}

// A question is each further one. Exactly one field is set.
type question struct {
	Used        bool   // what has been used so far
	Held        bool   // what is held now, garbage aside
	Heap        string // write a profile of that to this file
	Profile     string // write a profile of the CPU to this file, from now on
	StopProfile bool
}

// An answer answers either.
type answer struct {
	Addresses map[string]string `json:",omitempty"` // of listeners, by adapter
	Used      usage             `json:",omitzero"`
	Held      held              `json:",omitzero"`
	Error     string            `json:",omitempty"`
}

// held is the memory that is in use.
type held struct {
	Heap  int64 // bytes of objects and stacks
	Stack int64 // bytes of stacks
	RSS   int64 // bytes of the process in memory
}

// Serve is the process of the gateway. It returns when in ends.
func Serve(ctx context.Context, in io.Reader, out io.Writer) error {
	questions, answers := json.NewDecoder(in), json.NewEncoder(out)
	var s setup
	if err := questions.Decode(&s); err != nil {
		return err
	}
	g, err := startIn(ctx, s.Dir, s.Adapters...)
	if err != nil {
		return err
	}
	err = serve(ctx, g, &s, questions, answers)
	return errorsOf(err, g.stop())
}

func serve(ctx context.Context, g *gateway, s *setup, questions *json.Decoder, answers *json.Encoder) error {
	if err := define(ctx, g.Directory, definition{endpoints: s.Endpoints, router: s.Router, send: s.Send, listen: s.Listen}); err != nil {
		return err
	}
	a := answer{Addresses: make(map[string]string)}
	for _, l := range g.Listeners() {
		a.Addresses[l.Adapter] = l.Address
	}
	for {
		if err := answers.Encode(a); err != nil {
			return err
		}
		var q question
		if err := questions.Decode(&q); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		a = q.answer()
	}
}

func (q *question) answer() answer {
	switch {
	case q.Held:
		return answer{Held: holding()}
	case q.Heap != "":
		return failed(heapProfile(q.Heap))
	case q.Profile != "":
		f, err := os.Create(q.Profile)
		if err == nil {
			err = pprof.StartCPUProfile(f)
		}
		return failed(err)
	case q.StopProfile:
		pprof.StopCPUProfile()
	}
	return answer{Used: used()}
}

func failed(err error) answer {
	if err != nil {
		return answer{Error: err.Error()}
	}
	return answer{}
}

func heapProfile(file string) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	if err := pprof.WriteHeapProfile(f); err != nil {
		return err
	}
	return f.Close()
}

// A usage is what the process has used so far.
type usage struct {
	Bytes   uint64        // allocated
	Objects uint64        // allocated
	CPU     time.Duration // of all threads
}

func used() usage {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return usage{Bytes: m.TotalAlloc, Objects: m.Mallocs, CPU: processorTime()}
}

// holding returns what is held after giving back what is not. Pools let go of
// what they keep in the second collection.
func holding() held {
	runtime.GC()
	runtime.GC()
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	h := held{Heap: int64(m.HeapAlloc + m.StackInuse), Stack: int64(m.StackInuse)}
	if b, err := os.ReadFile("/proc/self/statm"); err == nil { // on Linux only
		if f := strings.Fields(string(b)); len(f) > 1 {
			pages, _ := strconv.ParseInt(f[1], 10, 64)
			h.RSS = pages * int64(os.Getpagesize())
		}
	}
	return h
}
