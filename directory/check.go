package directory

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/channel"
	"github.com/gatehouse/gatehouse/config"
	"github.com/gatehouse/gatehouse/inbox"
	"github.com/gatehouse/gatehouse/restrict"
	"github.com/gatehouse/gatehouse/route"
	"github.com/gatehouse/gatehouse/rule"
)

// Limits of what a definition may have.
const (
	maxProtocols = 32
	maxConfig    = 64 << 10 // bytes of a handler's configuration
)

func (f *faults) account(s *AccountSpec) {
	f.name(s.Name)
	f.description(s.Description)
	f.inbox(s.Inbox)
}

func (f *faults) inbox(s *InboxSpec) {
	if s == nil {
		return
	}
	f.notNegative("inbox.maxAge", s.MaxAge)
	f.notNegative("inbox.deadLetterMaxAge", s.DeadLetterMaxAge)
	if s.Lock != nil && (*s.Lock <= 0 || time.Duration(*s.Lock) > inbox.MaxLock) {
		f.add("inbox.lock", "%s is not between 0 and %s", *s.Lock, config.Duration(inbox.MaxLock))
	}
	if n := s.MaxDeliveries; n != nil && (*n == 0 || *n < -1) {
		f.add("inbox.maxDeliveries", "%d is not a number of deliveries; give 1 or more, or -1 for no limit", *n)
	}
	if n := s.MaxMessages; n != nil && *n < 0 {
		f.add("inbox.maxMessages", "it is negative; give 0 for no limit")
	}
	if n := s.MaxBytes; n != nil && *n < 0 {
		f.add("inbox.maxBytes", "it is negative; give 0 for no limit")
	}
	if _, ok := fullOf(s.OnFull); !ok {
		f.add("inbox.onFull", "%q is not refuse, dropOldest or deadLetter", s.OnFull)
	}
}

func (f *faults) notNegative(field string, d *config.Duration) {
	if d != nil && *d < 0 {
		f.add(field, "it is negative; give 0 for no limit")
	}
}

// endpoint checks an endpoint but for its keys and certificates, and returns its labels and
// protocols as they are stored.
func (f *faults) endpoint(s *EndpointSpec, known []string) (rule.Labels, []string) {
	f.name(s.Name)
	f.description(s.Description)
	f.inbox(s.Inbox)
	labels, err := rule.MakeLabels(s.Labels)
	if err != nil {
		f.add("labels", "%s", err)
	}
	return labels, f.protocols(s.Protocols, known)
}

func (f *faults) protocols(list, known []string) []string {
	if len(list) > maxProtocols {
		f.add("protocols", "there are %d; at most %d are allowed", len(list), maxProtocols)
		return nil
	}
	var folded []string
	for _, p := range list {
		p = strings.ToLower(p)
		if known != nil && !slices.Contains(known, p) {
			f.add("protocols", "%q is not a protocol of this gateway; there are %s", p, strings.Join(known, ", "))
			continue
		}
		if err := gatehouse.CheckName(p); err != nil {
			f.add("protocols", "%s", err)
			continue
		}
		if !slices.Contains(folded, p) {
			folded = append(folded, p)
		}
	}
	return folded
}

func (f *faults) channel(s *ChannelSpec) {
	f.name(s.Name)
	f.description(s.Description)
	f.notNegative("retention.age", &s.Retention.Age)
	f.notNegative("deadLetterRetention", &s.DeadLetterRetention)
	if s.Retention.Bytes < 0 {
		f.add("retention.bytes", "it is negative; give 0 for no limit")
	}
	if s.Duplicates < 0 || time.Duration(s.Duplicates) > channel.MaxDuplicates {
		f.add("duplicates", "%s is not between 0 and %s", s.Duplicates, config.Duration(channel.MaxDuplicates))
	}
}

func (f *faults) route(s *RouteSpec, channels []gatehouse.ChannelName) {
	f.name(s.Name)
	if len(f.found) > 0 {
		return
	}
	_, err := route.Compile([]route.Authorization{s.Authorization}, channels)
	f.addError(err)
}

func (f *faults) restriction(s *RestrictionSpec) {
	f.name(s.Name)
	if len(f.found) > 0 {
		return
	}
	_, err := restrict.Compile([]restrict.Restriction{s.Restriction})
	f.addError(err)
}

func (f *faults) handler(s *HandlerSpec, check func(string, json.RawMessage) error) {
	f.name(s.Name)
	f.description(s.Description)
	if s.Channel == "" {
		f.add("channel", "it is missing; name the channel whose messages are to be handled")
	} else if err := gatehouse.CheckName(s.Channel); err != nil {
		f.add("channel", "%s", err)
	}
	if s.From != "" && s.From != FromFirst && s.From != FromNow {
		f.add("from", "%q is neither %s nor %s", s.From, FromFirst, FromNow)
	}
	switch {
	case s.Kind == "":
		f.add("kind", "it is missing; say what kind of handler it is, such as router or webhook")
	case len(s.Config) > maxConfig:
		f.add("config", "it is %d bytes long; at most %d are allowed", len(s.Config), maxConfig)
	case len(s.Config) > 0 && !json.Valid(s.Config):
		f.add("config", "it is not valid JSON")
	case check != nil:
		f.addError(check(s.Kind, json.RawMessage(s.Config)))
	}
}

func (f *faults) policy(s *PolicySpec) {
	f.name(s.Name)
	f.description(s.Description)
	switch gatehouse.PolicyName(gatehouse.Fold(s.Name)) {
	case gatehouse.PolicySend, gatehouse.PolicyListen:
		f.add("name", "%q is what endpoints call their own policies; choose another name", s.Name)
	}
	if _, unknown := rightsOf(s.Rights); unknown != "" {
		f.add("rights", "%q is not a right; there are send, listen, manage and channels", unknown)
	} else if len(s.Rights) == 0 {
		f.add("rights", "there are none; give one or more of send, listen, manage and channels")
	}
}
