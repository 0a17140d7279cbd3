package inbox

// A timer is a deadline in a shard's heap. It is embedded in what it is for:
// a lock, a session, a hidden message or an inbox to be looked through again.
type timer struct {
	at    int64 // Unix nanoseconds
	pos   int   // in the heap, from 1; 0: not in it
	owner any   // *lock, *session, *hidden or *rescan
}

// A deadlines is a heap of timers, the soonest first.
type deadlines []*timer

func (d *deadlines) add(t *timer) {
	*d = append(*d, t)
	t.pos = len(*d)
	d.up(t.pos)
}

// remove takes t out; it does nothing if t is not in.
func (d *deadlines) remove(t *timer) {
	p := t.pos
	if p == 0 {
		return
	}
	last := len(*d)
	d.swap(p, last)
	(*d)[last-1] = nil
	*d = (*d)[:last-1]
	t.pos = 0
	if p < last {
		d.down(p)
		d.up(p)
	}
	if cap(*d) > 1024 && len(*d) < cap(*d)/8 {
		*d = append(make(deadlines, 0, cap(*d)/4), *d...)
	}
}

// move changes when t is due.
func (d *deadlines) move(t *timer, at int64) {
	t.at = at
	if t.pos == 0 {
		d.add(t)
		return
	}
	d.down(t.pos)
	d.up(t.pos)
}

func (d *deadlines) swap(i, j int) {
	h := *d
	h[i-1], h[j-1] = h[j-1], h[i-1]
	h[i-1].pos, h[j-1].pos = i, j
}

func (d *deadlines) up(i int) {
	for h := *d; i > 1 && h[i-1].at < h[i/2-1].at; i /= 2 {
		d.swap(i, i/2)
	}
}

func (d *deadlines) down(i int) {
	h := *d
	for {
		least := i
		for c := 2 * i; c <= 2*i+1 && c <= len(h); c++ {
			if h[c-1].at < h[least-1].at {
				least = c
			}
		}
		if least == i {
			return
		}
		d.swap(i, least)
		i = least
	}
}
