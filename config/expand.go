package config

import (
	"fmt"
	"strings"
)

// expand puts in what ${NAME} and ${file:PATH} stand for; $$ is a dollar sign.
func (o *origin) expand(text string) (string, error) {
	if !strings.Contains(text, "$") {
		return text, nil
	}
	var b strings.Builder
	for {
		before, after, found := strings.Cut(text, "$")
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		switch {
		case strings.HasPrefix(after, "$"):
			b.WriteByte('$')
			text = after[1:]
		case strings.HasPrefix(after, "{"):
			name, rest, closed := strings.Cut(after[1:], "}")
			if !closed {
				return "", fmt.Errorf("${ without a closing brace; write $$ for a dollar sign")
			}
			value, err := o.reference(name)
			if err != nil {
				return "", err
			}
			b.WriteString(value)
			text = rest
		default:
			b.WriteByte('$')
			text = after
		}
	}
}

func (o *origin) reference(name string) (string, error) {
	if path, ok := strings.CutPrefix(name, "file:"); ok {
		data, err := readFile(path)
		if err != nil {
			return "", err
		}
		return strings.TrimRight(string(data), "\r\n"), nil
	}
	if o.env != nil {
		if value, ok := o.env(name); ok {
			return value, nil
		}
	}
	return "", fmt.Errorf("environment variable %s is not set", name)
}
