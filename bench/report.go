package bench

import (
	"fmt"
	"time"
)

// A Report is all figures of a run.
type Report struct {
	Go      string   `json:"go"`
	CPUs    int      `json:"cpus"`
	Arch    string   `json:"arch"`
	Dir     string   `json:"dir"`
	Body    int      `json:"body"`
	Figures []Figure `json:"figures"`
}

// A Figure is one number.
type Figure struct {
	Measurement string  `json:"measurement"`
	Name        string  `json:"name"`
	Value       float64 `json:"value"`
	Unit        string  `json:"unit"` // /s, ms, µs, B, s, or empty
}

// line writes a line for people.
func (r *run) line(format string, args ...any) {
	if !r.JSON {
		fmt.Fprintf(r.Out, format+"\n", args...)
	}
}

// note adds a figure to the report.
func (r *run) note(name string, value float64, unit string) {
	r.report.Figures = append(r.report.Figures, Figure{r.now, name, value, unit})
}

// rate reports a rate, with a line for people that begins with what it is.
func (r *run) rate(name, what string, m *rate) {
	r.line("  %s: %v", what, m)
	r.noteRate(name, m)
}

func (r *run) noteRate(name string, m *rate) {
	n := float64(max(m.n, 1))
	r.note(name, m.perSecond(), "/s")
	if len(m.latencies) > 0 {
		r.noteTimes(name, m)
	}
	r.note(name+", cpu each", float64(m.cpu)/float64(time.Microsecond)/n, "µs")
	r.note(name+", allocated each", float64(m.bytes)/n, "B")
	r.note(name+", allocations each", float64(m.objects)/n, "")
}

// noteTimes adds how long turns took.
func (r *run) noteTimes(name string, m *rate) {
	for _, q := range []struct {
		name string
		at   float64
	}{{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}} {
		r.note(name+", "+q.name, milliseconds(m.quantile(q.at)), "ms")
	}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
