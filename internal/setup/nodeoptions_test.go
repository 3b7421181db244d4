package setup

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hullwright/hullwright/internal/errdefs"
)

func TestParseAppend(t *testing.T) {
	got, err := ParseAppend(`
- name: arm
  endpoint: ssh://me@arm.example
  driver-opts:
    - '"env.A=1,2"'
    - memory=1g
  buildkitd-flags: --debug --oci-worker-gc=false
  platforms: linux/arm64,linux/arm/v7
- endpoint: tcp://s390x.example:1234
  driver: remote
  driver-opts: |
    servername=b
    default-load=true
  platforms: [s390x]
`, nil)
	check(t, err)
	want := []NodeSpec{{
		Name: "arm", Endpoint: "ssh://me@arm.example", line: 2,
		DriverOpts: map[string]string{"env.A": "1,2", "memory": "1g"},
		Flags:      []string{"--debug", "--oci-worker-gc=false"},
		Platforms: []v1.Platform{
			{OS: "linux", Architecture: "arm64"}, {OS: "linux", Architecture: "arm", Variant: "v7"},
		},
	}, {
		Driver: Remote, Endpoint: "tcp://s390x.example:1234", line: 9,
		DriverOpts: map[string]string{"servername": "b", "default-load": "true"},
		Platforms:  []v1.Platform{{OS: "linux", Architecture: "s390x"}},
	}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(NodeSpec{}), cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
	if none, err := ParseAppend(" \n", nil); none != nil || err != nil {
		t.Errorf("nothing gave %v, %v", none, err)
	}
}

func TestParseAppendFaults(t *testing.T) {
	for text, want := range map[string]string{
		"endpoint: tcp://h:1":                      `input "append": it is no list in YAML`,
		"- tcp://h:1":                              `input "append" line 1: "tcp://h:1" is no node`,
		"-\n  name: a":                             `input "append" line 2: the node has no endpoint`,
		"- endpoint: /s\n  endpont: /t":            `input "append" line 2: unknown key "endpont"`,
		"- endpoint: [/s, /t]":                     `input "append" line 1: endpoint: expected one value, found 2`,
		"- endpoint: {a: b}":                       `input "append" line 1: endpoint: expected a text or a list of texts`,
		"- endpoint: /s\n  driver-opts: [network]": `input "append" line 2: driver-opts: "network" is not key=value`,
		"- endpoint: /s\n  platforms: linux/amd46": `input "append" line 2: platforms: unknown platform "linux/amd46"`,
		"- endpoint: /s\n  buildkitd-flags: \"'\"": `input "append" line 2: buildkitd-flags: `,
	} {
		_, err := ParseAppend(text, nil)
		if errdefs.KindOf(err) != errdefs.BadInput || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want %s", text, err, want)
		}
	}
}

// TestParseNodeTLSFaults has secrets in the wrong variables: they are not told.
func TestParseNodeTLSFaults(t *testing.T) {
	pair := newCA(t).issue(t, "client")
	environ := map[string]string{
		"BUILDER_NODE_1_AUTH_TLS_CACERT": "hunter2",
		"BUILDER_NODE_1_AUTH_TLS_CERT":   string(pair.Key),
		"BUILDER_NODE_1_AUTH_TLS_KEY":    string(pair.Key),
	}
	_, err := ParseAppend("- endpoint: tcp://h:1", environ)
	var lines []string
	for _, e := range errdefs.List(err) {
		lines = append(lines, e.Error())
	}
	want := []string{
		`input "BUILDER_NODE_1_AUTH_TLS_CACERT": it is no certificate in PEM`,
		`input "BUILDER_NODE_1_AUTH_TLS_CERT": it is no certificate in PEM`,
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Error(diff)
	}
	if got, err := ParseNodeTLS(environ, 0); !got.empty() || err != nil {
		t.Errorf("node 0 has %v, %v", got, err)
	}
}

func FuzzParseAppend(f *testing.F) {
	f.Add("- endpoint: tcp://h:1\n  platforms: [arm64]\n")
	f.Add("- &a {endpoint: /s}\n- *a")
	f.Add("- endpoint: *a")
	f.Fuzz(func(t *testing.T, text string) {
		nodes, err := ParseAppend(text, nil)
		if err != nil && errdefs.KindOf(err) != errdefs.BadInput {
			t.Errorf("kind of %v", err)
		}
		for _, n := range nodes {
			if err == nil && n.Endpoint == "" {
				t.Error("a node without endpoint")
			}
		}
	})
}
