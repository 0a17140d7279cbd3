package record

import (
	"bytes"
	"encoding/binary"
	"math"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
)

// full is a message with every field and every type of value.
func full() *gatehouse.Message {
	return &gatehouse.Message{
		ID:            "7c1b",
		Type:          "com.example.reading",
		Subject:       "pump/7",
		Time:          time.Date(2026, 3, 29, 1, 59, 59, 123456789, time.UTC),
		ContentType:   "application/json",
		Schema:        "https://example.com/reading.json",
		Source:        "/acme/endpoints/pump-7",
		To:            []string{"channels/telemetry", "endpoints/pump-8"},
		Key:           "pump-7",
		Group:         "session-1",
		CorrelationID: "c-1",
		ReplyTo:       "endpoints/pump-7",
		TTL:           90 * time.Second,
		NotBefore:     time.Date(1969, 12, 31, 23, 59, 59, 999999999, time.UTC),
		TraceParent:   "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		Attributes: []gatehouse.Attribute{
			{Name: "null"},
			{Name: "string", Value: gatehouse.String("blåbær")},
			{Name: "empty", Value: gatehouse.String("")},
			{Name: "int64", Value: gatehouse.Int64(math.MinInt64)},
			{Name: "uint64", Value: gatehouse.Uint64(math.MaxUint64)},
			{Name: "float64", Value: gatehouse.Float64(-0.5)},
			{Name: "nan", Value: gatehouse.Float64(math.Float64frombits(0x7ff8000000000123))},
			{Name: "true", Value: gatehouse.Bool(true)},
			{Name: "false", Value: gatehouse.Bool(false)},
			{Name: "timestamp", Value: gatehouse.Timestamp(time.UnixMilli(-1))},
			{Name: "binary", Value: gatehouse.Binary([]byte{0, 0xff, 1})},
			{Name: "uuid", Value: gatehouse.UUID([16]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16})},
			{Name: "list", Value: gatehouse.List(gatehouse.Int64(1), gatehouse.List(), gatehouse.String("two"))},
			{Name: "map", Value: gatehouse.Map(
				gatehouse.Attribute{Name: "b", Value: gatehouse.Map()},
				gatehouse.Attribute{Name: "a", Value: gatehouse.List(gatehouse.Value{})},
				gatehouse.Attribute{Name: "b", Value: gatehouse.Bool(true)},
			)},
			{Name: ""},
			{Name: "string", Value: gatehouse.String("again")},
		},
		Body:     []byte(`{"pressure":1.5}`),
		Hops:     3,
		Enqueued: time.Date(2026, 3, 29, 2, 0, 0, 1, time.UTC),
		Channel:  "telemetry",
		Dead: &gatehouse.DeadLetter{
			Reason:      "TTLExpired",
			Description: "it waited longer than its ttl",
			From:        "endpoints/pump-7",
			To:          "endpoints/panel",
			Labels:      "site=oslo",
			Time:        time.Date(2026, 3, 29, 2, 1, 30, 0, time.UTC),
		},
	}
}

// roundTrip encodes and decodes m, and encodes it again.
func roundTrip(t interface {
	Helper()
	Fatalf(string, ...any)
}, m *gatehouse.Message,
) *gatehouse.Message {
	t.Helper()
	data := Append(nil, m)
	got, err := Decode(slices.Clone(data))
	if err != nil {
		t.Fatalf("decode of %x: %v", data, err)
	}
	if again := Append(nil, got); !bytes.Equal(again, data) {
		t.Fatalf("encoded again:\n%x, was\n%x", again, data)
	}
	return got
}

func TestEveryField(t *testing.T) {
	t.Parallel()
	want := full()
	got := roundTrip(t, want)
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got\n%+v, want\n%+v", got, want)
	}
	// A field that gatehouse.Message is given later must not be forgotten here.
	v := reflect.ValueOf(*got)
	for i := range v.NumField() {
		if name := v.Type().Field(i).Name; v.Field(i).IsZero() != (name == "Position") {
			t.Errorf("field %s: stored: %t", name, !v.Field(i).IsZero())
		}
	}
	if n := reflect.TypeFor[gatehouse.DeadLetter]().NumField(); n != 6 {
		t.Errorf("a dead letter has %d fields; the format has 6", n)
	}
}

func TestEachFieldAlone(t *testing.T) {
	t.Parallel()
	whole := reflect.ValueOf(*full())
	for i := range whole.NumField() {
		name := whole.Type().Field(i).Name
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := &gatehouse.Message{}
			reflect.ValueOf(m).Elem().Field(i).Set(whole.Field(i))
			if got := roundTrip(t, m); !reflect.DeepEqual(got, m) {
				t.Errorf("got\n%+v, want\n%+v", got, m)
			}
		})
	}
}

func TestNormalForms(t *testing.T) {
	t.Parallel()
	empty := roundTrip(t, &gatehouse.Message{})
	tests := map[string]*gatehouse.Message{
		"empty slices": {To: []string{}, Attributes: []gatehouse.Attribute{}, Body: []byte{}},
		"position":     {Position: gatehouse.Position{Partition: 3, Offset: 9}},
		"zero times":   {Time: time.Time{}.In(time.FixedZone("", 3600)), Enqueued: time.Time{}.Local()},
	}
	for name, m := range tests {
		if got := roundTrip(t, m); !reflect.DeepEqual(got, empty) {
			t.Errorf("%s: got %+v, want an empty message", name, got)
		}
	}
	if !reflect.DeepEqual(empty, &gatehouse.Message{}) {
		t.Errorf("the empty message comes back as %+v", empty)
	}
	dead := &gatehouse.Message{Dead: &gatehouse.DeadLetter{}}
	if got := roundTrip(t, dead); !reflect.DeepEqual(got, dead) {
		t.Errorf("got %+v, want %+v", got.Dead, dead.Dead)
	}
}

func TestTimes(t *testing.T) {
	t.Parallel()
	oslo := time.FixedZone("Oslo", 2*3600)
	tests := map[string]time.Time{
		"now, with its monotonic clock": time.Now(),
		"in a zone":                     time.Date(2026, 7, 1, 12, 0, 0, 5, oslo),
		"1970":                          time.Unix(0, 0),
		"a nanosecond before 1970":      time.Unix(0, -1),
		"1900":                          time.Date(1900, 1, 1, 0, 0, 0, 999_999_999, time.UTC),
		"before what int64 nanoseconds": time.Date(1600, 1, 1, 0, 0, 0, 1, time.UTC),
		"after what int64 nanoseconds":  time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC),
		"just after the zero time":      time.Time{}.Add(1),
		"before the zero time":          time.Time{}.Add(-time.Hour),
	}
	for name, want := range tests {
		m := &gatehouse.Message{Time: want, NotBefore: want, Enqueued: want, Dead: &gatehouse.DeadLetter{Time: want}}
		got := roundTrip(t, m)
		for _, at := range []time.Time{got.Time, got.NotBefore, got.Enqueued, got.Dead.Time} {
			if !at.Equal(want) || at.Location() != time.UTC {
				t.Errorf("%s: got %v, want %v in UTC", name, at, want)
			}
		}
	}
	for _, ms := range []int64{math.MinInt64, -1, 0, 1, math.MaxInt64} {
		v := gatehouse.Timestamp(time.UnixMilli(ms))
		got := roundTrip(t, &gatehouse.Message{Attributes: []gatehouse.Attribute{{Name: "t", Value: v}}})
		if got.Attributes[0].Value.Int64() != ms {
			t.Errorf("timestamp %d ms comes back as %d", ms, got.Attributes[0].Value.Int64())
		}
	}
}

func TestAppendKeepsWhatIsThere(t *testing.T) {
	t.Parallel()
	m := full()
	want := append([]byte("before"), Append(nil, m)...)
	if got := Append([]byte("before"), m); !bytes.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
}

// nest returns a value of depth lists and maps around v.
func nest(v gatehouse.Value, depth int) gatehouse.Value {
	for i := range depth {
		if i%2 == 0 {
			v = gatehouse.List(v)
		} else {
			v = gatehouse.Map(gatehouse.Attribute{Name: "n", Value: v})
		}
	}
	return v
}

func withValue(v gatehouse.Value) *gatehouse.Message {
	return &gatehouse.Message{Attributes: []gatehouse.Attribute{{Name: "v", Value: v}}}
}

func TestDepth(t *testing.T) {
	t.Parallel()
	most := withValue(nest(gatehouse.Int64(1), MaxDepth))
	if got := roundTrip(t, most); !reflect.DeepEqual(got, most) {
		t.Error("a value of the greatest depth comes back different")
	}
	want := withValue(nest(gatehouse.Value{}, MaxDepth))
	for _, inner := range []gatehouse.Value{gatehouse.List(), gatehouse.Map(), nest(gatehouse.Int64(1), 500)} {
		if got := roundTrip(t, withValue(nest(inner, MaxDepth))); !reflect.DeepEqual(got, want) {
			t.Error("what is beyond the greatest depth is not null")
		}
	}
	// A record cannot make the decoder go deeper.
	deep := bytes.Repeat([]byte{byte(gatehouse.TypeList), 1}, 1<<20)
	data := append([]byte{version, 0x80, 0x80, 0x02, 1, 0}, append(deep, 0)...)
	if _, err := Decode(data); err == nil || !strings.Contains(err.Error(), "nest too deep") {
		t.Errorf("a million lists within each other: %v", err)
	}
}

func TestVersions(t *testing.T) {
	t.Parallel()
	data := Append(nil, full())
	tests := map[byte]string{0: "damaged", 2: "newer", 255: "newer"}
	for v, want := range tests {
		data[0] = v
		_, err := Decode(data)
		if gatehouse.KindOf(err) != gatehouse.Internal || !strings.Contains(err.Error(), want) {
			t.Errorf("version %d: %v, want one that says %q", v, err, want)
		}
	}
}

func TestDamage(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ data, want string }{
		"empty":                 {"", "empty"},
		"version only":          {"\x01", "number is wrong"},
		"unknown field":         {"\x01\x80\x80\x80\x01", "version 1 does not have"},
		"rest":                  {"\x01\x00x", "more than the fields"},
		"long number":           {"\x01\x80\x00", "number is wrong"},
		"endless number":        {"\x01" + strings.Repeat("\xff", 20), "number is wrong"},
		"empty id":              {"\x01\x01\x00", "present is empty"},
		"id too long":           {"\x01\x01\x05abcd", "beyond the end"},
		"id as long as can be":  {"\x01\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01a", "beyond the end"},
		"body too long":         {"\x01\x80\x80\x04\x05abcd", "length of the body"},
		"empty body":            {"\x01\x80\x80\x04\x00", "length of the body"},
		"nanoseconds":           {"\x01\x08\x00\x80\x94\xeb\xdc\x03", "nanoseconds"},
		"zero time":             {"\x01\x08\xff\xdb\x8f\xf9\xce\x03\x00", "present is empty"},
		"no addresses":          {"\x01\x80\x01\x00", "present is empty"},
		"too many addresses":    {"\x01\x80\x01\x7fabc", "count goes beyond"},
		"no ttl":                {"\x01\x80\x20\x00", "present is empty"},
		"no attributes":         {"\x01\x80\x80\x02\x00", "present is empty"},
		"no hops":               {"\x01\x80\x80\x08\x00", "present is empty"},
		"hops missing":          {"\x01\x80\x80\x08", "ends too soon"},
		"type":                  {"\x01\x80\x80\x02\x01\x00\x0b", "no known type"},
		"boolean":               {"\x01\x80\x80\x02\x01\x00\x05\x02", "neither true nor false"},
		"float cut":             {"\x01\x80\x80\x02\x01\x00\x04\x00\x00", "beyond the end"},
		"uuid cut":              {"\x01\x80\x80\x02\x01\x00\x08\x00\x00", "beyond the end"},
		"dead letter's time":    {"\x01\x80\x80\x40\x00\x00\x00\x00\x00\x02", "neither there nor not"},
		"list of too many":      {"\x01\x80\x80\x02\x01\x00\x09\x7f\x00", "count goes beyond"},
		"string within body":    {"\x01\x81\x80\x04\x02\x03ab", "beyond the end"},
		"dead letter's no time": {"\x01\x80\x80\x40\x00\x00\x00\x00\x00\x01\xff\xdb\x8f\xf9\xce\x03\x00", "present is empty"},
	}
	for name, tt := range tests {
		m, err := Decode([]byte(tt.data))
		if m != nil || gatehouse.KindOf(err) != gatehouse.Internal || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want one that says %q", name, err, tt.want)
		}
	}
}

// Every record that is cut short is noticed, and a record with a bit changed
// is either noticed or is the record of another message.
func TestEveryCutAndBit(t *testing.T) {
	t.Parallel()
	data := Append(nil, full())
	for n := range data {
		if _, err := Decode(slices.Clone(data[:n])); err == nil {
			t.Errorf("cut to %d of %d bytes, it is decoded", n, len(data))
		}
	}
	for i := range len(data) * 8 {
		flipped := slices.Clone(data)
		flipped[i/8] ^= 1 << (i % 8)
		m, err := Decode(slices.Clone(flipped))
		if err == nil && !bytes.Equal(Append(nil, m), flipped) {
			t.Errorf("with bit %d changed, it is decoded to a message of another record", i)
		}
	}
}

// Counts that promise more than there is do not make the decoder allocate it.
// Not parallel: it looks at all that the process allocates.
func TestMemoryIsProportional(t *testing.T) {
	const size = 64 << 10
	nested := []byte{version, 0x80, 0x80, 0x02, 1, 0}
	for len(nested) < size-64 { // each list claims what is left
		left := uint64(size - len(nested) - 32)
		nested = append(nested, byte(gatehouse.TypeList))
		nested = binary.AppendUvarint(nested, left)
	}
	nested = append(nested, make([]byte, size-len(nested))...)
	tests := map[string][]byte{
		"lists that claim the rest": nested,
		"a list of nulls":           append([]byte{version, 0x80, 0x80, 0x02, 1, 0, byte(gatehouse.TypeList), 0x80, 0x80, 0x04}, make([]byte, size)...),
		"addresses":                 append([]byte{version, 0x80, 0x01, 0x80, 0x80, 0x04}, make([]byte, size)...),
	}
	for name, data := range tests {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Decode(data)
		runtime.ReadMemStats(&after)
		used := after.TotalAlloc - before.TotalAlloc
		if most := uint64(128*len(data) + 64<<10); used > most {
			t.Errorf("%s: %d bytes allocated for %d, at most %d allowed (%v)", name, used, len(data), most, err)
		}
	}
}

func TestAllocations(t *testing.T) {
	m := full()
	buffer := Append(nil, m)
	if n := testing.AllocsPerRun(100, func() { buffer = Append(buffer[:0], m) }); n != 0 {
		t.Errorf("Append allocates %.0f times", n)
	}
	plain := typical()
	data := Append(nil, plain)
	if n := testing.AllocsPerRun(100, func() { decodeForTest(t, data) }); n > 4 {
		t.Errorf("Decode of a typical message allocates %.0f times; 4 are needed: message, strings, addresses, attributes", n)
	}
}

func decodeForTest(t *testing.T, data []byte) {
	if _, err := Decode(data); err != nil {
		t.Fatal(err)
	}
}

func TestStringsDoNotAliasData(t *testing.T) {
	t.Parallel()
	want := full()
	data := Append(nil, want)
	got, err := Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	body := got.Body
	if len(body) == 0 || &body[0] != &data[len(data)-len(body)] {
		t.Error("the body is a copy")
	}
	got.Body = slices.Clone(body)
	clear(data)
	if !reflect.DeepEqual(got, want) {
		t.Error("the message changed with the data")
	}
	if cap(body) != len(body) {
		t.Error("the body has room to grow into what is not its own")
	}
}

// typical is a message as devices send it.
func typical() *gatehouse.Message {
	return &gatehouse.Message{
		ID:          "0190b1d2-7a4e-7c3e-9d3a-5b1f2c3d4e5f",
		Type:        "com.example.reading",
		Source:      "/acme/endpoints/pump-7",
		Time:        time.Date(2026, 3, 29, 1, 59, 59, 123456789, time.UTC),
		ContentType: "application/json",
		To:          []string{"channels/telemetry"},
		Attributes: []gatehouse.Attribute{
			{Name: "site", Value: gatehouse.String("oslo")},
			{Name: "sequence", Value: gatehouse.Int64(123456)},
			{Name: "ratio", Value: gatehouse.Float64(0.25)},
		},
		Body:     bytes.Repeat([]byte("0123456789abcdef"), 16),
		Enqueued: time.Date(2026, 3, 29, 2, 0, 0, 1, time.UTC),
	}
}
