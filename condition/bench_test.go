package condition

import "testing"

func BenchmarkEval(b *testing.B) {
	for _, bench := range []struct{ name, text string }{
		{"type", `msg.type == "order.new"`},
		{"three", `msg.type == "order.new" && msg.size < 65536 && msg.attributes["region"] in ["eu", "us"]`},
		{"first-false", `msg.type == "other" && msg.size < 65536 && msg.attributes["region"] in ["eu", "us"]`},
		{"label", `endpoint.labels.site == "oslo" && now - msg.time < duration("5m")`},
		{"json-again", `msg.json.n == 5`},
		{"loop", `msg.json.items.exists(i, i.count > 5)`},
	} {
		b.Run(bench.name, func(b *testing.B) {
			c, err := Compile(bench.text)
			if err != nil {
				b.Fatal(err)
			}
			v := vars(full())
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Eval(v); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("json", func(b *testing.B) {
		c, err := Compile(`msg.json.n == 5`)
		if err != nil {
			b.Fatal(err)
		}
		m := full()
		b.ReportAllocs()
		for b.Loop() {
			if is, err := c.Eval(&Vars{Message: m}); !is || err != nil {
				b.Fatal(is, err)
			}
		}
	})
}

func BenchmarkCompile(b *testing.B) {
	for b.Loop() {
		if _, err := Compile(`msg.type == "order.new" && msg.size < 65536 && msg.attributes["region"] in ["eu", "us"]`); err != nil {
			b.Fatal(err)
		}
	}
}
