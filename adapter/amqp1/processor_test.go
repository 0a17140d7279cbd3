package amqp1

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

// checkpoints is a checkpoint store of Azure's SDK, in memory.
type checkpoints struct {
	mu     sync.Mutex
	tags   int
	owners map[string]azeventhubs.Ownership
	points map[string]azeventhubs.Checkpoint
}

func (c *checkpoints) ClaimOwnership(_ context.Context, wanted []azeventhubs.Ownership, _ *azeventhubs.ClaimOwnershipOptions) ([]azeventhubs.Ownership, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var got []azeventhubs.Ownership
	for _, o := range wanted {
		now, owned := c.owners[o.PartitionID]
		if owned && (o.ETag == nil || *o.ETag != *now.ETag) {
			continue
		}
		c.tags++
		o.ETag, o.LastModifiedTime = pointer(azcore.ETag(strconv.Itoa(c.tags))), time.Now()
		c.owners[o.PartitionID] = o
		got = append(got, o)
	}
	return got, nil
}

func (c *checkpoints) ListOwnership(context.Context, string, string, string, *azeventhubs.ListOwnershipOptions) ([]azeventhubs.Ownership, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []azeventhubs.Ownership
	for _, o := range c.owners {
		all = append(all, o)
	}
	return all, nil
}

func (c *checkpoints) ListCheckpoints(context.Context, string, string, string, *azeventhubs.ListCheckpointsOptions) ([]azeventhubs.Checkpoint, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []azeventhubs.Checkpoint
	for _, p := range c.points {
		all = append(all, p)
	}
	return all, nil
}

func (c *checkpoints) SetCheckpoint(_ context.Context, p azeventhubs.Checkpoint, _ *azeventhubs.SetCheckpointOptions) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.points[p.PartitionID] = p
	return nil
}

// The processor of Azure's SDK spreads the partitions of a channel over its
// clients, and goes on at the checkpoint.
func TestProcessor(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	store := &checkpoints{owners: map[string]azeventhubs.Ownership{}, points: map[string]azeventhubs.Checkpoint{}}
	sender := s.sender(s.connect(), publisher)
	for i := range 4 {
		s.must(sender.Send(s.ctx, toReceiver(fmt.Sprint(i)), nil))
	}
	if got := s.process(store, 2); got != "01" {
		t.Errorf("first: %s", got)
	}
	if got := s.process(store, 2); got != "23" {
		t.Errorf("from the checkpoint on: %s", got)
	}
}

// process runs a processor until it has had n events, the last of which is a
// checkpoint, and returns their bodies.
func (s *site) process(store *checkpoints, n int) string {
	s.t.Helper()
	clear(store.owners)
	consumer, err := azeventhubs.NewConsumerClientFromConnectionString(s.connectionString(adaptertest.Policy, adaptertest.PolicyKey()), hub, azeventhubs.DefaultConsumerGroup, nil)
	s.must(err)
	defer consumer.Close(s.ctx) //nolint:errcheck // the test is over
	earliest := azeventhubs.StartPosition{Earliest: pointer(true)}
	processor, err := azeventhubs.NewProcessor(consumer, store, &azeventhubs.ProcessorOptions{
		LoadBalancingStrategy: azeventhubs.ProcessorStrategyGreedy, UpdateInterval: 50 * time.Millisecond,
		StartPositions: azeventhubs.StartPositions{Default: earliest},
	})
	s.must(err)
	running, stop := context.WithCancel(s.ctx)
	var work sync.WaitGroup
	work.Go(func() {
		if err := processor.Run(running); err != nil {
			s.t.Error(err)
		}
	})
	bodies := make(chan string, 1)
	work.Go(func() {
		for {
			partition := processor.NextPartitionClient(running)
			if partition == nil {
				return
			}
			work.Go(func() {
				defer partition.Close(context.WithoutCancel(running)) //nolint:errcheck // the test is over
				events, err := partition.ReceiveEvents(running, n, nil)
				for err == nil && len(events) < n {
					var more []*azeventhubs.ReceivedEventData
					more, err = partition.ReceiveEvents(running, n-len(events), nil)
					events = append(events, more...)
				}
				if err != nil {
					return // stopped: nothing came to this partition
				}
				all := ""
				for _, e := range events {
					all += string(e.Body)
				}
				if err := partition.UpdateCheckpoint(running, events[len(events)-1], nil); err != nil {
					s.t.Error(err)
				}
				bodies <- all
			})
		}
	})
	defer work.Wait()
	defer stop()
	select {
	case all := <-bodies:
		return all
	case <-s.ctx.Done():
		return "too late"
	}
}
