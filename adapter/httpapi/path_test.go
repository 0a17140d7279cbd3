package httpapi

import (
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/inbox"

	"github.com/google/go-cmp/cmp"
)

const lockA = "0190a6e4-7e1b-7c3a-8a52-000102030405"

func TestParsePath(t *testing.T) {
	t.Parallel()
	lock, err := inbox.ParseLockToken(lockA)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]target{
		"/acme/publishers/pump-7/messages":                                   {op: opSend, account: "acme", endpoint: "pump-7"},
		"/Acme/Publisher/Pump-7/MESSAGES/":                                   {op: opSend, account: "Acme", endpoint: "Pump-7"},
		"/acme/channels/telemetry/messages":                                  {op: opProduce, account: "acme", channel: "telemetry"},
		"/acme/inboxes/p/messages":                                           {op: opPeek, account: "acme", endpoint: "p"},
		"/acme/inboxes/p/messages/head":                                      {op: opReceive, account: "acme", endpoint: "p"},
		"/acme/inboxes/p/$DeadLetterQueue/messages/head":                     {op: opReceive, account: "acme", endpoint: "p", dead: true},
		"/acme/inboxes/p/%24deadletterqueue/messages":                        {op: opPeek, account: "acme", endpoint: "p", dead: true},
		"/acme/inboxes/p/messages/deferred/17":                               {op: opDeferred, account: "acme", endpoint: "p", sequence: 17},
		"/acme/inboxes/p/messages/any%2Fid%20at%20all/" + lockA:              {op: opLock, account: "acme", endpoint: "p", lock: lock},
		"/acme/inboxes/p/messages/deferred/{" + strings.ToUpper(lockA) + "}": {op: opLock, account: "acme", endpoint: "p", lock: lock},
		"/acme/inboxes/p/messages/1/" + lockA + "/deadletter":                {op: opDeadLetter, account: "acme", endpoint: "p", lock: lock},
		"/acme/inboxes/p/$deadletterqueue/messages/1/" + lockA + "/Defer":    {op: opDefer, account: "acme", endpoint: "p", lock: lock, dead: true},
		"/acme/revokedpublishers":                                            {op: opRevoked, account: "acme"},
		"/acme/endpoints/p/signalr":                                          {op: opGuest, account: "acme", endpoint: "p", guest: "endpoints/signalr"},
		"/acme/Endpoints/P/SignalR/Negotiate/":                               {op: opGuest, account: "acme", endpoint: "P", guest: "endpoints/signalr", rest: "Negotiate"},
		"/acme/inboxes/p/Events":                                             {op: opGuest, account: "acme", endpoint: "p", guest: "inboxes/events"},
		"/acme/inboxes/p/events/a%2Fb/c":                                     {op: opGuest, account: "acme", endpoint: "p", guest: "inboxes/events", rest: "a/b/c"},
		"/acme/RevokedPublishers/p":                                          {op: opRevokedOne, account: "acme", endpoint: "p"},
	} {
		got, ok := parsePath(path)
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(target{})); !ok || diff != "" {
			t.Errorf("%s: %v %s", path, ok, diff)
		}
	}
	for _, path := range []string{
		"", "/", "/acme", "//publishers/p/messages", "/acme/publishers/p", "/acme/publishers/p/messages/head", "/acme/publishers//messages",
		"/acme/inboxes/p", "/acme/inboxes/messages", "/acme/inboxes/p/messages/tail", "/acme/inboxes/p/messages/1/2", "/acme/inboxes/p/messages/deferred/-1",
		"/acme/inboxes/p/messages/1/" + lockA + "/complete", "/acme/inboxes/p/messages/1/" + lockA + "/defer/x", "/acme/inboxes/p/messages/1/" + lockA + "x",
		"/ac%2Fme/publishers/p/messages", "/acme/publishers/p%00/messages", "/../publishers/p/messages", "/acme/publishers/-p/messages",
		"/acme/publishers/p/messages%zz", "/acme/revokedpublishers/p/q", "/acme/endpoints/p", "/acme/endpoints//ws", "/acme/endpoints/-p/ws", "/acme/publishers/p/events", "/" + strings.Repeat("a", 129) + "/publishers/p/messages", "/a/b/c/d/e/f/g/h/i", "*",
	} {
		if got, ok := parsePath(path); ok {
			t.Errorf("%s: taken as %+v", path, got)
		}
	}
}

func TestOperationTables(t *testing.T) {
	t.Parallel()
	for op := opNone + 1; op < operations; op++ {
		if allowed[op] == "" || need[op] == 0 && op != opGuest {
			t.Errorf("operation %d has no methods or no right", op)
		}
	}
	if opReceive.allows("GET") || opReceive.allows("OPTIONS") || opReceive.allows("") || !opReceive.allows("DELETE") {
		t.Error("the methods of opReceive are wrong")
	}
}

func FuzzPath(f *testing.F) {
	f.Add("/acme/inboxes/p/%24deadletterqueue/messages/1/" + lockA + "/defer")
	f.Add("/acme/publishers/pump-7/messages")
	f.Fuzz(func(t *testing.T, path string) {
		got, ok := parsePath(path)
		if !ok {
			return
		}
		if got.op == opNone || got.op >= operations || gatehouse.CheckName(string(got.account)) != nil {
			t.Fatalf("%q taken as %+v", path, got)
		}
	})
}
