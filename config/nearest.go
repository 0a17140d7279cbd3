package config

import (
	"fmt"
	"slices"
	"strings"
)

// unknownKey says that a section has no such key, and which it may have meant.
func unknownKey(key, path string, known []string) string {
	where := ""
	if path != "" {
		where = " in " + path
	}
	if near := nearest(key, known); near != "" {
		return fmt.Sprintf("unknown key %q%s; did you mean %q?", key, where, near)
	}
	slices.Sort(known)
	return fmt.Sprintf("unknown key %q%s; the keys are %s", key, where, strings.Join(slices.Compact(known), ", "))
}

// nearest returns the word that is the fewest typing mistakes away from s, or
// nothing if all are too far to be meant.
func nearest(s string, words []string) string {
	best, least := "", len(s)/3+2
	for _, w := range slices.Sorted(slices.Values(words)) {
		if d := distance(strings.ToLower(s), strings.ToLower(w)); d < least {
			best, least = w, d
		}
	}
	return best
}

// distance is the number of letters to insert, delete, replace or swap with
// the next to turn a into b.
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j]+cost, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
