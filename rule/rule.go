// Package rule is what the rules of an account have in common: selectors of
// endpoints and channels by name and label, globs, and the steps in which a
// decision is explained. It does no I/O and decides nothing by itself.
//
// Names are compared without case, as everywhere in Gatehouse; label keys and
// values, and the texts globs are held against, with it. Everything compiled
// is immutable and safe for concurrent use, and matching does not allocate.
package rule

import "github.com/gatehouse/gatehouse"

// An Endpoint is what rules know of an outside party.
type Endpoint struct {
	Name   gatehouse.EndpointName
	Labels Labels
}

// A Step is what one rule had to say in a decision, for an explanation.
type Step struct {
	Rule    string `json:"rule"`             // its name
	Kind    string `json:"kind"`             // what sort of rule it is
	Outcome string `json:"outcome"`          // what it decided, in one word
	Reason  string `json:"reason,omitempty"` // why, for people
}
