package httpapi

import (
	"encoding/xml"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse/gatehouse"
)

func TestParseRevocation(t *testing.T) {
	t.Parallel()
	body := `<entry xmlns="http://www.w3.org/2005/Atom"><content type="application/xml"><RevokedPublisherDescription xmlns="http://schemas.microsoft.com/netservices/2010/10/servicebus/connect" xmlns:i="http://www.w3.org/2001/XMLSchema-instance"><Name>Pump-7</Name></RevokedPublisherDescription></content></entry>`
	for _, ok := range []string{"", " \n", body, `<?xml version="1.0" encoding="utf-8"?>` + body} {
		if err := parseRevocation([]byte(ok), "pump-7"); err != nil {
			t.Errorf("%q: %v", ok, err)
		}
	}
	for _, bad := range []string{"x", "<entry/>", "{}", strings.ReplaceAll(body, "Pump-7", "other"), body[:80]} {
		if err := parseRevocation([]byte(bad), "pump-7"); !errors.Is(err, gatehouse.Invalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestFormatFeed(t *testing.T) {
	t.Parallel()
	at := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	text, err := formatFeed("https://h/acme/revokedpublishers", []gatehouse.EndpointName{"a", "b"}, at)
	if err != nil {
		t.Fatal(err)
	}
	var f atomFeed
	if err := xml.Unmarshal(text, &f); err != nil {
		t.Fatal(err)
	}
	if f.Title != "RevokedPublishers" || len(f.Entries) != 2 || f.Entries[1].Content.Description.Name != "b" || f.Entries[0].ID != "https://h/acme/revokedpublishers/a" {
		t.Errorf("%s", text)
	}
	entry, err := formatEntry("https://h/acme/revokedpublishers", "a", at)
	if err != nil {
		t.Fatal(err)
	}
	if err := parseRevocation(entry, "a"); err != nil {
		t.Errorf("own entry: %v: %s", err, entry)
	}
}
