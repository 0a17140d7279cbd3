package config

import (
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"time"

	"github.com/gatehouse/gatehouse"
)

// MaxShards is the greatest number of shards of an environment.
const MaxShards = 1024

// Validate checks every value on its own and against the others. It opens
// nothing: whether an adapter or a file exists is found out by who uses it,
// and told with Faultf. The error is of kind Invalid, a line per fault.
func (c *Config) Validate() error {
	v := validation{Config: c}
	if err := gatehouse.CheckName(c.Environment); err != nil {
		v.fault("environment", "%v", err)
	}
	if c.Data == "" {
		v.fault("data", "a folder is needed")
	}
	if c.Shards < 1 || c.Shards > MaxShards {
		v.fault("shards", "%d is not between 1 and %d", c.Shards, MaxShards)
	}
	if c.Engine.Kind == "" {
		v.fault("engine.kind", "an engine is needed: pebbledb, unless you know better")
	}
	v.address("admin.address", c.Admin.Address, true)
	v.listeners()
	if (c.TLS.Certificate == "") != (c.TLS.Key == "") {
		v.fault("tls", "certificate and key go together; give both, or neither to have them made")
	}
	v.asking("tls.clientCertificates", c.TLS.ClientCertificates)
	if c.Encryption.KeyFile != "" && c.Encryption.KeyEnv != "" {
		v.fault("encryption", "give keyFile or keyEnv, not both")
	}
	v.inbox()
	v.handlers()
	v.notNegative("drain", c.Drain)
	if _, err := c.Log.SlogLevel(); err != nil {
		v.fault("log.level", "%q is not debug, info, warn or error", c.Log.Level)
	}
	if c.Log.Format != FormatText && c.Log.Format != FormatJSON {
		v.fault("log.format", "%q is not text or json", c.Log.Format)
	}
	if len(v.faults) > 0 {
		return joinFaults(v.faults)
	}
	return nil
}

// SlogLevel returns the level as package log/slog has it.
func (l Log) SlogLevel() (level slog.Level, err error) {
	err = level.UnmarshalText([]byte(l.Level))
	return level, err
}

// A validation collects faults.
type validation struct {
	*Config
	faults []string
}

func (v *validation) fault(path, format string, args ...any) {
	v.faults = append(v.faults, v.origin.about(path, fmt.Sprintf(format, args...)))
}

func (v *validation) notNegative(path string, d Duration) {
	if d < 0 {
		v.fault(path, "a time cannot be negative")
	}
}

// address checks host:port.
func (v *validation) address(path, address string, needed bool) {
	if address == "" && !needed {
		return
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		v.fault(path, "%q is not HOST:PORT or :PORT", address)
		return
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		v.fault(path, "%q is not a port, a number up to 65535", port)
	}
}

func (v *validation) listeners() {
	taken := map[string]string{v.Admin.Address: "admin.address"}
	for i := range v.Listeners {
		l := &v.Listeners[i]
		path := "listeners[" + strconv.Itoa(i) + "]"
		if l.Adapter == "" {
			v.fault(path+".adapter", "an adapter is needed, such as https")
		}
		v.address(path+".address", l.Address, false)
		if other := taken[l.Address]; other != "" && l.Address != "" && !anyPort(l.Address) {
			v.fault(path+".address", "%s is taken by %s already; one port, one adapter", l.Address, other)
		}
		taken[l.Address] = path
		v.notNegative(path+".drain", l.Drain)
		if l.Connections < 0 {
			v.fault(path+".connections", "a number of connections cannot be negative")
		}
		v.asking(path+".clientCertificates", l.ClientCertificates)
		if l.MaxBody < 0 || l.MaxBody > maxBody {
			v.fault(path+".maxBody", "the size must be at most %d MiB", maxBody>>20)
		}
	}
}

// asking checks whether clients are asked for certificates.
func (v *validation) asking(path, s string) {
	if s != "" && s != Ask && s != Never {
		v.fault(path, "%q is neither %s nor %s", s, Ask, Never)
	}
}

const maxLock = Duration(24 * time.Hour)

// maxBody leaves room, in the largest record an engine takes, for an envelope.
const maxBody = 48 << 20

func anyPort(address string) bool {
	_, port, err := net.SplitHostPort(address)
	n, bad := strconv.Atoi(port)
	return err == nil && bad == nil && n == 0
}

func (v *validation) inbox() {
	b := &v.Inbox
	v.notNegative("inbox.maxAge", b.MaxAge)
	v.notNegative("inbox.deadLetterMaxAge", b.DeadLetterMaxAge)
	if b.Lock <= 0 || b.Lock > maxLock {
		v.fault("inbox.lock", "a lock lasts longer than 0 and at most 24h")
	}
	if b.MaxDeliveries < -1 || b.MaxDeliveries == 0 {
		v.fault("inbox.maxDeliveries", "must be at least 1, or -1 for no limit")
	}
	if b.MaxMessages < 0 {
		v.fault("inbox.maxMessages", "a number of messages cannot be negative")
	}
	if b.MaxBytes < 0 {
		v.fault("inbox.maxBytes", "a size cannot be negative")
	}
	switch b.OnFull {
	case Refuse, DropOldest, DeadLetter:
	default:
		v.fault("inbox.onFull", "%q is not %s, %s or %s", b.OnFull, Refuse, DropOldest, DeadLetter)
	}
}

func (v *validation) handlers() {
	h := &v.Handlers
	if h.MaxAttempts < 0 {
		v.fault("handlers.maxAttempts", "a number of attempts cannot be negative")
	}
	if h.MinBackoff <= 0 || h.MaxBackoff < h.MinBackoff {
		v.fault("handlers", "minBackoff must be more than 0 and at most maxBackoff")
	}
	v.notNegative("handlers.deadLetterMaxAge", h.DeadLetterMaxAge)
}
