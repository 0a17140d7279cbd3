package sas

import (
	"net/url"
	"strings"

	"github.com/gatehouse/gatehouse"
)

// A ConnectionString is what a client is given to connect with: where, and
// either a policy with its key or a ready token. No value may contain ";",
// control characters, or spaces at its ends.
type ConnectionString struct {
	Host       string // name or address, with the port if there is one
	KeyName    string // the policy, together with Key
	Key        string
	Token      string // a ready token, instead of KeyName and Key
	EntityPath string // for example acme/inboxes/pump-7; may be empty
	Emulator   bool   // UseDevelopmentEmulator: plain TCP, no TLS
}

// ParseConnectionString reads a connection string: KEY=VALUE parts separated
// by ";", in any order, names in any case, unknown ones passed over. The error
// is of kind Invalid, names the part, and never shows a key or a token.
func ParseConnectionString(s string) (*ConnectionString, error) {
	c := new(ConnectionString)
	var endpoint, emulator string
	parts := []struct {
		name  string
		value *string
	}{
		{"Endpoint", &endpoint},
		{"SharedAccessKeyName", &c.KeyName},
		{"SharedAccessKey", &c.Key},
		{"SharedAccessSignature", &c.Token},
		{"EntityPath", &c.EntityPath},
		{"UseDevelopmentEmulator", &emulator},
	}
	for n := 1; s != ""; n++ {
		var part string
		part, s, _ = strings.Cut(s, ";")
		if strings.TrimSpace(part) == "" {
			continue
		}
		name, value, ok := strings.Cut(part, "=")
		if !ok {
			return nil, gatehouse.Errorf(gatehouse.Invalid, "connection string: part %d is not NAME=VALUE", n)
		}
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		for _, p := range parts {
			if !strings.EqualFold(name, p.name) {
				continue
			}
			if *p.value != "" {
				return nil, gatehouse.Errorf(gatehouse.Invalid, "connection string: %s is there twice", p.name)
			}
			if err := checkValue(p.name, value); err != nil {
				return nil, err
			}
			*p.value = value
		}
	}
	switch strings.ToLower(emulator) {
	case "true", "1", "t":
		c.Emulator = true
	case "", "false", "0", "f":
	default:
		return nil, gatehouse.Errorf(gatehouse.Invalid, "connection string: UseDevelopmentEmulator is neither true nor false")
	}
	return c, c.complete(endpoint)
}

// checkValue refuses what String could not give back.
func checkValue(name, value string) error {
	if value == "" {
		return gatehouse.Errorf(gatehouse.Invalid, "connection string: %s is empty", name)
	}
	if len(value) > MaxToken {
		return gatehouse.Errorf(gatehouse.Invalid, "connection string: %s is %d bytes long; at most %d are allowed", name, len(value), MaxToken)
	}
	for i := range len(value) {
		if value[i] < ' ' || value[i] == 0x7f {
			return gatehouse.Errorf(gatehouse.Invalid, "connection string: %s has a control character at byte %d", name, i+1)
		}
	}
	return nil
}

// complete checks the parts together and takes the host out of endpoint.
func (c *ConnectionString) complete(endpoint string) error {
	switch {
	case endpoint == "":
		return gatehouse.Errorf(gatehouse.Invalid, "connection string: Endpoint is missing; it looks like Endpoint=sb://HOST")
	case c.Token != "" && (c.KeyName != "" || c.Key != ""):
		return gatehouse.Errorf(gatehouse.Invalid, "connection string: SharedAccessSignature excludes SharedAccessKeyName and SharedAccessKey; give one or the other")
	case c.Token == "" && c.KeyName == "" && c.Key == "":
		return gatehouse.Errorf(gatehouse.Invalid, "connection string: it has neither SharedAccessKeyName with SharedAccessKey nor SharedAccessSignature")
	case c.Token == "" && c.Key == "":
		return gatehouse.Errorf(gatehouse.Invalid, "connection string: SharedAccessKey is missing")
	case c.Token == "" && c.KeyName == "":
		return gatehouse.Errorf(gatehouse.Invalid, "connection string: SharedAccessKeyName is missing")
	}
	if c.Token != "" {
		if _, err := Parse(c.Token); err != nil {
			return gatehouse.Errorf(gatehouse.Invalid, "connection string: SharedAccessSignature: %v", err)
		}
		c.Token = Scheme + c.Token[len(Scheme):] // the one spelling that all SDKs recognise
	}
	u, err := url.Parse(endpoint)
	if err != nil || !knownScheme(u.Scheme) || u.Hostname() == "" {
		return gatehouse.Errorf(gatehouse.Invalid, "connection string: Endpoint is not sb://HOST or sb://HOST:PORT")
	}
	if strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return gatehouse.Errorf(gatehouse.Invalid, "connection string: Endpoint has more than a host and a port; what is below belongs in EntityPath")
	}
	if strings.ContainsAny(u.Host, " ;%") {
		return gatehouse.Errorf(gatehouse.Invalid, "connection string: Endpoint has a host name with characters that are not allowed")
	}
	c.Host = lower(strings.TrimSuffix(u.Host, ":"))
	return nil
}

// Resource returns the URI to sign a token for with the key, and the address
// a ready token must cover.
func (c ConnectionString) Resource() string {
	return "sb://" + c.Host + "/" + strings.TrimPrefix(c.EntityPath, "/")
}

// String returns the connection string with the names in the case that all
// SDKs know. It contains the key or the token.
func (c ConnectionString) String() string {
	var b strings.Builder
	b.WriteString("Endpoint=sb://" + c.Host + "/")
	for _, part := range [...][2]string{
		{"SharedAccessKeyName", c.KeyName},
		{"SharedAccessKey", c.Key},
		{"SharedAccessSignature", c.Token},
		{"EntityPath", c.EntityPath},
	} {
		if part[1] != "" {
			b.WriteString(";" + part[0] + "=" + part[1])
		}
	}
	if c.Emulator {
		b.WriteString(";UseDevelopmentEmulator=true")
	}
	return b.String()
}
