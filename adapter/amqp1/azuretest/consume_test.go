package azuretest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/adapter/adaptertest"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/Azure/go-amqp"
	"github.com/google/go-cmp/cmp"
)

// What an endpoint publishes, trusted code consumes: with its properties in
// their types, and who has sent it.
func TestEvents(t *testing.T) {
	s := newSite(t)
	p, c := s.publisher(), s.consumer(adaptertest.PolicyKey())
	properties := map[string]any{
		"string": "Ålesund", "bool": true, "time": time.UnixMilli(1900000000123).UTC(), "float32": float32(1.5), "float64": -2.25,
		"int8": int8(-8), "int32": int32(-32), "int64": int64(-64), "uint16": uint16(16), "uint64": uint64(1<<64 - 1), "binary": []byte{0, 255},
	}
	batch, err := p.NewEventDataBatch(s.ctx, nil)
	s.must(err)
	for i := range 3 {
		s.must(batch.AddEventData(&azeventhubs.EventData{
			Body: fmt.Append(nil, i), Properties: properties, ContentType: new("text/plain"), CorrelationID: "c", MessageID: new(fmt.Sprint("m", i)),
		}, nil))
	}
	s.must(p.SendEventDataBatch(s.ctx, batch, nil))
	in := s.filled(c)
	last := int64(-1)
	for i, e := range s.read(s.reader(c, in.PartitionID, earliest()), 3) {
		if diff := cmp.Diff(properties, e.Properties); diff != "" {
			t.Errorf("properties: -sent +received:\n%s", diff)
		}
		if string(e.Body) != fmt.Sprint(i) || *e.MessageID != fmt.Sprint("m", i) || *e.ContentType != "text/plain" || e.CorrelationID != "c" {
			t.Errorf("%+v", e)
		}
		if *e.PartitionKey != adaptertest.Sender || e.SystemProperties["x-opt-publisher"] != adaptertest.Sender {
			t.Errorf("from %v: %v", e.PartitionKey, e.SystemProperties)
		}
		if e.SequenceNumber <= last || e.EnqueuedTime == nil || time.Since(*e.EnqueuedTime) > time.Hour {
			t.Errorf("number %d, at %v", e.SequenceNumber, e.EnqueuedTime)
		}
		last = e.SequenceNumber
	}
	if in = s.filled(c); in.LastEnqueuedSequenceNumber != last || in.IsEmpty || in.LastEnqueuedOffset == "" || in.LastEnqueuedOn.IsZero() || in.EventHubName != hub {
		t.Errorf("%+v", in)
	}
}

// Hubs and partitions are described, to publishers also.
func TestProperties(t *testing.T) {
	s := newSite(t)
	c := s.consumer(adaptertest.PolicyKey())
	for _, get := range []func(context.Context, *azeventhubs.GetEventHubPropertiesOptions) (azeventhubs.EventHubProperties, error){
		c.GetEventHubProperties, s.trusted().GetEventHubProperties, s.publisher().GetEventHubProperties,
	} {
		all, err := get(s.ctx, nil)
		s.must(err)
		if len(all.PartitionIDs) != partitions || all.Name == "" {
			t.Errorf("%+v", all)
		}
	}
	empty, err := c.GetPartitionProperties(s.ctx, "0", nil)
	s.must(err)
	if !empty.IsEmpty || empty.LastEnqueuedSequenceNumber != -1 || empty.PartitionID != "0" {
		t.Errorf("%+v", empty)
	}
	if _, err := c.GetPartitionProperties(s.ctx, "99", nil); err == nil || s.ctx.Err() != nil {
		t.Fatalf("a partition that is not there: %v", err)
	}
	_, err = s.reader(c, "99", nil).ReceiveEvents(s.ctx, 1, nil)
	if err == nil || s.ctx.Err() != nil {
		t.Fatalf("a partition that is not there: %v", err)
	}
}

// A publisher's partition key orders its events; events of one key come in one
// partition, in order.
func TestPartitionKeys(t *testing.T) {
	s := newSite(t)
	c := s.consumer(adaptertest.PolicyKey())
	for _, p := range []*azeventhubs.ProducerClient{s.publisher(), s.trusted()} {
		for round := range 3 {
			for _, key := range []string{"k1", "k2", "k3", "k4"} {
				s.must(s.produce(p, &azeventhubs.EventDataBatchOptions{PartitionKey: &key}, fmt.Sprint(key, " ", round)))
			}
		}
	}
	where := map[string]string{}
	rounds := map[string]string{}
	total := 0
	for n := range partitions {
		id := fmt.Sprint(n)
		in, err := c.GetPartitionProperties(s.ctx, id, nil)
		s.must(err)
		if in.IsEmpty {
			continue
		}
		for r := s.reader(c, id, earliest()); ; {
			e := s.read(r, 1)[0]
			key := *e.PartitionKey
			if was, ok := where[key]; ok && was != id || !strings.HasPrefix(string(e.Body), key+" ") {
				t.Errorf("%s of %s in partition %s, another in %s", e.Body, key, id, was)
			}
			where[key] = id
			rounds[key] += strings.TrimPrefix(string(e.Body), key+" ")
			if total++; e.SequenceNumber == in.LastEnqueuedSequenceNumber {
				break
			}
		}
	}
	for key, all := range rounds {
		if all != "012012" {
			t.Errorf("%s: %s", key, all)
		}
	}
	if total != 24 {
		t.Errorf("%d events", total)
	}
	// A publisher's own name is what its events have anyway.
	s.must(s.produce(s.publisher(), &azeventhubs.EventDataBatchOptions{PartitionKey: new(adaptertest.Sender)}, "own"))
	// The partition follows from the key: nobody chooses one.
	s.must(s.produce(s.publisher(), &azeventhubs.EventDataBatchOptions{PartitionID: new("1")}, "a publisher"))
	err := s.produce(s.trusted(), &azeventhubs.EventDataBatchOptions{PartitionID: new("1")}, "trusted code")
	failsWith(s, "to a partition", err, func(e *amqp.Error) bool { return e.Condition == amqp.ErrCondNotAllowed })
}

// A reader begins where it says.
func TestStartPositions(t *testing.T) {
	s := newSite(t)
	p, c := s.publisher(), s.consumer(adaptertest.PolicyKey())
	for _, body := range texts(4) {
		s.must(s.produce(p, nil, body))
	}
	in := s.filled(c)
	all := s.read(s.reader(c, in.PartitionID, earliest()), 4)
	third := all[2]
	for _, start := range []struct {
		name  string
		start azeventhubs.StartPosition
		first string
	}{
		{"earliest", azeventhubs.StartPosition{Earliest: new(true)}, "e0"},
		{"after an offset", azeventhubs.StartPosition{Offset: &third.Offset}, "e3"},
		{"at an offset", azeventhubs.StartPosition{Offset: &third.Offset, Inclusive: true}, "e2"},
		{"after a number", azeventhubs.StartPosition{SequenceNumber: &third.SequenceNumber}, "e3"},
		{"at a number", azeventhubs.StartPosition{SequenceNumber: &third.SequenceNumber, Inclusive: true}, "e2"},
		{"long ago", azeventhubs.StartPosition{EnqueuedTime: new(time.Now().Add(-time.Hour))}, "e0"},
		{"at a time", azeventhubs.StartPosition{EnqueuedTime: all[0].EnqueuedTime, Inclusive: true}, "e0"},
	} {
		r := s.reader(c, in.PartitionID, &azeventhubs.PartitionClientOptions{StartPosition: start.start})
		if e := s.read(r, 1)[0]; string(e.Body) != start.first {
			t.Errorf("%s: %s came first", start.name, e.Body)
		}
		s.must(r.Close(s.ctx))
	}
	// These begin at the end there is when they attach. A reader attaches when
	// it first receives; what comes then, it gets.
	for _, start := range []azeventhubs.StartPosition{
		{Latest: new(true)},
		{},
		{SequenceNumber: &in.LastEnqueuedSequenceNumber},
		{SequenceNumber: new(in.LastEnqueuedSequenceNumber + 1000)},
		{EnqueuedTime: new(time.Now().Add(time.Hour))},
	} {
		r := s.reader(c, in.PartitionID, &azeventhubs.PartitionClientOptions{StartPosition: start})
		brief, cancel := context.WithTimeout(s.ctx, 100*time.Millisecond)
		got, err := r.ReceiveEvents(brief, 1, nil)
		cancel()
		if len(got) > 0 || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%+v: %d events, %v", start, len(got), err)
		}
	}
	r := s.reader(c, in.PartitionID, &azeventhubs.PartitionClientOptions{StartPosition: azeventhubs.StartPosition{SequenceNumber: &in.LastEnqueuedSequenceNumber}})
	s.must(s.produce(p, nil, "new"))
	if e := s.read(r, 1)[0]; string(e.Body) != "new" {
		t.Errorf("%s", e.Body)
	}
}

// A reader takes more events than its first credit, whether it prefetches or
// not, and goes on after a lost connection.
func TestManyEvents(t *testing.T) {
	s := newSite(t)
	const n = 1000
	p, c := s.publisher(), s.consumer(adaptertest.PolicyKey())
	want := texts(n)
	s.must(s.produce(p, nil, want...))
	in := s.filled(c)
	for _, prefetch := range []int32{0, -1, 7} {
		o := earliest()
		o.Prefetch = prefetch
		r := s.reader(c, in.PartitionID, o)
		got := s.read(r, 400)
		s.wires.cut()
		got = append(got, s.read(r, n-400)...)
		for i, e := range got {
			if string(e.Body) != want[i] {
				t.Fatalf("prefetch %d: event %d is %s", prefetch, i, e.Body)
			}
		}
	}
}

// Consumers without an owner level read side by side, in one group or several.
func TestGroups(t *testing.T) {
	s := newSite(t)
	s.must(s.produce(s.publisher(), nil, "e0"))
	for _, group := range []string{azeventhubs.DefaultConsumerGroup, azeventhubs.DefaultConsumerGroup, "reports"} {
		c := s.consumerOf(adaptertest.PolicyKey(), group)
		if e := s.read(s.reader(c, s.filled(c).PartitionID, earliest()), 1)[0]; string(e.Body) != "e0" {
			t.Errorf("%s: %s", group, e.Body)
		}
	}
}

// Whoever has the higher owner level takes a partition.
func TestOwnerLevels(t *testing.T) {
	s := newSite(t)
	s.must(s.produce(s.publisher(), nil, "e0"))
	c := s.consumer(adaptertest.PolicyKey())
	in := s.filled(c)
	open := func(level int64) *azeventhubs.PartitionClient {
		o := earliest()
		if level >= 0 {
			o.OwnerLevel = &level
		}
		return s.reader(s.consumer(adaptertest.PolicyKey()), in.PartitionID, o)
	}
	without, first, second := open(-1), open(1), open(2)
	s.read(without, 1)
	s.read(first, 1)
	_, err := without.ReceiveEvents(s.ctx, 1, nil)
	s.hubFails("without a level", err, azeventhubs.ErrorCodeOwnershipLost)
	s.read(second, 1)
	_, err = first.ReceiveEvents(s.ctx, 1, nil)
	s.hubFails("of a lower level", err, azeventhubs.ErrorCodeOwnershipLost)
	for _, level := range []int64{-1, 0, 1} {
		_, err = open(level).ReceiveEvents(s.ctx, 1, nil)
		s.hubFails(fmt.Sprint("too late, of level ", level), err, azeventhubs.ErrorCodeOwnershipLost)
	}
	s.read(open(2), 1) // an equal one takes it too
	_, err = second.ReceiveEvents(s.ctx, 1, nil)
	s.hubFails("of the same level", err, azeventhubs.ErrorCodeOwnershipLost)
	// A level holds for a group only.
	other := s.consumerOf(adaptertest.PolicyKey(), "reports")
	s.read(s.reader(other, in.PartitionID, earliest()), 1)
}

// Batches are filled up to the size that the link takes.
func TestEventSizes(t *testing.T) {
	s := newSite(t)
	s.unrestricted()
	p, c := s.publisher(), s.consumer(adaptertest.PolicyKey())
	batch, err := p.NewEventDataBatch(s.ctx, nil)
	s.must(err)
	part := strings.Repeat("0123456789abcdef", 4<<10) // 64 KiB
	for err == nil {
		err = batch.AddEventData(&azeventhubs.EventData{Body: []byte(part)}, nil)
	}
	if !errors.Is(err, azeventhubs.ErrEventDataTooLarge) || batch.NumEvents() != 15 {
		t.Errorf("a batch took %d events of 64 KiB, and then: %v", batch.NumEvents(), err)
	}
	s.must(p.SendEventDataBatch(s.ctx, batch, nil))
	small, err := p.NewEventDataBatch(s.ctx, &azeventhubs.EventDataBatchOptions{MaxBytes: 1000})
	s.must(err)
	if err := small.AddEventData(&azeventhubs.EventData{Body: []byte(part)}, nil); !errors.Is(err, azeventhubs.ErrEventDataTooLarge) {
		t.Errorf("into a small batch: %v", err)
	}
	for _, e := range s.read(s.reader(c, s.filled(c).PartitionID, earliest()), 15) {
		if string(e.Body) != part {
			t.Errorf("%d bytes", len(e.Body))
		}
	}
}

// What no route lets pass is refused at once, with all of its batch.
func TestEventsRefused(t *testing.T) {
	s := newSite(t)
	p, c := s.publisher(), s.consumer(adaptertest.PolicyKey())
	batch, err := p.NewEventDataBatch(s.ctx, nil)
	s.must(err)
	for _, kind := range []string{"com.example.good", adaptertest.DeniedType} {
		s.must(batch.AddEventData(&azeventhubs.EventData{Properties: map[string]any{"cloudEvents:type": kind}}, nil))
	}
	failsWith(s, "without a route", p.SendEventDataBatch(s.ctx, batch, nil), func(e *amqp.Error) bool { return e.Condition == amqp.ErrCondNotAllowed })
	s.must(s.produce(p, nil, "next"))
	if e := s.read(s.reader(c, s.filled(c).PartitionID, earliest()), 1)[0]; string(e.Body) != "next" {
		t.Errorf("%s came", e.Body)
	}
	other, err := azeventhubs.NewConsumerClientFromConnectionString(s.connectionString("listen", adaptertest.ListenKey(adaptertest.Receiver), hub), "", azeventhubs.DefaultConsumerGroup, nil)
	s.must(err)
	s.closing(other)
	_, err = s.reader(other, "0", earliest()).ReceiveEvents(s.ctx, 1, nil)
	s.hubFails("an endpoint that consumes", err, azeventhubs.ErrorCodeUnauthorizedAccess)
}

// Trusted code sends to endpoints through a channel.
func TestTrustedToInbox(t *testing.T) {
	s := newSite(t)
	p := s.trusted()
	batch, err := p.NewEventDataBatch(s.ctx, nil)
	s.must(err)
	s.must(batch.AddAMQPAnnotatedMessage(&azeventhubs.AMQPAnnotatedMessage{
		Properties: &azeventhubs.AMQPAnnotatedMessageProperties{MessageID: "m", To: new(receiver)}, Body: azeventhubs.AMQPAnnotatedMessageBody{Data: [][]byte{[]byte("down")}},
	}, nil))
	s.must(p.SendEventDataBatch(s.ctx, batch, nil))
	m := s.take(s.receiver(nil))
	if string(m.Body) != "down" || m.MessageID != "m" || *m.To != gatehouse.EndpointPrefix+adaptertest.Receiver {
		t.Errorf("%+v", m)
	}
}
