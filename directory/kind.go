package directory

import (
	"fmt"
	"strings"

	"github.com/gatehouse/gatehouse"
)

// A Kind is a kind of definition.
type Kind uint8

// The kinds of definitions.
const (
	KindAccount Kind = iota + 1
	KindEndpoint
	KindChannel
	KindRoute
	KindRestriction
	KindHandler
	KindPolicy
	kinds // one more than the last

	// kindFence is the row of an account that every change of its structure
	// writes, so that two that cross are found out.
	kindFence Kind = 255
)

// Kinds returns every kind.
func Kinds() []Kind {
	all := make([]Kind, 0, kinds-1)
	for k := KindAccount; k < kinds; k++ {
		all = append(all, k)
	}
	return all
}

// String returns the kind's name, "endpoint".
func (k Kind) String() string {
	switch k {
	case KindAccount:
		return "account"
	case KindEndpoint:
		return "endpoint"
	case KindChannel:
		return "channel"
	case KindRoute:
		return "route"
	case KindRestriction:
		return "restriction"
	case KindHandler:
		return "handler"
	case KindPolicy:
		return "policy"
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// plural returns the name of the kind's section in a file.
func (k Kind) plural() string {
	if k == KindPolicy {
		return "policies"
	}
	return k.String() + "s"
}

// ParseKind reads a kind's name, in the singular or plural and in any case.
func ParseKind(s string) (Kind, error) {
	for _, k := range Kinds() {
		if strings.EqualFold(s, k.String()) || strings.EqualFold(s, k.plural()) {
			return k, nil
		}
	}
	return 0, gatehouse.Errorf(gatehouse.Invalid, "%q is not a kind of definition; the kinds are account, endpoint, channel, route, restriction, handler and policy", s)
}

// MarshalText returns the kind's name.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads the kind's name.
func (k *Kind) UnmarshalText(text []byte) error {
	var err error
	*k, err = ParseKind(string(text))
	return err
}

// A Ref names a definition. That of an account has the account's name twice.
type Ref struct {
	Kind    Kind                  `json:"kind"`
	Account gatehouse.AccountName `json:"account"`
	Name    string                `json:"name"`
}

// String returns the kind and the name, quoted.
func (r Ref) String() string { return fmt.Sprintf("%s %q", r.Kind, r.Name) }

// letter returns what stands for the kind in the keys of rows. The account's
// own row comes first among those of the account, then its fence.
func (k Kind) letter() byte {
	switch k {
	case KindAccount:
		return 'a'
	case kindFence:
		return 'b'
	case KindChannel:
		return 'c'
	case KindEndpoint:
		return 'e'
	case KindHandler:
		return 'h'
	case KindPolicy:
		return 'p'
	case KindRoute:
		return 'r'
	case KindRestriction:
		return 'x'
	}
	return 0
}

func kindOf(letter byte) Kind {
	for _, k := range append(Kinds(), kindFence) {
		if k.letter() == letter {
			return k
		}
	}
	return 0
}

// structural reports whether definitions of the kind depend on each other, so
// that changes of them need the account's fence.
func (k Kind) structural() bool { return k != KindEndpoint && k != KindPolicy }

// rowKey returns the key of a definition's row. account and name are folded;
// those of the account itself and of its fence have no name.
func rowKey(account string, k Kind, name string) string {
	if k == KindAccount || k == kindFence {
		name = ""
	}
	return account + "/" + string(k.letter()) + "/" + name
}

// splitKey is the reverse of rowKey. ok is false for a key that is of no
// definition.
func splitKey(key string) (account string, k Kind, name string, ok bool) {
	account, rest, ok := strings.Cut(key, "/")
	if !ok || len(rest) < 2 || rest[1] != '/' {
		return "", 0, "", false
	}
	k = kindOf(rest[0])
	return account, k, rest[2:], k != 0
}
