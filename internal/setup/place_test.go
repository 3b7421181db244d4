package setup

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

func TestPlace(t *testing.T) {
	list := func(text string) []v1.Platform {
		t.Helper()
		names := strings.Fields(text)
		for i := range names {
			names[i] = "linux/" + names[i]
		}
		found, err := ParsePlatforms(names)
		check(t, err)
		return found
	}
	node := func(name, has, fixed string) Node {
		return Node{Name: name, Platforms: list(has), Fixed: list(fixed)}
	}
	amd := node("amd", "amd64 386 arm64 arm/v7", "")
	twin := node("twin", "amd64 386 arm64 arm/v7", "")
	arm := node("arm", "arm64", "") // some have no 32-bit mode, and then do not list it
	pinned := node("pinned", "amd64 s390x", "s390x")
	for name, tt := range map[string]struct {
		nodes  []Node
		want   string
		placed string
		rows   string // of Emulate, where it differs
	}{
		"natively before by emulation":         {nodes: []Node{amd, arm}, want: "amd64 arm64 arm/v7", placed: "amd arm amd"},
		"kin of the node's own":                {nodes: []Node{arm, amd}, want: "386", placed: "amd"},
		"fixed before natively":                {nodes: []Node{node("own", "s390x", ""), pinned}, want: "s390x", placed: "pinned"},
		"not where the store fixes to others":  {nodes: []Node{pinned, amd}, want: "amd64", placed: "amd"},
		"where the store fixes to others else": {nodes: []Node{pinned, arm}, want: "amd64", placed: "pinned"},
		"emulation is spread":                  {nodes: []Node{amd, twin}, want: "arm64 arm/v7", placed: "amd twin"},
		"what is native has its node first":    {nodes: []Node{amd, node("arm", "arm64 s390x arm/v7", "")}, want: "arm/v7 amd64", placed: "arm amd"},
		"nobody":                               {nodes: []Node{arm}, want: "arm64 arm/v7", placed: "arm -", rows: "arm arm"},
		"nobody yet":                           {nodes: []Node{amd, twin}, want: "s390x arm64 riscv64 arm/v7", placed: "- amd - twin", rows: "amd twin amd twin"},
		"arm64 is arm64/v8":                    {nodes: []Node{amd, node("arm", "arm64", "arm64/v8")}, want: "arm64", placed: "arm"},
		"no platforms":                         {nodes: []Node{amd, arm}},
	} {
		t.Run(name, func(t *testing.T) {
			want := list(tt.want)
			placed := func(at []int) string {
				names := make([]string, len(at))
				for i, n := range at {
					names[i] = "-"
					if n >= 0 {
						names[i] = tt.nodes[n].Name
					}
				}
				return strings.Join(names, " ")
			}
			if diff := cmp.Diff(tt.placed, placed(Place(tt.nodes, want))); diff != "" {
				t.Error(diff)
			}
			b := &Builder{Nodes: append([]Node{}, tt.nodes...)}
			rows := b.rows(want)
			names := make([]string, len(rows))
			for i, r := range rows {
				names[i] = r.Node
				// as settle does for what was proved
				n := b.node(r.Node)
				n.Platforms = merge(n.Platforms, []v1.Platform{r.Platform})
			}
			if tt.rows == "" {
				tt.rows = tt.placed
			}
			if diff := cmp.Diff(tt.rows, strings.Join(names, " ")); diff != "" {
				t.Errorf("rows: %s", diff)
			}
			if diff := cmp.Diff(tt.rows, placed(Place(b.Nodes, want))); diff != "" {
				t.Errorf("placed elsewhere than proved: %s", diff)
			}
		})
	}
}

// An emulator of arm64 runs no 32-bit program, whatever real processors do.
func TestPlaceIsStrict(t *testing.T) {
	want, err := ParsePlatforms([]string{"linux/arm/v7"})
	check(t, err)
	nodes := []Node{{Platforms: []v1.Platform{{OS: "linux", Architecture: "arm64"}}}}
	if at := Place(nodes, want); at[0] >= 0 {
		t.Error("a node with linux/arm64 alone is said to run linux/arm/v7")
	}
}
