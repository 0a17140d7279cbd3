package wire

import (
	"encoding/hex"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/tinylib/msgp/msgp"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestJSONToMessagePackAndBack(t *testing.T) {
	t.Parallel()
	big := "[" + strings.TrimSuffix(strings.Repeat("7,", 70_000), ",") + "]"
	wide := `{"a":[` + strings.TrimSuffix(strings.Repeat(`"x",`, 20), ",") + `],"b":{"c":1}}`
	for _, text := range []string{
		`null`, `true`, `false`, `0`, `-1`, `42`, `-129`, `9223372036854775807`, `-9223372036854775808`,
		`18446744073709551615`, `1.5`, `-0.25`, `1e+300`, `""`, `"é \" \\ \n \u0001 𝄞"`, `[]`, `{}`, `[1,[2,[3]]]`,
		`{"a":null,"b":[true,"x"],"c":{"d":1.25}}`, big, wide,
	} {
		packed, err := JSON([]byte(text)).AppendMessagePack([]byte("x"))
		if err != nil || packed[0] != 'x' {
			t.Fatalf("%.80s: %v", text, err)
		}
		back, err := MessagePack(packed[1:]).AppendJSON(nil)
		if err != nil {
			t.Fatalf("%.80s: %v", text, err)
		}
		if string(back) != text {
			t.Errorf("%.80s became %.80s", text, back)
		}
	}
}

func TestWhatJSONHasNot(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 12, 30, 0, 500, time.UTC)
	for _, test := range []struct {
		name string
		pack []byte
		want string // empty: refused
	}{
		{"bin", msgp.AppendBytes(nil, []byte{0xff, 0, 1}), `"/wAB"`},
		{"empty bin", msgp.AppendBytes(nil, nil), `""`},
		{"timestamp", msgp.AppendTimeExt(nil, at), `"2026-03-01T12:30:00.0000005Z"`},
		{"other extension", unhex(t, "d4 10 00"), ""},
		{"NaN", msgp.AppendFloat64(nil, math.NaN()), ""},
		{"infinity", msgp.AppendFloat32(nil, float32(math.Inf(1))), ""},
		{"key that is a number", unhex(t, "81 01 02"), ""},
		{"key that is bin", unhex(t, "81 c4 01 61 02"), ""},
		{"not UTF-8", unhex(t, "a1 ff"), ""},
		{"too short", unhex(t, "92 01"), ""},
		{"huge array", unhex(t, "dd ff ff ff ff 01"), ""},
		{"huge map", unhex(t, "df ff ff ff ff a1 61"), ""},
		{"two values", unhex(t, "01 02"), ""},
		{"nothing", []byte{}, ""},
		{"reserved", unhex(t, "c1"), ""},
		{"float32", msgp.AppendFloat32(nil, 0.1), `0.1`},
		{"whole float", msgp.AppendFloat64(nil, 3), `3.0`},
		{"too deep", []byte(strings.Repeat("\x91", 65) + "\x01"), ""},
		{"deep", []byte(strings.Repeat("\x91", 64) + "\x01"), strings.Repeat("[", 64) + "1" + strings.Repeat("]", 64)},
	} {
		got, err := MessagePack(test.pack).AppendJSON(nil)
		switch {
		case test.want == "" && !errors.Is(err, ErrValue):
			t.Errorf("%s: %s, %v; want it refused", test.name, got, err)
		case test.want != "" && (err != nil || string(got) != test.want):
			t.Errorf("%s: %s, %v; want %s", test.name, got, err, test.want)
		}
	}
}

func TestMalformedJSON(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		``, ` `, `nul`, `tru`, `01`, `1.`, `.5`, `+1`, `1e`, `-`, `"`, `"\x"`, `"\u12"`, `"\u12G4"`, "\"\n\"", `[`, `[1`, `[1,]`, `[,1]`,
		`{`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,}`, `{a:1}`, `{"a" 1}`, `1 2`, "\"\xff\"", `]`, `NaN`, `1e999`, `'x'`,
		strings.Repeat("[", 65) + strings.Repeat("]", 65),
	} {
		if got, err := JSON([]byte(text)).AppendMessagePack(nil); !errors.Is(err, ErrValue) {
			t.Errorf("%q became %x, %v; want it refused", text, got, err)
		}
	}
}

func TestAccess(t *testing.T) {
	t.Parallel()
	text := []byte(`{"s":"a\u00e9\ud834\udd1e\ud834","n":-7,"f":7.0,"b":true,"z":null,"l":[1,2],"m":{"k":"aGk="}}`)
	packed, err := JSON(text).AppendMessagePack(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]Value{"json": JSON(text), "messagepack": MessagePack(packed)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := map[string]Value{}
			err := value.Members(func(key string, v Value) error { m[key] = v; return nil })
			if err != nil || len(m) != 7 {
				t.Fatalf("%d members, %v", len(m), err)
			}
			if s, err := m["s"].Str(); s != "aé𝄞\uFFFD" || err != nil {
				t.Errorf("s: %q, %v", s, err)
			}
			if n, err := m["n"].Int(); n != -7 || err != nil {
				t.Errorf("n: %d, %v", n, err)
			}
			if n, err := m["f"].Int(); n != 7 || err != nil {
				t.Errorf("f: %d, %v", n, err)
			}
			if b, err := m["b"].Bool(); !b || err != nil {
				t.Errorf("b: %v, %v", b, err)
			}
			if m["z"].Kind() != Null || m["l"].Kind() != Array || m["m"].Kind() != Map || (Value{}).Kind() != None {
				t.Error("a kind is wrong")
			}
			sum := int64(0)
			if err := m["l"].Elements(func(v Value) error { n, err := v.Int(); sum += n; return err }); sum != 3 || err != nil {
				t.Errorf("l: %d, %v", sum, err)
			}
			_ = m["m"].Members(func(_ string, v Value) error {
				if b, err := v.Bin(); string(b) != "hi" || err != nil {
					t.Errorf("base64: %q, %v", b, err)
				}
				return nil
			})
			if _, err := m["n"].Str(); !errors.Is(err, ErrValue) {
				t.Errorf("a number as a string: %v", err)
			}
			if _, err := m["s"].Int(); !errors.Is(err, ErrValue) {
				t.Errorf("a string as a number: %v", err)
			}
			if _, err := m["s"].Bin(); !errors.Is(err, ErrValue) {
				t.Errorf("text as bytes: %v", err)
			}
		})
	}
	if b, err := MessagePack(msgp.AppendBytes(nil, []byte("hi"))).Bin(); string(b) != "hi" || err != nil {
		t.Errorf("bin: %q, %v", b, err)
	}
	if s, err := Text("a\xff\"").Str(); s != "a\uFFFD\"" || err != nil {
		t.Errorf("Text: %q, %v", s, err)
	}
	if n, err := Integer(-5).Int(); n != -5 || err != nil {
		t.Errorf("Integer: %d, %v", n, err)
	}
	if b, err := Boolean(true).Bool(); !b || err != nil {
		t.Errorf("Boolean: %v, %v", b, err)
	}
}

func TestVectors(t *testing.T) {
	t.Parallel()
	r, err := MessagePackProtocol{}.Decode(unhex(t, "96 01 80 a3 78 79 7a a6 6d 65 74 68 6f 64 91 2a 90"))
	if err != nil || r.Type != Invocation || r.ID != "xyz" || r.Target != "method" || len(r.Arguments) != 1 || r.Streams != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	if n, err := r.Arguments[0].Int(); n != 42 || err != nil {
		t.Errorf("the argument is %d, %v", n, err)
	}
	again, err := MessagePackProtocol{}.Append(nil, &r)
	if want := "11960180a378797aa66d6574686f64912a90"; hex.EncodeToString(again) != want || err != nil {
		t.Errorf("%x, %v; want %s", again, err, want)
	}
	ping, _ := MessagePackProtocol{}.Append(nil, &Record{Type: Ping})
	if hex.EncodeToString(ping) != "029106" {
		t.Errorf("ping is %x", ping)
	}
}

// records are of all types, with what they may carry.
func records() []Record {
	one := []Value{JSON([]byte(`{"a":[1,"x"]}`))}
	return []Record{
		{Type: Invocation, Target: "Send", Arguments: one},
		{Type: Invocation, ID: "7", Target: `Se"nd`},
		{Type: StreamItem, ID: "1", Result: Integer(5)},
		{Type: Completion, ID: "1"},
		{Type: Completion, ID: "1", Result: JSON([]byte("null"))},
		{Type: Completion, ID: "1", Result: Text("x")},
		{Type: Completion, ID: "1", Failed: true, Error: "quota: full"},
		{Type: Completion, ID: "1", Failed: true},
		{Type: StreamInvocation, ID: "2", Target: "Stream", Arguments: one},
		{Type: CancelInvocation, ID: "2"},
		{Type: Ping},
		{Type: Close},
		{Type: Close, Error: "bye", Reconnect: true},
		{Type: Ack, Number: 12},
		{Type: Sequence, Number: 1 << 40},
	}
}

// same reports whether two records mean the same.
func same(t *testing.T, a, b Record) bool {
	t.Helper()
	text := func(r Record) string {
		out, err := JSONProtocol{}.Append(nil, &r)
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	return text(a) == text(b) && a.Streams == b.Streams
}

func TestRecordsGoThere(t *testing.T) {
	t.Parallel()
	for _, p := range []Protocol{JSONProtocol{}, MessagePackProtocol{}} {
		var all []byte
		var err error
		for _, r := range records() {
			if all, err = p.Append(all, &r); err != nil {
				t.Fatal(err)
			}
		}
		for _, want := range records() {
			for cut := range 3 { // what is not whole waits
				if _, size, err := p.Next(all[:cut], 1000); size != 0 || err != nil {
					t.Fatalf("%s: %d bytes are a record, %v", p.Name(), size, err)
				}
			}
			record, size, err := p.Next(all, 1000)
			if err != nil || size == 0 {
				t.Fatal(p.Name(), size, err)
			}
			got, err := p.Decode(record)
			if err != nil || !same(t, got, want) {
				t.Errorf("%s: %+v became %+v, %v", p.Name(), want, got, err)
			}
			all = all[size:]
		}
	}
}

func TestMalformedRecords(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		``, `[]`, `{}`, `{"type":"x"}`, `{"type":null}`, `{"type":1}`, `{"type":1,"target":5}`, `{"type":1,"target":"a","arguments":{}}`,
		`{"type":3}`, `{"type":3,"invocationId":"1","result":1,"error":"x"}`, `{"type":3,"invocationId":1}`, `{"type":4,"target":"a","arguments":[]}`,
		`{"type":5}`, `{"type":8,"sequenceId":-1}`, `{"type":9,"sequenceId":"x"}`, `{"type":6}x`, `{"type":7,"error":5}`,
	} {
		if r, err := (JSONProtocol{}).Decode([]byte(text)); !errors.Is(err, ErrRecord) {
			t.Errorf("%s: %+v, %v; want it refused", text, r, err)
		}
	}
	for _, h := range []string{
		"", "c0", "90", "91c0", "9101", "940180c0a161", "950180c0a16105", "93038001", "930380a131", "940380a13109", "940380a13101", "9108", "910a00ff", "92088", "9208ff", "960180c005919090",
	} {
		b, _ := hex.DecodeString(h)
		if r, err := (MessagePackProtocol{}).Decode(b); !errors.Is(err, ErrRecord) {
			t.Errorf("%s: %+v, %v; want it refused", h, r, err)
		}
	}
	for _, known := range []string{`{"type":77,"x":[1]}`, `{"type":1,"target":"a","arguments":null,"more":{"type":9}}`} {
		if _, err := (JSONProtocol{}).Decode([]byte(known)); err != nil {
			t.Errorf("%s: %v", known, err)
		}
	}
	if r, err := (MessagePackProtocol{}).Decode([]byte("\x92\x4d\xc0")); err != nil || r.Type != 77 {
		t.Errorf("an unknown type: %+v, %v", r, err)
	}
}

func TestLengths(t *testing.T) {
	t.Parallel()
	p := MessagePackProtocol{}
	for _, length := range []int{0, 1, 127, 128, 16383, 16384, 100_000, 3 << 20} {
		text := make([]byte, length)
		b, err := p.Append([]byte("x"), &Record{Type: StreamItem, ID: "1", Result: Text(strings.Repeat("a", length))})
		if err != nil {
			t.Fatal(err)
		}
		record, size, err := p.Next(b[1:], len(b))
		if err != nil || size != len(b)-1 {
			t.Fatalf("%d: %d of %d, %v", len(text), size, len(b)-1, err)
		}
		if r, err := p.Decode(record); err != nil {
			t.Errorf("%d: %v", length, err)
		} else if s, err := r.Result.Str(); len(s) != length || err != nil {
			t.Errorf("%d: %d, %v", length, len(s), err)
		}
	}
	for _, h := range []string{"8080808008", "ffffffff7f", "8080808080"} {
		if _, _, err := p.Next(unhex(t, h), 1<<31); !errors.Is(err, ErrRecord) {
			t.Errorf("%s: %v", h, err)
		}
	}
	if _, _, err := p.Next(unhex(t, "ffffffff07"), 1000); !errors.Is(err, ErrTooLarge) {
		t.Errorf("2 GiB: %v", err)
	}
	if _, _, err := (JSONProtocol{}).Next([]byte("12345"), 4); !errors.Is(err, ErrTooLarge) {
		t.Errorf("JSON: %v", err)
	}
	if _, _, err := (JSONProtocol{}).Next([]byte("12345\x1e"), 4); !errors.Is(err, ErrTooLarge) {
		t.Errorf("JSON: %v", err)
	}
}

func TestHandshakes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"protocol":"json","version":1}`:                "json",
		`{ "version":2, "protocol":"messagepack","x":1}`: "messagepack",
	} {
		if h, err := DecodeHandshake([]byte(text)); err != nil || h.Protocol.Name() != want {
			t.Errorf("%s: %+v, %v", text, h, err)
		}
	}
	for _, text := range []string{``, `{}`, `{"protocol":"xml","version":1}`, `{"protocol":"json","version":3}`, `{"protocol":"json"}`, `{"protocol":5,"version":1}`} {
		if h, err := DecodeHandshake([]byte(text)); !errors.Is(err, ErrRecord) {
			t.Errorf("%s: %+v, %v", text, h, err)
		}
	}
	if got := string(AppendHandshake(nil, "")); got != "{}\x1e" {
		t.Errorf("accepted: %q", got)
	}
	if got := string(AppendHandshake(nil, `no "x"`)); got != `{"error":"no \"x\""}`+"\x1e" {
		t.Errorf("refused: %q", got)
	}
}

// TestManyArguments has records that would cost many times their size.
func TestManyArguments(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]error{MaxElements: nil, MaxElements + 1: ErrRecord, 500_000: ErrRecord} {
		for _, r := range []string{`{"type":1,"target":"x","arguments":[%]}`, `{"type":1,"target":"x","arguments":[],"streamIds":[%]}`} {
			text := strings.Replace(r, "%", strings.TrimSuffix(strings.Repeat("0,", n), ","), 1)
			if _, err := (JSONProtocol{}).Decode([]byte(text)); !errors.Is(err, want) {
				t.Errorf("%d in JSON: %v", n, err)
			}
		}
		packed := append([]byte{0x95, 1, 0x80, 0xc0, 0xa1, 'x'}, msgp.AppendArrayHeader(nil, uint32(n))...)
		if _, err := (MessagePackProtocol{}).Decode(append(packed, make([]byte, n)...)); !errors.Is(err, want) {
			t.Errorf("%d in MessagePack: %v", n, err)
		}
	}
}
