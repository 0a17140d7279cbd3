package record

import (
	"testing"

	"github.com/gatehouse/gatehouse"
)

func BenchmarkAppend(b *testing.B) {
	for name, m := range map[string]*gatehouse.Message{"typical": typical(), "full": full()} {
		b.Run(name, func(b *testing.B) {
			buffer := Append(nil, m)
			b.SetBytes(int64(len(buffer)))
			b.ReportAllocs()
			for b.Loop() {
				buffer = Append(buffer[:0], m)
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for name, m := range map[string]*gatehouse.Message{"typical": typical(), "full": full()} {
		b.Run(name, func(b *testing.B) {
			data := Append(nil, m)
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Decode(data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
