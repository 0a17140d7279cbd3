package restrict

import (
	"strings"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	l, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestHours(t *testing.T) {
	t.Parallel()
	oslo, newYork, lordHowe := zone(t, "Europe/Oslo"), zone(t, "America/New_York"), zone(t, "Australia/Lord_Howe")
	utc := time.UTC
	tests := map[string]struct {
		hours Hours
		open  []time.Time
		not   []time.Time
	}{
		"nothing": {
			Hours{},
			[]time.Time{noon, time.Date(2026, 3, 28, 0, 0, 0, 0, utc), time.Date(2026, 3, 28, 23, 59, 59, 999, utc)},
			nil,
		},
		"working hours": {
			Hours{Days: []string{"mon-fri"}, From: "08:00", To: "17:00"},
			[]time.Time{time.Date(2026, 3, 23, 8, 0, 0, 0, utc), time.Date(2026, 3, 27, 16, 59, 59, 999_999_999, utc)},
			[]time.Time{
				time.Date(2026, 3, 23, 7, 59, 59, 999_999_999, utc), time.Date(2026, 3, 27, 17, 0, 0, 0, utc),
				time.Date(2026, 3, 28, 12, 0, 0, 0, utc), time.Date(2026, 3, 29, 12, 0, 0, 0, utc),
			},
		},
		"days only": {
			Hours{Days: []string{"Sat", "sunday"}},
			[]time.Time{time.Date(2026, 3, 28, 0, 0, 0, 0, utc), time.Date(2026, 3, 29, 23, 59, 0, 0, utc)},
			[]time.Time{time.Date(2026, 3, 27, 23, 59, 0, 0, utc), time.Date(2026, 3, 30, 0, 0, 0, 0, utc)},
		},
		"a range over the week's end": {
			Hours{Days: []string{"fri - Mon"}},
			[]time.Time{time.Date(2026, 3, 27, 0, 0, 0, 0, utc), time.Date(2026, 3, 30, 23, 0, 0, 0, utc)},
			[]time.Time{time.Date(2026, 3, 26, 23, 0, 0, 0, utc), time.Date(2026, 3, 31, 0, 0, 0, 0, utc)},
		},
		"from only": {
			Hours{From: "22:30"},
			[]time.Time{time.Date(2026, 3, 25, 22, 30, 0, 0, utc), time.Date(2026, 3, 25, 23, 59, 59, 0, utc)},
			[]time.Time{time.Date(2026, 3, 25, 22, 29, 59, 0, utc), time.Date(2026, 3, 26, 0, 0, 0, 0, utc)},
		},
		"to only": {
			Hours{To: "06:15"},
			[]time.Time{time.Date(2026, 3, 25, 0, 0, 0, 0, utc), time.Date(2026, 3, 25, 6, 14, 59, 0, utc)},
			[]time.Time{time.Date(2026, 3, 25, 6, 15, 0, 0, utc), time.Date(2026, 3, 25, 23, 59, 0, 0, utc)},
		},
		"to midnight": {
			Hours{Days: []string{"fri"}, From: "20:00", To: "24:00"},
			[]time.Time{time.Date(2026, 3, 27, 23, 59, 59, 0, utc)},
			[]time.Time{time.Date(2026, 3, 28, 0, 0, 0, 0, utc), time.Date(2026, 3, 27, 19, 59, 0, 0, utc)},
		},
		"to midnight as 00:00": {
			Hours{Days: []string{"fri"}, From: "20:00", To: "00:00"},
			[]time.Time{time.Date(2026, 3, 27, 23, 59, 59, 0, utc)},
			[]time.Time{time.Date(2026, 3, 28, 0, 0, 0, 0, utc), time.Date(2026, 3, 27, 0, 0, 0, 0, utc)},
		},
		"over midnight, by the day they begin on": {
			Hours{Days: []string{"fri"}, From: "22:00", To: "06:00"},
			[]time.Time{time.Date(2026, 3, 27, 22, 0, 0, 0, utc), time.Date(2026, 3, 28, 0, 0, 0, 0, utc), time.Date(2026, 3, 28, 5, 59, 0, 0, utc)},
			[]time.Time{
				time.Date(2026, 3, 27, 21, 59, 0, 0, utc), time.Date(2026, 3, 28, 6, 0, 0, 0, utc), time.Date(2026, 3, 28, 22, 0, 0, 0, utc),
				time.Date(2026, 3, 27, 3, 0, 0, 0, utc), time.Date(2026, 3, 29, 3, 0, 0, 0, utc),
			},
		},
		"over midnight, from Saturday to Sunday": {
			Hours{Days: []string{"sat"}, From: "22:00", To: "06:00"},
			[]time.Time{time.Date(2026, 3, 29, 3, 0, 0, 0, utc)},
			[]time.Time{time.Date(2026, 3, 28, 3, 0, 0, 0, utc), time.Date(2026, 3, 30, 3, 0, 0, 0, utc)},
		},
		"in a zone": {
			Hours{Days: []string{"wed"}, From: "08:00", To: "17:00", Zone: "America/New_York"},
			[]time.Time{time.Date(2026, 3, 25, 12, 0, 0, 0, utc), time.Date(2026, 3, 25, 8, 0, 0, 0, newYork), time.Date(2026, 3, 25, 20, 59, 0, 0, utc)},
			[]time.Time{time.Date(2026, 3, 25, 11, 59, 0, 0, utc), time.Date(2026, 3, 25, 21, 0, 0, 0, utc)},
		},
		"another day in the zone": {
			Hours{Days: []string{"thu"}, Zone: "Australia/Lord_Howe"},
			[]time.Time{time.Date(2026, 3, 25, 13, 0, 0, 0, utc), time.Date(2026, 3, 26, 0, 0, 0, 0, lordHowe)},
			[]time.Time{time.Date(2026, 3, 25, 12, 59, 0, 0, utc), time.Date(2026, 3, 26, 13, 0, 0, 0, utc)},
		},
		// In Oslo, clocks go from 02:00 to 03:00 on 29 March 2026, a Sunday,
		// at 01:00 UTC, and from 03:00 back to 02:00 on 25 October, at 01:00 UTC.
		"the clock goes forward": {
			Hours{From: "02:30", To: "04:00", Zone: "Europe/Oslo"},
			[]time.Time{time.Date(2026, 3, 29, 1, 0, 0, 0, utc), time.Date(2026, 3, 29, 1, 59, 0, 0, utc), time.Date(2026, 3, 28, 1, 30, 0, 0, utc)},
			[]time.Time{time.Date(2026, 3, 29, 0, 59, 59, 0, utc), time.Date(2026, 3, 29, 2, 0, 0, 0, utc), time.Date(2026, 3, 28, 1, 29, 0, 0, utc)},
		},
		"the clock goes back": {
			Hours{From: "02:30", To: "03:00", Zone: "Europe/Oslo"},
			[]time.Time{time.Date(2026, 10, 25, 0, 30, 0, 0, utc), time.Date(2026, 10, 25, 1, 30, 0, 0, utc), time.Date(2026, 10, 25, 1, 59, 59, 0, utc)},
			[]time.Time{time.Date(2026, 10, 25, 0, 29, 59, 0, utc), time.Date(2026, 10, 25, 1, 0, 0, 0, utc), time.Date(2026, 10, 25, 2, 0, 0, 0, utc)},
		},
		"over midnight into the change": {
			Hours{Days: []string{"sat"}, From: "22:00", To: "03:00", Zone: "Europe/Oslo"},
			[]time.Time{time.Date(2026, 3, 28, 21, 0, 0, 0, utc), time.Date(2026, 3, 29, 0, 59, 59, 0, utc)},
			[]time.Time{time.Date(2026, 3, 28, 20, 59, 0, 0, utc), time.Date(2026, 3, 29, 1, 0, 0, 0, utc), time.Date(2026, 3, 29, 22, 0, 0, 0, oslo)},
		},
	}
	for name, tt := range tests {
		p := plan(t, Restriction{Hours: &tt.hours})
		if !p.Timed() {
			t.Errorf("%s: the plan is not timed", name)
		}
		for _, now := range tt.open {
			expect(t, name+": connect at "+now.String(), p.Connect(Connection{}, now), 0, "")
			expect(t, name+": send at "+now.String(), p.Message(nil, &gatehouse.Message{}, now), 0, "")
		}
		for _, now := range tt.not {
			expect(t, name+": connect at "+now.String(), p.Connect(Connection{}, now), gatehouse.Restricted, "r1")
			expect(t, name+": send at "+now.String(), p.Message(nil, &gatehouse.Message{}, now), gatehouse.Restricted, "r1")
		}
	}
}

func TestHoursSayWhen(t *testing.T) {
	t.Parallel()
	p := plan(t, Restriction{Hours: &Hours{Days: []string{"mon-fri"}, From: "8:05", To: "17:00", Zone: "Europe/Oslo"}})
	err := p.Connect(Connection{}, time.Date(2026, 3, 25, 6, 30, 0, 0, time.UTC))
	for _, want := range []string{"Wed 07:30", "mon-fri 08:05 to 17:00 Europe/Oslo"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	if plan(t, Restriction{MaxSize: 1}).Timed() {
		t.Error("a plan without hours is timed")
	}
}
