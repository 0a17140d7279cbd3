package cli

import (
	"fmt"
	"strings"

	"github.com/gatehouse/gatehouse"
	"github.com/gatehouse/gatehouse/admin/client"
)

// A Party is ACCOUNT/NAME on the command line.
type Party struct{ Account, Name string }

// UnmarshalText reads ACCOUNT/NAME.
func (p *Party) UnmarshalText(text []byte) error {
	account, name, ok := strings.Cut(string(text), "/")
	if !ok || account == "" || name == "" {
		return fmt.Errorf("%q is not ACCOUNT/NAME", text)
	}
	if err := checkNames(account, name); err != nil {
		return err
	}
	p.Account, p.Name = account, name
	return nil
}

// String returns ACCOUNT/NAME.
func (p Party) String() string { return p.Account + "/" + p.Name }

// path returns the path of the endpoint that p names in the API.
func (p Party) path() string { return client.Path("accounts", p.Account, "endpoints", p.Name) }

// A KeyOwner is ACCOUNT/ENDPOINT or ACCOUNT/$policies/POLICY on the command
// line.
type KeyOwner struct {
	Party
	Policy bool // the name is that of a policy
}

const policies = "$policies/"

// UnmarshalText reads ACCOUNT/ENDPOINT or ACCOUNT/$policies/POLICY.
func (o *KeyOwner) UnmarshalText(text []byte) error {
	account, name, ok := strings.Cut(string(text), "/"+policies)
	if !ok {
		return o.Party.UnmarshalText(text)
	}
	if err := checkNames(account, name); err != nil {
		return err
	}
	o.Account, o.Name, o.Policy = account, name, true
	return nil
}

// path returns the path of whose keys they are in the API.
func (o KeyOwner) path() string {
	if o.Policy {
		return client.Path("accounts", o.Account, "policies", o.Name)
	}
	return o.Party.path()
}

func checkNames(names ...string) error {
	for _, n := range names {
		if err := gatehouse.CheckName(n); err != nil {
			return err
		}
	}
	return nil
}
