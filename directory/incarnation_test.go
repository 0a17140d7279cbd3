package directory_test

import (
	"context"
	"testing"

	"github.com/gatehouse/gatehouse/directory"
)

// TestIncarnation says that an endpoint keeps its number whatever is changed about it,
// and that the next one of its name has another.
func TestIncarnation(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	e := newEngine(t)
	d := open(t, e)
	acme(t, d)
	incarnation := func() uint32 { return account(t, d).Endpoint("pump-7").Incarnation() }
	seen := make(map[uint32]bool)
	for range 3 {
		put(t, d, &directory.EndpointSpec{Name: "pump-7"})
		first := incarnation()
		if first == 0 || seen[first] {
			t.Errorf("number %d, after %v", first, seen)
		}
		seen[first] = true
		put(t, d, &directory.EndpointSpec{Name: "Pump-7", Description: "another"})
		if err := d.Revoke(ctx, "acme", "pump-7", directory.Revoked{Send: true}); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Rotate(ctx, "acme", "pump-7", "send", directory.Primary); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Apply(ctx, &directory.File{Account: "acme", Endpoints: []directory.EndpointSpec{{Name: "pump-7"}}}, true); err != nil {
			t.Fatal(err)
		}
		if again := incarnation(); again != first {
			t.Errorf("number %d has become %d", first, again)
		}
		d.Close()
		d = open(t, e)
		if again := incarnation(); again != first {
			t.Errorf("number %d is read as %d", first, again)
		}
		if err := d.Delete(ctx, "acme", directory.KindEndpoint, "pump-7", 0); err != nil {
			t.Fatal(err)
		}
	}
}
