package sas

import (
	"iter"
	"strings"

	"github.com/gatehouse/gatehouse"
)

// A Resource is what a token is for, in the form in which resources are
// compared: the path in lower case, without scheme, user, host and port,
// without empty segments. The zero Resource is the whole namespace, which
// covers everything. Resources are comparable with ==.
type Resource struct {
	path string // segments joined by "/", none empty, decoded
	rest int    // where the path begins if its first segment is a host; 0: it is none
}

// The schemes that clients put before a resource.
var schemes = [...]string{"sb", "amqp", "amqps", "http", "https", "ws", "wss"}

// ParseResource reads a resource URI as it stands in a token's sr field, in a
// claim's audience or in a request: percent-encoded or not, with "+" for a
// space, with or without scheme and host.
//
// A text with a scheme has a host, and one that begins with "/" has none. With
// neither, as in "acme/publishers/pump-7" or "gw.example.com/acme", nothing
// tells the host from the first name of the path; the Resource then has both
// Readings. The error is of kind Invalid.
func ParseResource(s string) (Resource, error) {
	if len(s) > MaxToken {
		return Resource{}, gatehouse.Errorf(gatehouse.Invalid, "the resource is %d bytes long; at most %d are allowed", len(s), MaxToken)
	}
	s, err := unescape(s, true)
	if err != nil {
		return Resource{}, gatehouse.Errorf(gatehouse.Invalid, "the resource has %w", err)
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f {
			return Resource{}, gatehouse.Errorf(gatehouse.Invalid, "the resource has a control character at byte %d", i+1)
		}
	}
	s = strings.Trim(s, " ")
	scheme, after, ok := strings.Cut(s, "://")
	if ok && !strings.Contains(scheme, "/") {
		if !knownScheme(scheme) {
			return Resource{}, gatehouse.Errorf(gatehouse.Invalid, "the resource has an unknown scheme; use sb, amqp, amqps, http, https, ws, wss or none")
		}
		_, path, _ := strings.Cut(after, "/")
		return Resource{path: cleanPath(path)}, nil
	}
	first, path, _ := strings.Cut(s, "/")
	if strings.ContainsAny(first, ":@") { // a port or a user: certainly a host
		return Resource{path: cleanPath(path)}, nil
	}
	r := Resource{path: cleanPath(s)}
	if first != "" && r.path != "" {
		r.rest = min(len(first)+1, len(r.path))
	}
	return r, nil
}

// Path returns the resource of a path of plain names, such as an account and
// what is below it. Nothing in them is decoded; they must not contain "/".
func Path(segments ...string) Resource {
	return Resource{path: cleanPath(strings.Join(segments, "/"))}
}

// Readings yields the resources that r may mean: r itself, and, if r was
// written with neither a scheme nor a leading "/", what is left when its first
// segment is taken for the host. A verifier takes whichever names something
// the signer has a say over.
func (r Resource) Readings() iter.Seq[Resource] {
	return func(yield func(Resource) bool) {
		if yield(Resource{path: r.path}) && r.rest > 0 {
			yield(Resource{path: r.path[r.rest:]})
		}
	}
}

// Covers reports whether a token for r is good for other: whether other is r
// or below it, by whole segments. Any of r's readings will do; other is taken
// as a path without host. It does not allocate.
func (r Resource) Covers(other Resource) bool {
	return covers(r.path, other.path) || r.rest > 0 && covers(r.path[r.rest:], other.path)
}

func covers(path, other string) bool {
	if path == "" {
		return true
	}
	return strings.HasPrefix(other, path) && (len(other) == len(path) || other[len(path)] == '/')
}

// Device returns the host and the device that r names if it is HOST/devices/DEVICE,
// the resource of the tokens that the device SDKs of Azure IoT Hub make. It was
// written without scheme and port. Both are decoded and in lower case.
func (r Resource) Device() (host, device string, ok bool) {
	if r.rest == 0 {
		return "", "", false
	}
	host, rest, _ := strings.Cut(r.path, "/")
	device, ok = strings.CutPrefix(rest, "devices/")
	if !ok || device == "" || strings.Contains(device, "/") {
		return "", "", false
	}
	return host, device, true
}

// IsZero reports whether r is the whole namespace.
func (r Resource) IsZero() bool { return r.path == "" }

// Segments returns the decoded, lower-case segments of the path.
func (r Resource) Segments() []string {
	if r.path == "" {
		return nil
	}
	return strings.Split(r.path, "/")
}

// String returns r so that ParseResource gives r again: with a leading "/",
// unless the first segment may be a host.
func (r Resource) String() string {
	var b strings.Builder
	b.Grow(len(r.path) + 1)
	if r.rest == 0 {
		b.WriteByte('/')
	}
	for i := range len(r.path) {
		// What may mean something else in a URI, or end it, is encoded.
		if c := r.path[i]; c == '/' || c == '$' || unreserved(c) {
			b.WriteByte(c)
		} else {
			b.WriteByte('%')
			b.WriteByte(upperHex[c>>4])
			b.WriteByte(upperHex[c&15])
		}
	}
	return b.String()
}

func knownScheme(s string) bool {
	for _, known := range schemes {
		if equalFold(s, known) {
			return true
		}
	}
	return false
}

// cleanPath drops empty segments, and spaces at the ends, and folds the rest.
// Only ASCII is folded: names are ASCII, and nothing else may become one.
func cleanPath(s string) string {
	s = strings.Trim(s, "/ ")
	if !strings.Contains(s, "//") {
		return lower(s)
	}
	b := make([]byte, 0, len(s))
	for i := range len(s) {
		if s[i] != '/' || s[i-1] != '/' {
			b = append(b, s[i])
		}
	}
	return lower(string(b))
}

func lower(s string) string {
	for i := range len(s) {
		if 'A' <= s[i] && s[i] <= 'Z' {
			b := []byte(s)
			for ; i < len(b); i++ {
				if 'A' <= b[i] && b[i] <= 'Z' {
					b[i] += 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}

// equalFold compares without the case of ASCII letters; b is in lower case.
func equalFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		c := a[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != b[i] {
			return false
		}
	}
	return true
}
