package httpapi

import (
	"strings"

	"github.com/gatehouse/gatehouse"

	"github.com/google/uuid"
)

// parseLock reads the canonical text of a lock token, with or without braces.
func parseLock(s string) (lock [16]byte, err error) {
	s = strings.TrimSuffix(strings.TrimPrefix(s, "{"), "}")
	if len(s) != 36 {
		return lock, gatehouse.Errorf(gatehouse.Invalid, "a lock token is a UUID")
	}
	return uuid.Parse(s)
}

// lockText returns the canonical text of a lock token.
func lockText(lock [16]byte) string { return uuid.UUID(lock).String() }
