package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// UnknownVariables returns a warning for each variable of environ, NAME=VALUE
// each, that looks like one of the gateway's and is none: perhaps a typing
// mistake. Variables named in others are known, too. It must be called when
// the blocks of all plug-ins in use have been decoded.
//
// They are no errors because some are set by others: a cluster that has a
// service called gatehouse sets GATEHOUSE_SERVICE_HOST and GATEHOUSE_PORT.
func (c *Config) UnknownVariables(environ []string, others ...string) []string {
	var warnings []string
	known := slices.Sorted(maps.Keys(c.origin.known))
	for _, pair := range environ {
		name, _, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, Prefix) || c.origin.known[name] || slices.Contains(others, name) || isServiceLink(name) {
			continue
		}
		text := fmt.Sprintf("environment variable %s is not one of the gateway's", name)
		if near := nearest(name, known); near != "" {
			text += fmt.Sprintf("; did you mean %s?", near)
		}
		warnings = append(warnings, text)
	}
	slices.Sort(warnings)
	return warnings
}

// isServiceLink reports whether Kubernetes sets such a variable for a service.
func isServiceLink(name string) bool {
	rest := strings.TrimPrefix(name, Prefix)
	return rest == "PORT" || strings.HasPrefix(rest, "PORT_") || strings.Contains(name, "_SERVICE_HOST") || strings.Contains(name, "_SERVICE_PORT") ||
		strings.Contains(rest, "_PORT_") || strings.HasSuffix(rest, "_PORT")
}
