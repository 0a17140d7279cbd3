package azuretest

import (
	"fmt"
	"time"

	"github.com/gatehouse/gatehouse/adapter/adaptertest"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
)

// hubRetries lets a client try again at once, and for as long as the test
// lasts, where the SDK thinks that this can help.
func hubRetries() azeventhubs.RetryOptions {
	return azeventhubs.RetryOptions{MaxRetries: 1 << 20, RetryDelay: time.Millisecond, MaxRetryDelay: 20 * time.Millisecond}
}

// producer returns a producer for an entity, which the connection string names.
func (s *site) producer(policy, key, entity string) *azeventhubs.ProducerClient {
	s.t.Helper()
	p, err := azeventhubs.NewProducerClientFromConnectionString(s.connectionString(policy, key, entity), "", &azeventhubs.ProducerClientOptions{RetryOptions: hubRetries()})
	s.must(err)
	s.closing(p)
	return p
}

// publisher returns a producer for the sender's publisher.
func (s *site) publisher() *azeventhubs.ProducerClient {
	s.t.Helper()
	return s.producer("send", adaptertest.SendKey(adaptertest.Sender), publisher)
}

// trusted returns a producer for the channel.
func (s *site) trusted() *azeventhubs.ProducerClient {
	s.t.Helper()
	return s.producer(adaptertest.Policy, adaptertest.PolicyKey(), hub)
}

// consumer returns a consumer of the channel, with a key of the policy.
func (s *site) consumer(key string) *azeventhubs.ConsumerClient {
	s.t.Helper()
	return s.consumerOf(key, azeventhubs.DefaultConsumerGroup)
}

func (s *site) consumerOf(key, group string) *azeventhubs.ConsumerClient {
	s.t.Helper()
	c, err := azeventhubs.NewConsumerClientFromConnectionString(s.connectionString(adaptertest.Policy, key, hub), "", group, &azeventhubs.ConsumerClientOptions{RetryOptions: hubRetries()})
	s.must(err)
	s.closing(c)
	return c
}

// produce sends events in one batch, with bodies.
func (s *site) produce(p *azeventhubs.ProducerClient, o *azeventhubs.EventDataBatchOptions, bodies ...string) error {
	s.t.Helper()
	batch, err := p.NewEventDataBatch(s.ctx, o)
	if err != nil {
		return err
	}
	for _, body := range bodies {
		s.must(batch.AddEventData(&azeventhubs.EventData{Body: []byte(body)}, nil))
	}
	return p.SendEventDataBatch(s.ctx, batch, nil)
}

// texts returns n bodies.
func texts(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprint("e", i)
	}
	return all
}

// filled returns the partition that has messages, of which there is one.
func (s *site) filled(c *azeventhubs.ConsumerClient) azeventhubs.PartitionProperties {
	s.t.Helper()
	all, err := c.GetEventHubProperties(s.ctx, nil)
	s.must(err)
	var found []azeventhubs.PartitionProperties
	for _, id := range all.PartitionIDs {
		p, err := c.GetPartitionProperties(s.ctx, id, nil)
		s.must(err)
		if !p.IsEmpty {
			found = append(found, p)
		}
	}
	if len(found) != 1 {
		s.t.Fatalf("%d partitions have messages", len(found))
	}
	return found[0]
}

// reader opens a partition.
func (s *site) reader(c *azeventhubs.ConsumerClient, partition string, o *azeventhubs.PartitionClientOptions) *azeventhubs.PartitionClient {
	s.t.Helper()
	r, err := c.NewPartitionClient(partition, o)
	s.must(err)
	s.closing(r)
	return r
}

func earliest() *azeventhubs.PartitionClientOptions {
	return &azeventhubs.PartitionClientOptions{StartPosition: azeventhubs.StartPosition{Earliest: new(true)}}
}

// read receives exactly n events.
func (s *site) read(r *azeventhubs.PartitionClient, n int) []*azeventhubs.ReceivedEventData {
	s.t.Helper()
	var got []*azeventhubs.ReceivedEventData
	for len(got) < n {
		more, err := r.ReceiveEvents(s.ctx, n-len(got), nil)
		got = append(got, more...)
		if err != nil {
			s.t.Fatalf("%d of %d events came: %v", len(got), n, err)
		}
	}
	return got
}

func (s *site) hubFails(what string, err error, code azeventhubs.ErrorCode) {
	s.t.Helper()
	failsWith(s, what, err, func(e *azeventhubs.Error) bool { return e.Code == code })
}
