package amqp1

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse/record"
)

var update = flag.Bool("update", false, "write testdata/encoding.txt anew; clients or stores get other bytes than before then")

const (
	goldenFile     = "testdata/encoding.txt"
	goldenMessages = 4000
	goldenLine     = 20 // messages in a line of the file
)

// What clients get of a message stays what it was, byte for byte, and what is
// stored of it: the file has two bytes of the hash of what becomes of each of
// many random messages.
func TestEncodingIsAsBefore(t *testing.T) {
	t.Parallel()
	var got strings.Builder
	for i := range goldenMessages {
		hash := sha256.Sum256(madeOf(t, uint64(i)))
		fmt.Fprintf(&got, "%x", hash[:2])
		if i%goldenLine == goldenLine-1 {
			got.WriteByte('\n')
		}
	}
	if *update {
		must(t, os.WriteFile(goldenFile, []byte(got.String()), 0o644))
	}
	want, err := os.ReadFile(goldenFile)
	must(t, err)
	if got.String() == string(want) {
		return
	}
	for i := range goldenMessages {
		at := 4*i + i/goldenLine
		if is := got.String()[at : at+4]; at+4 > len(want) || is != string(want[at:at+4]) {
			t.Fatalf("message %d is encoded otherwise: now\n%x", i, madeOf(t, uint64(i)))
		}
	}
	t.Fatalf("%s is longer than it should be", goldenFile)
}

// madeOf returns what becomes of a random message: its record, what is sent of
// it as an event, and as a delivery.
func madeOf(t *testing.T, seed uint64) []byte {
	t.Helper()
	g := &generator{rand.New(rand.NewPCG(7, seed))}
	m := g.message(t)
	all := append(record.Append(nil, m), encodeEvent(m).bytes()...)
	d := g.delivery(m)
	return append(all, encodeDelivery(d, g.Uint32N(300), g.chance(5)).bytes()...)
}

// What is read in place is what an envelope made of it says.
func TestReadingInPlace(t *testing.T) {
	t.Parallel()
	read, same := 0, 0
	for i := range uint64(goldenMessages) {
		g := &generator{rand.New(rand.NewPCG(8, i))}
		m := g.message(t)
		var e encoder
		n := e.keeps(m)
		if n == nil {
			continue
		}
		s, ok := n.sections()
		if !ok {
			continue
		}
		read++
		want := saysInFull(&s, n.verbatim, m)
		if want {
			same++
		}
		if got := e.reading.says(&s, n.verbatim, m); got != want {
			t.Fatalf("message %d: %t in place, %t in full\n%x\n%+v", i, got, want, n.head, m)
		}
	}
	if same < read/4 || read-same < read/8 {
		t.Errorf("%d of %d messages say the same: the generator is no good", same, read)
	}
}
