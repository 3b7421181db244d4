package setup

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hullwright/hullwright/internal/errdefs"
)

func TestState(t *testing.T) {
	path := filepath.Join(t.TempDir(), "own", "state.json")
	s, err := OpenState(path)
	check(t, err)
	first := entry{Kind: kindVolume, ID: "v", Where: "unix:///x"}
	second := entry{Kind: kindContainer, ID: "c", Where: "unix:///x"}
	check(t, s.record(first))
	check(t, s.record(second))
	check(t, s.Note("tags", []string{"a:1"}))
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}

	back, err := OpenState(path)
	check(t, err)
	if diff := cmp.Diff([]entry{first, second}, back.made(0)); diff != "" {
		t.Error(diff)
	}
	if back.nonce() != s.nonce() || string(back.doc.Notes["tags"]) != "[\n      \"a:1\"\n    ]" {
		t.Errorf("read back %+v", back.doc)
	}
	if diff := cmp.Diff([]entry{second}, back.made(1)); diff != "" {
		t.Error(diff)
	}
	check(t, back.forget(second))
	check(t, back.forget(second)) // once more changes nothing
	if !back.has(kindVolume, "v") || back.has(kindContainer, "c") || back.length() != 1 {
		t.Errorf("after forgetting: %+v", back.doc)
	}
	check(t, back.discard())
	missing(t, filepath.Dir(path))
}

func TestStateKeepsForeignDirectory(t *testing.T) {
	dir := t.TempDir()
	s, err := OpenState(filepath.Join(dir, "state.json"))
	check(t, err)
	check(t, s.discard())
	if _, err := os.Stat(dir); err != nil {
		t.Error(err)
	}
}

func missing(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is there still (%v)", path, err)
	}
}

const goodNonce = "0123456789abcdef0123456789abcdef"

func TestStateGarbled(t *testing.T) {
	for name, text := range map[string]string{
		"empty":        "",
		"cut off":      `{"version":1,"nonce":"` + goodNonce + `","made":[{"kind":"dir`,
		"no object":    `[]`,
		"newer":        `{"version":2,"nonce":"` + goodNonce + `","made":[]}`,
		"no nonce":     `{"version":1,"made":[]}`,
		"short nonce":  `{"version":1,"nonce":"0","made":[]}`,
		"unknown kind": `{"version":1,"nonce":"` + goodNonce + `","made":[{"kind":"file","id":"/etc/passwd"}]}`,
		"no id":        `{"version":1,"nonce":"` + goodNonce + `","made":[{"kind":"directory"}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "state.json")
			check(t, os.WriteFile(path, []byte(text), 0o600))
			m := New(Host{Stderr: testLog{t}})
			for _, err := range []error{m.Teardown(t.Context(), path), second(OpenState(path))} {
				if errdefs.KindOf(err) != errdefs.BadInput || !strings.Contains(err.Error(), `input "state"`) {
					t.Errorf("got %v", err)
				}
			}
			if got := readFile(t, path); got != text {
				t.Errorf("the file was changed to %q", got)
			}
		})
	}
}

func second[T any](_ T, err error) error { return err }

func FuzzState(f *testing.F) {
	f.Add([]byte(`{"version":1,"nonce":"` + goodNonce + `","made":[{"kind":"volume","id":"v"}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := parseState("state.json", raw)
		if err != nil {
			return
		}
		if !noncePattern.MatchString(s.nonce()) {
			t.Errorf("accepted nonce %q", s.nonce())
		}
		for _, e := range s.made(0) {
			if e.ID == "" {
				t.Errorf("accepted %+v", e)
			}
		}
	})
}

type testLog struct{ t *testing.T }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Log(strings.TrimSuffix(string(p), "\n"))
	return len(p), nil
}
