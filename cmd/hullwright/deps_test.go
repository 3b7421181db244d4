package main

import (
	"os/exec"
	"strings"
	"testing"
)

// apart is what hullwright-policy alone links.
var apart = []string{"github.com/docker/buildx/policy", "github.com/open-policy-agent/", "github.com/sigstore/", "github.com/moby/policy-helpers"}

func TestLinksNoPolicyEngine(t *testing.T) {
	for _, program := range []string{".", "../build-push"} {
		out, err := exec.Command("go", "list", "-deps", program).Output()
		if err != nil {
			t.Fatal(err)
		}
		linked := strings.Fields(string(out))
		if len(linked) < 200 {
			t.Fatalf("go list gives %d packages", len(linked))
		}
		for _, pkg := range linked {
			for _, prefix := range apart {
				if strings.HasPrefix(pkg, prefix) {
					t.Errorf("%s links %s", program, pkg)
				}
			}
		}
	}
}
