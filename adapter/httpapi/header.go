package httpapi

import (
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/cloudevents"
	"github.com/gatehouse/gatehouse/inbox"
)

const (
	headerBroker      = "Brokerproperties" // as net/http spells it
	headerTraceParent = "Traceparent"
	headerTraceState  = "Tracestate"
	headerContentType = "Content-Type"
	prefixEvent       = "Ce-"
)

// standard are the headers that belong to HTTP, to browsers or to proxies, and
// not to the message: on the way in they are no attributes, and on the way out
// no attribute may take their place. Names are canonical.
var standard = map[string]bool{
	headerBroker: true, headerTraceParent: true, headerTraceState: true,
	"Accept": true, "Age": true, "Allow": true, "Alt-Svc": true, "Authorization": true, "Baggage": true,
	"Cache-Control": true, "Cdn-Loop": true, "Connection": true, "Cookie": true, "Date": true, "Dnt": true, "Early-Data": true,
	"Etag": true, "Expect": true, "Expires": true, "Forwarded": true, "From": true, "Host": true, "Http2-Settings": true,
	"Keep-Alive": true, "Last-Modified": true, "Link": true, "Location": true, "Max-Forwards": true, "Origin": true, "Pragma": true,
	"Range": true, "Referer": true, "Refresh": true, "Retry-After": true, "Save-Data": true, "Server": true, "Servicebusauthorization": true,
	"Set-Cookie": true, "Strict-Transport-Security": true, "Te": true, "Trailer": true, "Transfer-Encoding": true,
	"Upgrade": true, "Upgrade-Insecure-Requests": true, "User-Agent": true, "Vary": true, "Via": true, "Warning": true,
	"Www-Authenticate": true, "X-Real-Ip": true, "X-Request-Id": true, "X-Requested-With": true, "X-Ms-Retrypolicy": true,
}

// standardPrefixes are those of whole families of such headers.
var standardPrefixes = [...]string{"Accept-", "Access-Control-", prefixEvent, "Content-", "If-", "Proxy-", "Sec-", "X-Forwarded-"}

// isStandard reports whether the canonical name belongs to HTTP.
func isStandard(name string) bool {
	if standard[name] {
		return true
	}
	for _, p := range standardPrefixes {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}

// isPriority reports whether a Priority header is the one of RFC 9218, which
// browsers send, and not an attribute of that name.
func isPriority(name, value string) bool {
	return name == "Priority" && (strings.HasPrefix(value, "u=") || value == "i")
}

// isEvent reports whether the request is a CloudEvent in binary mode.
func isEvent(h http.Header) bool {
	for name := range h {
		if strings.HasPrefix(name, prefixEvent) {
			return true
		}
	}
	return false
}

// readHeader sets what the headers of a single message say about it: the
// context attributes of a CloudEvent in binary mode, or else each header that
// is not a standard one as an attribute. Either may have BrokerProperties.
func readHeader(m *gatehouse.Message, h http.Header) error {
	m.ContentType = h.Get(headerContentType)
	m.TraceParent = h.Get(headerTraceParent)
	if broker := h[headerBroker]; len(broker) > 0 {
		if err := parseBroker(m, broker[0]); err != nil {
			return err
		}
	}
	if isEvent(h) {
		return readEvent(m, h)
	}
	var space [16]string
	names := space[:0]
	for name, values := range h {
		if len(values) > 0 && !isStandard(name) && !isPriority(name, values[0]) {
			names = append(names, name)
		}
	}
	slices.Sort(names) // a header map has no order; this one is at least stable
	for _, name := range names {
		value := h[name][0]
		if len(h[name]) > 1 {
			value = strings.Join(h[name], ", ")
		}
		m.Attributes = append(m.Attributes, gatehouse.Attribute{Name: name, Value: parseProperty(value)})
	}
	if state := h.Get(headerTraceState); state != "" {
		m.Attributes = append(m.Attributes, gatehouse.Attribute{Name: "tracestate", Value: gatehouse.String(strings.ToValidUTF8(state, "\uFFFD"))})
	}
	return nil
}

// readEvent sets the context attributes of a CloudEvent in binary mode.
func readEvent(m *gatehouse.Message, h http.Header) error {
	var space [24]string
	names := space[:0]
	for name, values := range h {
		if len(values) > 0 && strings.HasPrefix(name, prefixEvent) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		value, err := cloudevents.DecodeHeader(h[name][0])
		if err != nil {
			return gatehouse.Errorf(gatehouse.Invalid, "header %.64s: %v", name, err)
		}
		if name == "Ce-Datacontenttype" {
			continue // binary mode has it as Content-Type
		}
		if err := cloudevents.Set(m, name[len(prefixEvent):], value); err != nil {
			return err
		}
	}
	return nil
}

// writeHeader describes a delivered message in the headers of a response: as
// Azure does, and in full as a CloudEvent in binary mode.
func writeHeader(h http.Header, d *inbox.Delivery) {
	m := d.Message
	h["BrokerProperties"] = []string{string(appendBroker(nil, d))}
	h[headerContentType] = nil // none rather than one that is guessed
	if m.ContentType != "" {
		h[headerContentType] = []string{m.ContentType}
	}
	for name, value := range cloudevents.Context(m) {
		h["ce-"+name] = []string{cloudevents.EncodeHeader(value)}
	}
	for name, value := range cloudevents.Extensions(m) {
		h["ce-"+name] = []string{cloudevents.EncodeHeader(value)}
	}
	if m.TraceParent != "" {
		h[headerTraceParent] = []string{m.TraceParent}
	}
	for i := range m.Attributes {
		writeProperty(h, m.Attributes[i].Name, m.Attributes[i].Value)
	}
	if m.Dead != nil {
		writeProperty(h, "DeadLetterReason", gatehouse.String(m.Dead.Reason))
		writeProperty(h, "DeadLetterErrorDescription", gatehouse.String(m.Dead.Description))
	}
}

// writeProperty adds an attribute as a header of its name, if it can be one.
func writeProperty(h http.Header, name string, v gatehouse.Value) {
	if !isToken(name) || strings.EqualFold(name, replyToSession) || isStandard(textproto.CanonicalMIMEHeaderKey(name)) {
		return // it is in the CloudEvents headers
	}
	if _, taken := h[name]; !taken {
		h[name] = []string{formatProperty(v)}
	}
}

// isToken reports whether s can be the name of a header.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0:
		default:
			return false
		}
	}
	return s != ""
}

// accepts reports whether an Accept header names one of the media types. Only
// what is named counts: a wildcard leaves the choice to the server.
func accepts(h http.Header, types ...string) bool {
	for _, line := range h["Accept"] {
		for part := range strings.SplitSeq(line, ",") {
			name, parameters, _ := strings.Cut(part, ";")
			name = strings.TrimSpace(name)
			if slices.ContainsFunc(types, func(t string) bool { return strings.EqualFold(t, name) }) && !refused(parameters) {
				return true
			}
		}
	}
	return false
}

// refused reports whether the parameters of an accepted type say q=0.
func refused(parameters string) bool {
	for p := range strings.SplitSeq(parameters, ";") {
		if q, ok := strings.CutPrefix(strings.TrimSpace(p), "q="); ok {
			weight, err := strconv.ParseFloat(q, 32)
			return err == nil && weight == 0
		}
	}
	return false
}

// mediaType returns a content type without its parameters, in lower case.
func mediaType(h http.Header) string {
	t, _, _ := strings.Cut(h.Get(headerContentType), ";")
	return strings.ToLower(strings.TrimSpace(t))
}
