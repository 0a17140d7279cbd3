package cloudevents

import (
	"bytes"
	"testing"

	"github.com/gatehouse/gatehouse"
)

func FuzzDecode(f *testing.F) {
	f.Add(Append(nil, full()))
	f.Add([]byte(`{"specversion":"1.0","id":"1","source":"/","type":"t","data_base64":"AAE=","datacontenttype":"x/y"}`))
	f.Add([]byte(`{"data":{"a":[1,2,{"b":"c\""}]},"x":1e400,"gatehouseattributes":"{\"a\":{\"$map\":{\"b\":{\"$float64\":\"NaN\"}}}}"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Decode(bytes.Clone(data))
		if err != nil {
			if gatehouse.KindOf(err) != gatehouse.Invalid {
				t.Fatalf("kind of %v", err)
			}
			return
		}
		text := Append(nil, m)
		again, err := Decode(bytes.Clone(text))
		if err != nil {
			t.Fatalf("own output refused: %v: %s", err, text)
		}
		if other := Append(nil, again); !bytes.Equal(text, other) {
			t.Fatalf("not stable:\n%s\n%s", text, other)
		}
	})
}

func FuzzDecodeBatch(f *testing.F) {
	f.Add(AppendBatch(nil, full(), full()))
	f.Add([]byte(`[{},{"id":"1"}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		batch, err := DecodeBatch(data, 100)
		if err != nil {
			return
		}
		again, err := DecodeBatch(AppendBatch(nil, batch...), 100)
		if err != nil || len(again) != len(batch) {
			t.Fatalf("%d events became %d: %v", len(batch), len(again), err)
		}
	})
}

func FuzzHeader(f *testing.F) {
	f.Add("Euro%20%E2%82%AC", "subject")
	f.Add(`"a\"b"`, "TTL")
	f.Fuzz(func(t *testing.T, value, name string) {
		plain, err := DecodeHeader(value)
		if err != nil {
			return
		}
		if back, err := DecodeHeader(EncodeHeader(plain)); err != nil || back != plain {
			t.Fatalf("%q came back as %q, %v", plain, back, err)
		}
		_ = Set(new(gatehouse.Message), name, plain)
	})
}

func BenchmarkAppend(b *testing.B) {
	m, dst := full(), make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		dst = Append(dst[:0], m)
	}
}

func BenchmarkDecode(b *testing.B) {
	text := Append(nil, full())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(text); err != nil {
			b.Fatal(err)
		}
	}
}
