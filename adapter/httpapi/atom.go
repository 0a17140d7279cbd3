package httpapi

import (
	"encoding/xml"
	"strings"
	"time"

	"github.com/gatehouse/gatehouse"
)

// The Atom documents of Azure's publisher revocation.

const (
	typeEntry = "application/atom+xml;type=entry;charset=utf-8"
	typeFeed  = "application/atom+xml;type=feed;charset=utf-8"
)

type atomEntry struct {
	XMLName xml.Name    `xml:"http://www.w3.org/2005/Atom entry"`
	ID      string      `xml:"id,omitempty"`
	Title   string      `xml:"title,omitempty"`
	Updated string      `xml:"updated,omitempty"`
	Content atomContent `xml:"content"`
}

type atomContent struct {
	Type        string             `xml:"type,attr"`
	Description revokedDescription `xml:"http://schemas.microsoft.com/netservices/2010/10/servicebus/connect RevokedPublisherDescription"`
}

type revokedDescription struct {
	Name string `xml:"Name"`
}

type atomFeed struct {
	XMLName xml.Name    `xml:"http://www.w3.org/2005/Atom feed"`
	ID      string      `xml:"id"`
	Title   string      `xml:"title"`
	Updated string      `xml:"updated"`
	Entries []atomEntry `xml:"http://www.w3.org/2005/Atom entry"`
}

// parseRevocation checks the body of a revocation: nothing, or an Atom entry
// that names the same publisher as the path.
func parseRevocation(body []byte, publisher gatehouse.EndpointName) error {
	if len(strings.TrimSpace(string(body))) == 0 {
		return nil
	}
	var e atomEntry
	if err := xml.Unmarshal(body, &e); err != nil {
		return gatehouse.Errorf(gatehouse.Invalid, "the body is not an Atom entry with a RevokedPublisherDescription: %v; it may also be empty", err)
	}
	if name := strings.TrimSpace(e.Content.Description.Name); name != "" && !strings.EqualFold(name, string(publisher)) {
		return gatehouse.Errorf(gatehouse.Invalid, "the body names publisher %.64q, the path %q", name, publisher)
	}
	return nil
}

func newEntry(base string, publisher gatehouse.EndpointName, now time.Time) atomEntry {
	return atomEntry{
		ID: base + "/" + string(publisher), Title: string(publisher), Updated: now.UTC().Format(time.RFC3339),
		Content: atomContent{Type: "application/xml", Description: revokedDescription{Name: string(publisher)}},
	}
}

// formatEntry returns the entry of a revoked publisher; base is the URI of the
// list.
func formatEntry(base string, publisher gatehouse.EndpointName, now time.Time) ([]byte, error) {
	return marshal(newEntry(base, publisher, now))
}

// formatFeed returns the list of revoked publishers.
func formatFeed(base string, publishers []gatehouse.EndpointName, now time.Time) ([]byte, error) {
	f := atomFeed{ID: base, Title: "RevokedPublishers", Updated: now.UTC().Format(time.RFC3339)}
	for _, p := range publishers {
		f.Entries = append(f.Entries, newEntry(base, p, now))
	}
	return marshal(f)
}

func marshal(v any) ([]byte, error) {
	body, err := xml.Marshal(v)
	if err != nil {
		return nil, gatehouse.Wrap(gatehouse.Internal, err, "the answer could not be written as XML")
	}
	return append([]byte(xml.Header), body...), nil
}
