package amqp1

import (
	"strings"

	"github.com/gatehouse/gatehouse"
)

// A kind of node is what an address leads to.
type nodeKind uint8

const (
	nodeClaims     nodeKind = iota // $cbs
	nodeManagement                 // $management, of whatever its requests name
	nodeAccount                    // ACCOUNT itself, which nothing can attach to
	nodePublisher                  // ACCOUNT/publishers/ENDPOINT
	nodeInbox                      // ACCOUNT/inboxes/ENDPOINT
	nodeEndpoint                   // ACCOUNT/endpoints/ENDPOINT, only to prove oneself for
	nodeChannel                    // ACCOUNT/channels/CHANNEL
)

// The fixed segments of addresses.
const (
	segmentClaims     = "$cbs"
	segmentManagement = "$management"
	segmentDead       = "$deadletterqueue"
	segmentPartitions = "partitions"
	segmentGroups     = "consumergroups"
	segmentPublishers = "publishers"
	segmentInboxes    = "inboxes"
	segmentEndpoints  = "endpoints"
	segmentChannels   = "channels"
)

// An address is that of a link, an audience or a management request, taken
// apart.
type address struct {
	kind     nodeKind
	account  gatehouse.AccountName
	endpoint gatehouse.EndpointName
	channel  gatehouse.ChannelName
	below    string // the rest, folded: $deadletterqueue, $management, …

	dead      bool // the dead letters of the inbox
	manage    bool // the $management below it
	group     string
	partition string // "" for none
	path      string // all of it, folded
}

// maxAddress bounds the length of an address.
const maxAddress = 1024

// parseAddress takes an address apart: with or without a leading slash, or as
// a URI whose host does not matter. Keywords and names are in any case.
func parseAddress(s string) (address, error) {
	if len(s) > maxAddress {
		return address{}, gatehouse.Errorf(gatehouse.NotFound, "the address is %d bytes long; none is longer than %d", len(s), maxAddress)
	}
	shown := s
	if _, after, ok := strings.Cut(s, "://"); ok {
		_, s, _ = strings.Cut(after, "/")
	}
	s = strings.Trim(s, "/ ")
	if i := strings.IndexAny(s, "?#"); i >= 0 {
		s = s[:i]
	}
	parts := strings.Split(s, "/")
	a := address{path: gatehouse.Fold(s)}
	switch a.path {
	case segmentClaims:
		return a, nil
	case segmentManagement:
		a.kind = nodeManagement
		return a, nil
	}
	if a.take(parts) {
		return a, nil
	}
	return address{}, noAddress(shown)
}

func noAddress(s string) error {
	return gatehouse.Errorf(gatehouse.NotFound,
		"The messaging entity '%.200s' could not be found. An endpoint sends to ACCOUNT/publishers/ENDPOINT and receives from ACCOUNT/inboxes/ENDPOINT; trusted code uses ACCOUNT/channels/CHANNEL", s)
}

// take fills a from the segments of a path.
func (a *address) take(parts []string) bool {
	if gatehouse.CheckName(parts[0]) != nil {
		return false
	}
	a.kind, a.account = nodeAccount, gatehouse.AccountName(parts[0])
	if len(parts) < 3 || !a.named(gatehouse.Fold(parts[1]), parts[2]) {
		return len(parts) == 1 || a.kind == nodeAccount && a.rest(parts[1:])
	}
	return a.rest(parts[3:])
}

// named takes the segments KIND/NAME.
func (a *address) named(kind, name string) bool {
	if gatehouse.CheckName(name) != nil {
		return false
	}
	switch kind {
	case segmentPublishers:
		a.kind, a.endpoint = nodePublisher, gatehouse.EndpointName(name)
	case segmentInboxes:
		a.kind, a.endpoint = nodeInbox, gatehouse.EndpointName(name)
	case segmentEndpoints:
		a.kind, a.endpoint = nodeEndpoint, gatehouse.EndpointName(name)
	case segmentChannels:
		a.kind, a.channel = nodeChannel, gatehouse.ChannelName(name)
	default:
		return false
	}
	return true
}

// rest takes what follows the name.
func (a *address) rest(parts []string) bool {
	for i := range parts {
		parts[i] = gatehouse.Fold(parts[i])
	}
	a.below = strings.Join(parts, "/")
	if a.kind == nodeInbox && len(parts) > 0 && parts[0] == segmentDead {
		a.dead, parts = true, parts[1:]
	}
	if a.kind == nodeChannel && len(parts) >= 2 && parts[0] == segmentGroups {
		a.group, parts = parts[1], parts[2:]
	}
	partitioned := a.kind == nodeChannel || a.kind == nodePublisher || a.kind == nodeAccount
	if partitioned && len(parts) >= 2 && parts[0] == segmentPartitions {
		a.partition, parts = parts[1], parts[2:]
	}
	if len(parts) == 1 && parts[0] == segmentManagement {
		a.manage, parts = true, nil
	}
	return len(parts) == 0
}

// base returns the folded path without what is below the name.
func (a *address) base() string { return strings.TrimSuffix(strings.TrimSuffix(a.path, a.below), "/") }

// need returns the right that the address takes.
func (a *address) need() gatehouse.Rights {
	switch a.kind {
	case nodePublisher:
		return gatehouse.RightSend
	case nodeInbox:
		return gatehouse.RightListen
	default:
		return gatehouse.RightChannels
	}
}
