package restrict

import (
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // zones must mean the same on a machine that has none installed
)

// hours are compiled Hours.
type hours struct {
	days     [7]bool // by time.Weekday: whether hours begin on it
	from, to int     // minutes since midnight
	zone     *time.Location
	text     string // for people
}

var dayNames = [7]string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

const wholeDay = 24 * 60

func compileHours(h *Hours) (*hours, error) {
	if h == nil {
		return nil, nil
	}
	c := &hours{to: wholeDay, zone: time.UTC}
	var err error
	if c.days, err = parseDays(h.Days); err != nil {
		return nil, fmt.Errorf("days: %w", err)
	}
	if h.From != "" {
		if c.from, err = parseClock(h.From); err != nil || c.from == wholeDay {
			return nil, fmt.Errorf("from: %q is not a time from 00:00 to 23:59", h.From)
		}
	}
	if h.To != "" {
		if c.to, err = parseClock(h.To); err != nil {
			return nil, fmt.Errorf("to: %q is not a time from 00:00 to 24:00", h.To)
		}
	}
	if c.from == c.to {
		return nil, fmt.Errorf("from and to are the same; leave both out for whole days")
	}
	if h.Zone != "" {
		if h.Zone == "Local" {
			return nil, fmt.Errorf("zone: %q depends on the machine; name the zone, such as Europe/Oslo", h.Zone)
		}
		if c.zone, err = time.LoadLocation(h.Zone); err != nil {
			return nil, fmt.Errorf("zone: %q is not an IANA time zone such as Europe/Oslo or UTC", h.Zone)
		}
	}
	c.text = fmt.Sprintf("%02d:%02d to %02d:%02d %s", c.from/60, c.from%60, c.to/60, c.to%60, c.zone)
	if len(h.Days) > 0 {
		c.text = strings.Join(h.Days, ", ") + " " + c.text
	}
	return c, nil
}

func parseDays(texts []string) (days [7]bool, err error) {
	if len(texts) == 0 {
		return [7]bool{true, true, true, true, true, true, true}, nil
	}
	for _, text := range texts {
		first, last, isRange := strings.Cut(text, "-")
		if !isRange {
			last = first
		}
		from, to := parseDay(first), parseDay(last)
		if from < 0 || to < 0 {
			return days, fmt.Errorf("%q is not a day such as mon, or a range such as mon-fri", text)
		}
		for d := from; ; d = (d + 1) % 7 {
			days[d] = true
			if d == to {
				break
			}
		}
	}
	return days, nil
}

// parseDay takes the first three letters of a day's English name or all of
// them; it returns -1 for anything else.
func parseDay(text string) int {
	text = strings.ToLower(strings.TrimSpace(text))
	for i, name := range dayNames {
		if text == name || text == strings.ToLower(time.Weekday(i).String()) {
			return i
		}
	}
	return -1
}

func parseClock(text string) (int, error) {
	if text == "24:00" {
		return wholeDay, nil
	}
	t, err := time.Parse("15:04", text)
	return t.Hour()*60 + t.Minute(), err
}

// open reports whether now is within the hours.
func (h *hours) open(now time.Time) bool {
	t := now.In(h.zone)
	hour, minute, _ := t.Clock()
	m, day := hour*60+minute, int(t.Weekday())
	if h.from < h.to {
		return h.days[day] && h.from <= m && m < h.to
	}
	// Over midnight: begun today, or yesterday and still going on.
	return h.days[day] && m >= h.from || h.days[(day+6)%7] && m < h.to
}

func (c *compiled) checkHours(now time.Time) error {
	if c.hours == nil || c.hours.open(now) {
		return nil
	}
	return c.refuse("this endpoint in at "+now.In(c.hours.zone).Format("Mon 15:04"), "its hours are "+c.hours.text)
}
