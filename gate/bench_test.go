package gate_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/gate"
)

// BenchmarkSubmit takes messages of 256 bytes through the gate over the memory
// engine: everything but the disk.
func BenchmarkSubmit(b *testing.B) {
	for _, flight := range []int{64, 1000} {
		b.Run(fmt.Sprint(flight), func(b *testing.B) {
			r := newRig(b)
			s := r.sender()
			body := make([]byte, 256)
			slots := make(chan struct{}, flight)
			var failed error
			var once sync.Once
			done := func(_ gate.Receipt, err error) {
				if err != nil {
					once.Do(func() { failed = err })
				}
				<-slots
			}
			ctx := context.Background()
			b.ReportAllocs()
			for b.Loop() {
				slots <- struct{}{}
				if err := s.Submit(ctx, done, &gatehouse.Message{Body: body, Type: "reading"}); err != nil {
					b.Fatal(err)
				}
			}
			for range flight {
				slots <- struct{}{}
			}
			if failed != nil {
				b.Fatal(failed)
			}
		})
	}
}
