package azuretest

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse/adapter/adaptertest"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
)

// checkpoints is a checkpoint store in memory.
type checkpoints struct {
	mu     sync.Mutex
	tags   int
	owners map[string]azeventhubs.Ownership
	points map[string]azeventhubs.Checkpoint
}

func newCheckpoints() *checkpoints {
	return &checkpoints{owners: make(map[string]azeventhubs.Ownership), points: make(map[string]azeventhubs.Checkpoint)}
}

// ClaimOwnership implements azeventhubs.CheckpointStore.
func (c *checkpoints) ClaimOwnership(_ context.Context, wanted []azeventhubs.Ownership, _ *azeventhubs.ClaimOwnershipOptions) ([]azeventhubs.Ownership, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var got []azeventhubs.Ownership
	for _, o := range wanted {
		now, owned := c.owners[o.PartitionID]
		if owned && (o.ETag == nil || *o.ETag != *now.ETag) {
			continue // somebody was faster
		}
		c.tags++
		o.ETag, o.LastModifiedTime = new(azcore.ETag(strconv.Itoa(c.tags))), time.Now()
		c.owners[o.PartitionID] = o
		got = append(got, o)
	}
	return got, nil
}

// ListOwnership implements azeventhubs.CheckpointStore.
func (c *checkpoints) ListOwnership(context.Context, string, string, string, *azeventhubs.ListOwnershipOptions) ([]azeventhubs.Ownership, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]azeventhubs.Ownership, 0, len(c.owners))
	for _, o := range c.owners {
		all = append(all, o)
	}
	return all, nil
}

// ListCheckpoints implements azeventhubs.CheckpointStore.
func (c *checkpoints) ListCheckpoints(context.Context, string, string, string, *azeventhubs.ListCheckpointsOptions) ([]azeventhubs.Checkpoint, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]azeventhubs.Checkpoint, 0, len(c.points))
	for _, p := range c.points {
		all = append(all, p)
	}
	return all, nil
}

// SetCheckpoint implements azeventhubs.CheckpointStore.
func (c *checkpoints) SetCheckpoint(_ context.Context, p azeventhubs.Checkpoint, _ *azeventhubs.SetCheckpointOptions) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.points[p.PartitionID] = p
	return nil
}

// shares returns how many partitions each owner has.
func (c *checkpoints) shares() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := make(map[string]int)
	for _, o := range c.owners {
		n[o.OwnerID]++
	}
	return n
}

// An event that a processor has had, with who has had it.
type handled struct {
	owner, partition, body string
}

// process runs a processor, which checkpoints every event that it reports,
// until stop is called.
func (s *site) process(store *checkpoints, report chan<- handled) (owner string, stop func()) {
	s.t.Helper()
	consumer := s.consumer(adaptertest.PolicyKey())
	p, err := azeventhubs.NewProcessor(consumer, store, &azeventhubs.ProcessorOptions{
		UpdateInterval: 20 * time.Millisecond, PartitionExpirationDuration: time.Hour,
		StartPositions: azeventhubs.StartPositions{Default: azeventhubs.StartPosition{Earliest: new(true)}},
	})
	s.must(err)
	ctx, cancel := context.WithCancel(s.ctx)
	var work sync.WaitGroup
	work.Go(func() {
		if err := p.Run(ctx); err != nil {
			s.t.Errorf("Run: %v", err)
		}
	})
	work.Go(func() {
		for {
			client := p.NextPartitionClient(ctx)
			if client == nil {
				return
			}
			work.Go(func() { s.consume(ctx, consumer.InstanceID(), client, report) })
		}
	})
	stop = sync.OnceFunc(func() {
		cancel()
		work.Wait()
	})
	s.t.Cleanup(stop)
	return consumer.InstanceID(), stop
}

// consume handles the events of a partition until it is taken away.
func (s *site) consume(ctx context.Context, owner string, client *azeventhubs.ProcessorPartitionClient, report chan<- handled) {
	defer client.Close(context.WithoutCancel(ctx)) //nolint:errcheck // it may be gone
	for {
		events, err := client.ReceiveEvents(ctx, 1, nil)
		for _, e := range events {
			if err := client.UpdateCheckpoint(ctx, e, nil); err != nil && ctx.Err() == nil {
				s.t.Errorf("checkpoint: %v", err)
			}
			report <- handled{owner, client.PartitionID(), string(e.Body)}
		}
		if err != nil {
			return // the partition is another's now, or the processor stops
		}
	}
}

// Two processors share the partitions: the second takes one from the first,
// which loses it, and each event is handled once in the end.
func TestProcessors(t *testing.T) {
	s := newSite(t)
	producer, store, report := s.trusted(), newCheckpoints(), make(chan handled, 10000)
	// round sends one event to each partition and waits for them: owners has who
	// handled what.
	sent := 0
	round := func() map[string]string {
		t.Helper()
		want := map[string]bool{}
		owners := map[string]string{}
		for i := range 8 { // keys enough for every partition
			body := fmt.Sprint("e", sent)
			sent++
			s.must(s.produce(producer, &azeventhubs.EventDataBatchOptions{PartitionKey: new(fmt.Sprint("key-", i))}, body))
			want[body] = true
		}
		for len(want) > 0 {
			select {
			case h := <-report:
				if want[h.body] {
					delete(want, h.body)
					owners[h.partition] = h.owner
				} // or else it is one that a new owner had again
			case <-s.ctx.Done():
				t.Fatalf("%d events did not come", len(want))
			}
		}
		return owners
	}
	first, stopFirst := s.process(store, report)
	if got := round(); got["0"] != first || got["1"] != first {
		t.Fatalf("the only processor %s has not all: %v", first, got)
	}
	second, _ := s.process(store, report)
	for {
		if got := round(); got["0"] != got["1"] {
			break // one each
		}
		if s.ctx.Err() != nil {
			t.Fatalf("the second has got none: %v", store.shares())
		}
	}
	if shares := store.shares(); shares[first] != 1 || shares[second] != 1 {
		t.Errorf("shares %v", shares)
	}
	// The first gives its partition up, and the second has both.
	stopFirst()
	for {
		if got := round(); got["0"] == second && got["1"] == second {
			break
		}
	}
}
