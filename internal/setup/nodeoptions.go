package setup

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/shlex"
	"gopkg.in/yaml.v3"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// NodeSpec is a further node of a builder that is made.
type NodeSpec struct {
	Name       string // empty is the builder's, and the first number that is free
	Driver     string // docker-container or remote; empty is the builder's, and remote beside a process
	Endpoint   string // as Spec.Endpoint
	DriverOpts map[string]string
	Flags      []string      // nil is the driver's default
	Platforms  []v1.Platform // what the node is said to run; nil is what it reports
	TLS        NodeTLS

	line int // of input append, for its faults
}

// NodeTLS is what a remote node at a tcp address is spoken to with, in PEM. The
// zero value is nothing.
type NodeTLS struct{ CA, Cert, Key []byte }

// parts are what a node is spoken to with, each with its names.
func (t *NodeTLS) parts() []tlsPart {
	return []tlsPart{
		{"CACERT", "cacert", "CERTIFICATE", &t.CA},
		{"CERT", "cert", "CERTIFICATE", &t.Cert},
		{"KEY", "key", "PRIVATE KEY", &t.Key},
	}
}

type tlsPart struct {
	variable string
	option   string // of driver remote; also how docker/setup-buildx-action's file begins
	block    string // how its type in PEM ends
	pem      *[]byte
}

func (t NodeTLS) empty() bool { return len(t.CA)+len(t.Cert)+len(t.Key) == 0 }

// ParseNodeTLS reads what the variables BUILDER_NODE_<i>_AUTH_TLS_CACERT, _CERT
// and _KEY give of node i; the first node is 0. Faults are errdefs.BadInput that
// name the variable and nothing of its content.
func ParseNodeTLS(environ map[string]string, i int) (NodeTLS, error) {
	var t NodeTLS
	var faults []error
	for _, part := range t.parts() {
		name := fmt.Sprintf("BUILDER_NODE_%d_AUTH_TLS_%s", i, part.variable)
		text := strings.TrimSpace(environ[name])
		if text == "" {
			continue
		}
		block, _ := pem.Decode([]byte(text))
		if block == nil || !strings.HasSuffix(block.Type, part.block) {
			faults = append(faults, errdefs.BadInputf(name, 0, "it is no %s in PEM", strings.ToLower(part.block)))
			continue
		}
		if part.block == "CERTIFICATE" {
			if _, err := x509.ParseCertificate(block.Bytes); err != nil {
				faults = append(faults, errdefs.BadInputf(name, 0, "%w", err))
			}
		}
		*part.pem = []byte(text + "\n")
	}
	return t, errors.Join(faults...)
}

// ParseAppend reads input "append" of docker/setup-buildx-action: a list in
// YAML, an entry a node, with the keys name, driver, endpoint, driver-opts,
// buildkitd-flags and platforms. The variables of [ParseNodeTLS] count the
// entries from 1. Faults are errdefs.BadInput of the input with the line of the
// entry, joined.
func ParseAppend(text string, environ map[string]string) ([]NodeSpec, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	var entries []yaml.Node
	if err := yaml.Unmarshal([]byte(text), &entries); err != nil {
		return nil, errdefs.BadInputf("append", 0, "it is no list in YAML: %w", err).
			WithHint("a list of nodes: - endpoint: tcp://host:port")
	}
	nodes := make([]NodeSpec, len(entries))
	var faults []error
	for i := range entries {
		var err error
		nodes[i], err = parseNode(&entries[i])
		faults = append(faults, err)
		nodes[i].TLS, err = ParseNodeTLS(environ, i+1)
		faults = append(faults, err)
	}
	return nodes, errors.Join(faults...)
}

// nodeKeys set one key of an entry each.
var nodeKeys = map[string]func(n *NodeSpec, value []string) error{
	"name":     func(n *NodeSpec, v []string) error { return single(&n.Name, v) },
	"driver":   func(n *NodeSpec, v []string) error { return single(&n.Driver, v) },
	"endpoint": func(n *NodeSpec, v []string) error { return single(&n.Endpoint, v) },
	"driver-opts": func(n *NodeSpec, v []string) (err error) {
		n.DriverOpts, err = parseDriverOpts(v)
		return err
	},
	"buildkitd-flags": func(n *NodeSpec, v []string) (err error) {
		n.Flags, err = shlex.Split(strings.Join(v, " "))
		return err
	},
	"platforms": func(n *NodeSpec, v []string) (err error) {
		n.Platforms, err = ParsePlatforms(strings.Split(strings.Join(v, ","), ","))
		return err
	},
}

func single(at *string, value []string) error {
	if len(value) > 1 {
		return errdefs.New(errdefs.BadInput, "expected one value, found %d", len(value))
	}
	*at = strings.Join(value, "")
	return nil
}

func parseNode(entry *yaml.Node) (NodeSpec, error) {
	n := NodeSpec{line: entry.Line}
	if entry.Kind != yaml.MappingNode {
		return n, errdefs.BadInputf("append", entry.Line, "%q is no node", entry.Value).
			WithHint("a node has keys: endpoint: tcp://host:port")
	}
	var faults []error
	for i := 0; i+1 < len(entry.Content); i += 2 {
		key, content := entry.Content[i], entry.Content[i+1]
		set, known := nodeKeys[key.Value]
		if !known {
			faults = append(faults, unknownKey(key))
			continue
		}
		value, err := scalars(content)
		if err == nil && len(value) > 0 {
			err = set(&n, value)
		}
		faults = append(faults, inAppend(err, key.Line, key.Value))
	}
	if n.Endpoint == "" {
		faults = append(faults, errdefs.BadInputf("append", entry.Line, "the node has no endpoint").
			WithHint("a further node is elsewhere: endpoint: tcp://host:port, or an engine's address or docker context"))
	}
	return n, errors.Join(faults...)
}

func unknownKey(key *yaml.Node) error {
	known := []string{"buildkitd-flags", "driver", "driver-opts", "endpoint", "name", "platforms"}
	bad := errdefs.BadInputf("append", key.Line, "unknown key %q", key.Value)
	if near := errdefs.Nearest(key.Value, known); near != "" {
		return bad.WithHint("did you mean %s?", near)
	}
	return bad.WithHint("one of %s", strings.Join(known, ", "))
}

// scalars are a value's texts: of a list, or of one text its lines.
func scalars(n *yaml.Node) ([]string, error) {
	switch n.Kind {
	case yaml.AliasNode:
		return scalars(n.Alias)
	case yaml.ScalarNode:
		if n.Tag == "!!null" {
			return nil, nil
		}
		lines := strings.Split(strings.TrimSpace(n.Value), "\n")
		return slices.DeleteFunc(lines, func(l string) bool { return strings.TrimSpace(l) == "" }), nil
	case yaml.SequenceNode:
		var list []string
		for _, item := range n.Content {
			if item.Kind != yaml.ScalarNode {
				return nil, errdefs.New(errdefs.BadInput, "expected a list of texts")
			}
			list = append(list, item.Value)
		}
		return list, nil
	}
	return nil, errdefs.New(errdefs.BadInput, "expected a text or a list of texts")
}

// inAppend says of every fault in err that it is of a line of input "append",
// and of which key there.
func inAppend(err error, line int, key string) error {
	if err == nil {
		return nil
	}
	var faults []error
	for _, e := range errdefs.List(err) {
		told := &errdefs.Error{Kind: errdefs.BadInput, Input: "append", Line: line, Err: fmt.Errorf("%s: %w", key, e)}
		var bad *errdefs.Error
		if errors.As(e, &bad) {
			if bad.Kind != errdefs.BadInput {
				faults = append(faults, e)
				continue
			}
			told.Err, told.Hint = fmt.Errorf("%s: %w", key, bad.Err), bad.Hint
		}
		faults = append(faults, told)
	}
	return errors.Join(faults...)
}
