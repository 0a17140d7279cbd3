package auth

import (
	"iter"
	"strings"
)

// sasScheme is the word that every SAS token begins with.
const sasScheme = "SharedAccessSignature "

// FromToken returns the credentials in a text that is a token or two joined by
// a comma, as an access_token parameter or a Bearer header has it: SAS tokens
// and bearer tokens.
func FromToken(s string) []Credentials {
	var all []Credentials
	for part := range SplitTokens(s) {
		if len(part) > len(sasScheme) && strings.EqualFold(part[:len(sasScheme)], sasScheme) {
			all = append(all, SAS{Token: part})
		} else {
			all = append(all, Bearer{Token: part})
		}
	}
	return all
}

// SplitTokens yields the tokens that are joined by a comma in s: at most two,
// without the spaces around them. No token as the SDKs make it has a comma of
// its own.
func SplitTokens(s string) iter.Seq[string] {
	return func(yield func(string) bool) {
		first, second, _ := strings.Cut(s, ",")
		for _, part := range [...]string{first, second} {
			if part = strings.TrimSpace(part); part != "" && !yield(part) {
				return
			}
		}
	}
}
