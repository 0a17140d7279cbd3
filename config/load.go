package config

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"

	"github.com/gatehouse/gatehouse"

	"go.yaml.in/yaml/v3"
)

// Prefix is what the names of all environment variables of the gateway begin
// with.
const Prefix = "GATEHOUSE_"

// maxFile bounds the size of a file that is read, in bytes.
const maxFile = 16 << 20

// Load reads the configuration from a file, then from the environment, on top
// of the defaults, and validates it. Without a file name it is the environment
// and the defaults. env looks a variable up, like os.LookupEnv.
//
// The error is of kind Invalid and has one line per fault, each with where it
// is, or of kind NotFound for a file that is not there.
func Load(file string, env func(string) (string, bool)) (*Config, error) {
	var data []byte
	if file != "" {
		var err error
		if data, err = readFile(file); err != nil {
			return nil, err
		}
	}
	return Parse(data, file, env)
}

// Parse is Load for what a file has; the name of the file is for errors.
func Parse(data []byte, file string, env func(string) (string, bool)) (*Config, error) {
	c := Default()
	c.origin = newOrigin(file, env)
	d := decoder{origin: c.origin}
	if root := d.parse(data); root != nil {
		d.decode(root, valueOf(c), "")
	}
	d.overlay(valueOf(c), "")
	if len(d.faults) > 0 {
		return nil, joinFaults(d.faults)
	}
	return c, c.Validate()
}

func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		kind := gatehouse.Invalid
		if errors.Is(err, os.ErrNotExist) {
			kind = gatehouse.NotFound
		}
		return nil, gatehouse.Errorf(kind, "the configuration cannot be read: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, gatehouse.Errorf(gatehouse.Invalid, "the configuration cannot be read: %w", err)
	}
	if len(data) > maxFile {
		return nil, gatehouse.Errorf(gatehouse.Invalid, "%s: the file is larger than %d MiB; is it a configuration?", name, maxFile>>20)
	}
	return data, nil
}

// parse returns the root of the one document in data, or nil if it is empty.
func (d *decoder) parse(data []byte) *yaml.Node {
	var doc, more yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(data))
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		d.fault(d.syntax(err))
		return nil
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		d.fault(d.place(&more) + ": the file has more than one document; remove the line ---")
		return nil
	}
	if len(doc.Content) == 0 {
		return nil
	}
	return doc.Content[0]
}

// syntax turns an error of the YAML library, "yaml: line 3: …", into ours.
func (d *decoder) syntax(err error) string {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	if rest, ok := strings.CutPrefix(text, "line "); ok {
		if line, what, ok := strings.Cut(rest, ": "); ok {
			return d.name() + ":" + line + ": not YAML: " + what
		}
	}
	return d.name() + ": not YAML: " + text
}

func joinFaults(faults []string) error {
	return gatehouse.Errorf(gatehouse.Invalid, "%s", strings.Join(faults, "\n"))
}
