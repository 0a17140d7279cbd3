package app

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/channel"
	"github.com/gatehouse/gatehouse/directory"
	"github.com/gatehouse/gatehouse/dispatch"
)

// A rest is what is left of a definition. All names are folded.
type rest struct {
	kind          directory.Kind
	account, name string
	channel       string // of a handler
}

// key returns the key of the note.
func (t rest) key() string {
	key := t.account + "/" + t.kind.String()
	for _, name := range [...]string{t.channel, t.name} {
		if name != "" {
			key += "/" + name
		}
	}
	return key
}

// parseRest reads the key of a note.
func parseRest(key string) (t rest, ok bool) {
	parts := strings.Split(key, "/")
	if len(parts) < 2 {
		return rest{}, false
	}
	kind, err := directory.ParseKind(parts[1])
	t = rest{kind: kind, account: parts[0]}
	if n := len(parts); n > 2 {
		t.name = parts[n-1]
	}
	if len(parts) == 4 {
		t.channel = parts[2]
	}
	return t, err == nil && t.key() == key
}

func (t rest) id() channel.ID {
	c := t.channel
	if t.kind == directory.KindChannel {
		c = t.name
	}
	return channel.ID{Account: gatehouse.AccountName(t.account), Channel: gatehouse.ChannelName(c)}
}

func (t rest) handler() channel.Handler {
	return channel.Handler{Channel: t.id(), Name: t.name, Groups: dispatch.Groups(t.name)}
}

// exists reports whether what this would be the rest of is there.
func (t rest) exists(s *directory.Snapshot) bool {
	a := s.Account(gatehouse.AccountName(t.account))
	if a == nil {
		return false
	}
	switch t.kind {
	case directory.KindEndpoint:
		return a.Endpoint(gatehouse.EndpointName(t.name)) != nil
	case directory.KindChannel:
		return a.Channel(gatehouse.ChannelName(t.name)) != nil
	case directory.KindHandler:
		h := a.Handler(t.name)
		return h != nil && gatehouse.Fold(h.Channel()) == t.channel
	}
	return true
}

// compare returns what is deleted and what is created by a change. A handler
// that is given another channel is another handler. The account stands for all
// that is in it.
func compare(old, now *directory.Snapshot, changed []directory.Ref) (gone, made []rest) {
	add := func(t rest) {
		switch before, after := t.exists(old), t.exists(now); {
		case before && !after:
			gone = append(gone, t)
		case after && !before:
			made = append(made, t)
		}
	}
	for _, ref := range changed {
		t := rest{kind: ref.Kind, account: gatehouse.Fold(ref.Account), name: gatehouse.Fold(ref.Name)}
		before, after := old.Account(ref.Account), now.Account(ref.Account)
		switch {
		case ref.Kind == directory.KindAccount:
			t.name = ""
			add(t)
		case before == nil || after == nil:
		case ref.Kind == directory.KindEndpoint, ref.Kind == directory.KindChannel:
			add(t)
		case ref.Kind == directory.KindHandler:
			for _, a := range [...]*directory.Account{before, after} {
				if h := a.Handler(ref.Name); h != nil {
					t.channel = gatehouse.Fold(h.Channel())
					add(t)
				}
			}
		}
	}
	slices.SortFunc(gone, func(a, b rest) int { return strings.Compare(a.key(), b.key()) })
	return slices.Compact(gone), made
}

// inTheWay says why something cannot be created yet.
func (t rest) inTheWay(outside context.Context, err error) error {
	what := t.kind.String() + " " + strconv.Quote(cmp.Or(t.name, t.account))
	switch {
	case outside.Err() != nil:
		return err
	case errors.Is(err, context.DeadlineExceeded):
		return gatehouse.Errorf(gatehouse.Conflict, "a former %s is still being deleted; try again in a moment", what)
	}
	return gatehouse.Wrap(gatehouse.KindOf(err), err, "what is left of a former "+what+" cannot be removed: "+err.Error())
}
