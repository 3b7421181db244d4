package buildpush

import (
	"testing"

	"github.com/hullwright/hullwright/internal/errdefs"
)

func TestParsePush(t *testing.T) {
	for in, want := range map[string][2]bool{"auto": {false, true}, "true": {true, true}, "false": {false, false}} {
		for i, whole := range []bool{false, true} {
			if got, err := parsePush(in, whole); err != nil || got != want[i] {
				t.Errorf("parsePush(%q, %t) = %t, %v", in, whole, got, err)
			}
		}
	}
	if _, err := parsePush("perhaps", false); errdefs.KindOf(err) != errdefs.BadInput {
		t.Errorf("parsePush(perhaps): %v", err)
	}
}
