package httpapi

import (
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse"
)

// TestDecodeBatch reads testdata/batch/*.txt: a body, then ---, then the
// messages in it.
func TestDecodeBatch(t *testing.T) {
	t.Parallel()
	golden(t, "testdata/batch/*.txt", func(_ *testing.T, in string) string {
		batch, err := decodeBatch([]byte(in), 3)
		if err != nil {
			return gatehouse.KindOf(err).String() + ": " + err.Error() + "\n"
		}
		var b strings.Builder
		for _, m := range batch {
			b.WriteString(describe(m) + "\n")
		}
		return b.String()
	})
}
