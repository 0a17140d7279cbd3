package wire

import (
	"encoding/base64"
	"encoding/json"
	"testing"
	"time"

	"github.com/tinylib/msgp/msgp"
)

func fuzzRecords(f *testing.F, p Protocol) {
	f.Helper()
	for _, r := range records() {
		b, _ := p.Append(nil, &r)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		record, size, err := p.Next(data, 1<<20)
		if err != nil || size == 0 {
			return
		}
		r, err := p.Decode(record)
		if err != nil {
			return
		}
		again, err := p.Append(nil, &r)
		if err != nil {
			return // values are checked when they are used
		}
		whole, size, err := p.Next(again, 2<<20)
		if err != nil || size != len(again) {
			t.Fatalf("%x: what was written is not a record: %v", again, err)
		}
		r2, err := p.Decode(whole)
		if err != nil {
			t.Fatalf("%x: %v", again, err)
		}
		if third, err := p.Append(nil, &r2); err != nil || string(third) != string(again) {
			t.Fatalf("%x became %x, %v", again, third, err)
		}
	})
}

func FuzzJSONRecords(f *testing.F) { fuzzRecords(f, JSONProtocol{}) }

func FuzzMessagePackRecords(f *testing.F) { fuzzRecords(f, MessagePackProtocol{}) }

func FuzzJSONValues(f *testing.F) {
	for _, s := range []string{`{"a":[1,-2.5e3,"\u00e9"],"b":null}`, `[[]]`, `"\ud834\udd1e"`, `-0`, `1e400`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		packed, err := JSON(text).AppendMessagePack(nil)
		if (err == nil) && !json.Valid(text) {
			t.Fatalf("%q is not JSON, but was taken", text)
		}
		if err != nil {
			return
		}
		back, err := MessagePack(packed).AppendJSON(nil)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		again, err := JSON(back).AppendMessagePack(nil)
		if err != nil || string(again) != string(packed) {
			t.Fatalf("%q: %x became %x, %v", text, packed, again, err)
		}
	})
}

func FuzzMessagePackValues(f *testing.F) {
	f.Add([]byte{0x82, 0xa1, 'a', 0xc4, 1, 0xff, 0xa1, 'b', 0x93, 1, 0xc0, 0xcb, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add(msgp.AppendTimeExt(nil, time.Unix(1, 2)))
	f.Fuzz(func(t *testing.T, packed []byte) {
		text, err := MessagePack(packed).AppendJSON(nil)
		if err != nil {
			return
		}
		if !json.Valid(text) {
			t.Fatalf("%x became %q", packed, text)
		}
		if _, err := JSON(text).AppendMessagePack(nil); err != nil {
			t.Fatalf("%x became %q: %v", packed, text, err)
		}
		if b, err := MessagePack(packed).Bin(); err == nil && MessagePack(packed).Kind() == Bytes &&
			`"`+base64.StdEncoding.EncodeToString(b)+`"` != string(text) {
			t.Fatalf("%x has bytes %x, and is %s", packed, b, text)
		}
	})
}
