package registry

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// TestHostileHelpers runs helpers that do what none should.
func TestHostileHelpers(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	for _, tt := range []struct{ name, script, err string }{
		{"sound", `echo '{"Username":"u","Secret":"hunter2"}'`, ""},
		{"nothing", `echo "credentials not found in native keychain"; exit 1`, ""},
		{"junk", `echo "hunter2 is no JSON"`, "its answer is no credentials"},
		{"nothing-at-all", `true`, "its answer is no credentials"},
		{"floods", `exec cat /dev/zero`, "it says more than 64 KiB"},
		{"hangs", `sleep 60`, "no answer within 500ms"},
		{"hangs-on", `sleep 60 & echo '{"Username":"u"'; wait`, "no answer within 500ms"},
		{"fails", `echo hunter2; echo hunter2 >&2; exit 3`, "exit status 3"},
		{"injects", `printf '{"Username":"u\\nhost=evil","Secret":"hunter2"}'`, "its user has a control character"},
		{"../../bin/sh", "", "no such name is allowed"},
		{"a;b", "", "no such name is allowed"},
		{"-x", "", "no such name is allowed"},
		{"A", "", "no such name is allowed"},
		{"missing", "", "executable file not found"},
	} {
		t.Run(strings.ReplaceAll(tt.name, "/", "_"), func(t *testing.T) {
			if tt.script != "" {
				if err := os.WriteFile(filepath.Join(dir, "docker-credential-"+tt.name), []byte("#!/bin/sh\n"+tt.script+"\n"), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			k := &keychain{environ: map[string]string{"PATH": os.Getenv("PATH")}, dir: dir, patience: 10 * time.Second}
			if strings.HasPrefix(tt.name, "hangs") {
				k.patience = 500 * time.Millisecond
			}
			begun := time.Now()
			_, err := k.help(t.Context(), tt.name, "ghcr.io")
			checkError(t, err, tt.err)
			if err != nil && errdefs.KindOf(err) != errdefs.Environment {
				t.Errorf("kind %v", errdefs.KindOf(err))
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error shows what the helper said: %v", err)
			}
			if took := time.Since(begun); took > 10*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
	k := &keychain{environ: map[string]string{}, dir: dir, patience: time.Second}
	_, err := k.help(t.Context(), "sound", "ghcr.io\nhost=evil")
	checkError(t, err, "has a control character")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := k.help(ctx, "sound", "ghcr.io"); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}
