package buildpush

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseBuildArgs(t *testing.T) {
	got, err := parseBuildArgs([]string{"A=1", "B", "C", "D="}, map[string]string{"B": "env", "SOURCE_DATE_EPOCH": "7"})
	want := map[string]string{"A": "1", "B": "env", "D": "", "SOURCE_DATE_EPOCH": "7"}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}
