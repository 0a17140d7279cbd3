package gate

import (
	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/restrict"
)

// Origin reports whether web pages of an origin may use an endpoint, for what
// browsers ask before the page shows who it is. Whoever asks learns no more
// than that: an endpoint that does not exist, and trusted code (an empty name),
// look like an endpoint that lets no page in.
func (g *Gate) Origin(a gatehouse.AccountName, e gatehouse.EndpointName, header string) bool {
	if header == "" || e == "" {
		return false
	}
	account := g.snapshot.Load().Account(a)
	if account == nil {
		return false
	}
	endpoint := account.Endpoint(e)
	if endpoint == nil {
		return false
	}
	return account.Restrictions().Plan(endpoint.Party()).Origin(header)
}

// errPage is the refusal of trusted code that runs in a web page.
func errPage() error {
	e := gatehouse.Errorf(gatehouse.Restricted, "trusted code does not run in web pages; let the page use an endpoint, or call from a server")
	e.Rule = restrict.RuleOrigins
	return e
}
