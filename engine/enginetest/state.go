package enginetest

import (
	"fmt"
	"strconv"

	"github.com/gatehouse/gatehouse/engine"
)

var stateTests = []test{
	{"Get", on(stateGet)},
	{"Scan", on(stateScan)},
	{"ManyRows", on(stateMany)},
	{"ScanSeesWholeBatches", on(stateWhole)},
}

func stateGet(r *rig) {
	s := r.e.State(0)
	r.commit(0, &engine.Batch{State: []engine.Row{{Key: "empty", Value: []byte{}}, {Key: "b\x00in", Value: []byte("\x00\xff")}, {Key: "gone", Value: []byte("x")}}})
	r.commit(0, &engine.Batch{State: []engine.Row{{Key: "gone"}}})
	for key, want := range map[string][]byte{"empty": {}, "b\x00in": []byte("\x00\xff"), "gone": nil, "b": nil, "b\x00in2": nil} {
		got, err := s.Get(key)
		r.ok(err)
		if string(got) != string(want) || (got == nil) != (want == nil) {
			r.t.Fatalf("row %q is %#v, want %#v", key, got, want)
		}
	}
	got, err := r.e.State(1).Get("empty")
	r.ok(err)
	if got != nil {
		r.t.Fatal("a row of another shard")
	}
	got, err = s.Get("b\x00in")
	r.ok(err)
	copy(got, "XX")
	again, err := s.Get("b\x00in")
	r.ok(err)
	r.equal(string(again), "\x00\xff")
}

func stateScan(r *rig) {
	b := &engine.Batch{}
	for _, key := range [...]string{"b/2", "b/1", "a", "b/10", "c", "b", "b0"} {
		b.State = append(b.State, engine.Row{Key: key, Value: []byte("v" + key)})
	}
	r.commit(0, b)
	for prefix, want := range map[string]string{
		"":    "a=va;b=vb;b/1=vb/1;b/10=vb/10;b/2=vb/2;b0=vb0;c=vc;",
		"b/":  "b/1=vb/1;b/10=vb/10;b/2=vb/2;",
		"b/1": "b/1=vb/1;b/10=vb/10;",
		"d":   "", "b/3": "", "\xff": "",
	} {
		r.equal(r.rows(0, prefix), want)
	}
	n := 0
	r.ok(r.e.State(0).Scan("b", func(string, []byte) bool { n++; return n < 3 }))
	r.equal(n, 3)
	r.equal(r.rows(1, ""), "")
}

func stateMany(r *rig) {
	const n = 5000
	want := ""
	for i := 0; i < n; i += 500 {
		b := &engine.Batch{}
		for k := range 500 {
			// In an order of their own.
			j := (i + k) * 3793 % n
			b.State = append(b.State, engine.Row{Key: fmt.Sprintf("k/%05d", j), Value: []byte(strconv.Itoa(j))})
		}
		r.commit(0, b)
	}
	for i := range n {
		want += fmt.Sprintf("k/%05d=%d;", i, i)
	}
	if got := r.rows(0, "k/"); got != want {
		r.t.Fatalf("%d bytes of rows differ from %d bytes wanted", len(got), len(want))
	}
	r.commit(0, &engine.Batch{Clear: []string{"k/00", "k/010"}})
	if got := r.rows(0, ""); got[:len("k/01100=")] != "k/01100=" {
		r.t.Fatalf("rows begin with %.20s, want k/01100", got)
	}
}

// stateWhole changes rows while they are scanned: the scan sees what they were.
func stateWhole(r *rig) {
	rows := func(value string) *engine.Batch {
		b := &engine.Batch{}
		for _, key := range numbered("k", 1000) {
			b.State = append(b.State, engine.Row{Key: key, Value: []byte(value)})
		}
		return b
	}
	r.commit(0, rows("old"))
	n := 0
	r.ok(r.e.State(0).Scan("k", func(key string, value []byte) bool {
		if n++; string(value) != "old" {
			r.t.Fatalf("row %s is %q: the scan saw a batch in part", key, value)
		}
		if n == 1 {
			r.commit(0, rows("new"))
			r.commit(0, &engine.Batch{Clear: []string{"k0005"}})
		}
		return true
	}))
	r.equal(n, 1000)
	n = 0
	r.ok(r.e.State(0).Scan("k", func(string, []byte) bool { n++; return true }))
	r.equal(n, 900)
}
