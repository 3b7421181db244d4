package buildpush

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/input"
)

func TestParseSecrets(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "key"), []byte("from file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := parseSecrets(Options{
		Secrets:     input.Secrets{"a=one=1 ", "b=two\nlines"},
		SecretEnvs:  input.Words{"c=TOKEN", "d=EMPTY"},
		SecretFiles: input.Lines{"e=key"},
	}, dir, map[string]string{"TOKEN": "from env", "EMPTY": ""})
	want := map[string][]byte{
		"a": []byte("one=1 "), "b": []byte("two\nlines"), "c": []byte("from env"), "d": {}, "e": []byte("from file\n"),
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}

	_, err = parseSecrets(Options{
		Secrets:     input.Secrets{"hunter2"},
		SecretEnvs:  input.Words{"c=NONE", "broken"},
		SecretFiles: input.Lines{"e=none"},
	}, dir, nil)
	if n := len(errdefs.List(err)); n != 4 || errdefs.KindOf(err) != errdefs.BadInput {
		t.Errorf("%d faults, want all 4 at once: %v", n, err)
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Error("a malformed secret is repeated in its error")
	}
}
