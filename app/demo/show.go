package demo

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// A Paint is how the demo writes: with the colours of a terminal, or without.
type Paint struct{ Colour bool }

const (
	bold  = "1"
	faint = "2"
	green = "32"
	cyan  = "36"
)

func (p Paint) in(style, text string) string {
	if !p.Colour {
		return text
	}
	return "\x1b[" + style + "m" + text + "\x1b[0m"
}

// Show writes where the gateway listens, what became of the message, and what
// to type next.
func (d *Demo) Show(w io.Writer, j *Journey, p Paint) error {
	var b strings.Builder
	d.places(&b, p)
	d.steps(&b, j, p)
	d.next(&b, p)
	_, err := io.WriteString(w, b.String())
	return err
}

func (d *Demo) places(b *strings.Builder, p Paint) {
	fmt.Fprintf(b, "\n  %s is up.  %s\n\n", p.in(bold, "Gatehouse"), p.in(faint, "Ctrl+C stops it; everything is kept in "+d.app.Config.Data))
	for _, l := range d.app.Listeners() {
		fmt.Fprintf(b, "  %-8s %s\n", l.Adapter, p.in(cyan, l.Adapter+"://"+reachable(l.Address)))
	}
	fmt.Fprintf(b, "  %-8s %s   %s\n", "admin", p.in(cyan, "http://"+reachable(d.app.AdminAddress())), p.in(faint, "token in "+d.app.TokenFile()))
	fmt.Fprintf(b, "  %-8s %s   %s\n", "page", p.in(cyan, d.page()), p.in(faint, "two browser tabs chat across two endpoints"))
}

// page returns where the page is best opened: by plain HTTP, where a browser
// does not ask about the certificate.
func (d *Demo) page() string {
	for _, l := range d.app.Listeners() {
		if l.Adapter == "http" {
			return "http://" + reachable(l.Address) + PagePath
		}
	}
	return d.base + PagePath
}

func (d *Demo) steps(b *strings.Builder, j *Journey, p Paint) {
	fmt.Fprintf(b, "\n  A message just went from %s to %s, over HTTPS, as any client sends it:\n\n", p.in(bold, Sender), p.in(bold, Receiver))
	steps := [][3]string{
		{"sent", "POST " + path("publishers", Sender, ""), "201 after " + ms(j.Sent) + ": stored for good"},
		{"let in", "route " + j.RouteIn + " → channel " + j.Channel, fmt.Sprintf("partition %d, offset %d", j.Partition, j.Offset)},
		{"let out", "route " + j.RouteOut + " → inbox of " + Receiver, "by the channel's handler deliver"},
		{"taken", "POST " + path("inboxes", Receiver, "/head"), fmt.Sprintf("%s, under a lock, delivery %d", ms(j.Taken), j.Deliveries)},
		{"done", "DELETE " + path("inboxes", Receiver, "/…"), ms(j.Settled) + ", gone from the inbox"},
	}
	width := 0
	for _, s := range steps {
		width = max(width, utf8.RuneCountInString(s[1]))
	}
	for _, s := range steps {
		fmt.Fprintf(b, "  %s %-8s %-*s   %s\n", p.in(green, "✓"), s[0], width, s[1], p.in(faint, s[2]))
	}
}

func (d *Demo) next(b *strings.Builder, p Paint) {
	curl := "curl"
	if ca := d.app.CA(); ca != "" {
		curl += " --cacert " + quote(ca)
	}
	fmt.Fprintf(b, "\n  Now you. %s\n\n", p.in(faint, "In a second terminal, wait for a message:"))
	fmt.Fprintf(b, "  %s -u %s -X DELETE %s\n\n", curl, quote(Account+"/"+Visitor+":"+d.visitor.Listen.Primary), quote(d.base+path("inboxes", Visitor, "/head?timeout=60")))
	fmt.Fprintf(b, "  %s\n\n", p.in(faint, "In a third, send one:"))
	fmt.Fprintf(b, "  %s -u %s -H 'ce-specversion: 1.0' -H 'ce-to: endpoints/%s' -d 'hello' %s\n\n",
		curl, quote(Account+"/"+Sender+":"+d.sender.Send.Primary), Visitor, quote(d.base+path("publishers", Sender, "")))
}

// quote quotes text for a shell, if it must be.
func quote(text string) string {
	if strings.IndexFunc(text, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._:=+-@%", r)
	}) < 0 {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000) }
