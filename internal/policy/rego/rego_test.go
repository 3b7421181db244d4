package rego

import (
	"testing"

	"github.com/docker/buildx/policy"

	"github.com/hullwright/hullwright/internal/policy/wire"
)

// TestBuiltin sees that a build is told the name that docker's own policy has.
func TestBuiltin(t *testing.T) {
	if wire.Builtin != policy.DefaultPolicyFilename {
		t.Errorf("%s, docker buildx calls it %s", wire.Builtin, policy.DefaultPolicyFilename)
	}
	if files := filesOf(wire.Set{Builtin: true}); len(files) != 1 || len(files[0].Data) == 0 {
		t.Errorf("%d files, want docker's policy", len(files))
	}
}
