package login

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hullwright/hullwright/internal/errdefs"
)

func put(t *testing.T, path, text string, mode fs.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func credentials(t *testing.T, registry, user, password string) []Credentials {
	t.Helper()
	return []Credentials{{Registry: account(t, registry).Registry, Username: user, Password: password}}
}

// tree is all that is below a directory, with its content.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		text := info.Mode().String()
		if info.Mode().IsRegular() {
			raw, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text += " " + string(raw)
		}
		found[strings.TrimPrefix(path, dir)] = text
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func configOf(t *testing.T, dir string) map[string]any {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, configFile))
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

const ours = `{"currentContext":"remote","credsStore":"desktop","credHelpers":{"kept.test":"pass"},"HttpHeaders":{"A":"b"},"features":{"x":"y"},"auths":{"ghcr.io":{"auth":"YTpi","email":"e"}}}`

// TestOwnDirectory shows that the job's own configuration has all that the user's
// has, and that no trace is left in either.
func TestOwnDirectory(t *testing.T) {
	source, temp := t.TempDir(), t.TempDir()
	put(t, filepath.Join(source, configFile), ours, 0o600)
	put(t, filepath.Join(source, "contexts/meta/x/meta.json"), "{}", 0o644)
	put(t, filepath.Join(source, "cli-plugins/docker-buildx"), "#!", 0o755)
	before := tree(t, source)
	environ := map[string]string{"DOCKER_CONFIG": source}
	d, err := OwnDirectory(environ, "/", temp, noWarning(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Put(deadline(t), "run1", credentials(t, "ghcr.io", "ci", "p1")); err != nil {
		t.Fatal(err)
	}
	if err := d.Put(deadline(t), "run1", credentials(t, "docker.io", "ci", "p2")); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"currentContext": "remote", "credsStore": "desktop", "HttpHeaders": map[string]any{"A": "b"}, "features": map[string]any{"x": "y"},
		// Where a store would be asked, the file counts for what is ours.
		"credHelpers": map[string]any{"kept.test": "pass", "ghcr.io": "", "https://index.docker.io/v1/": ""},
		"auths":       map[string]any{"ghcr.io": map[string]any{"auth": "Y2k6cDE="}, "https://index.docker.io/v1/": map[string]any{"auth": "Y2k6cDI="}},
	}
	if diff := cmp.Diff(want, configOf(t, d.Path)); diff != "" {
		t.Errorf("config.json (-want +got):\n%s", diff)
	}
	for _, path := range []string{"contexts/meta/x/meta.json", "cli-plugins/docker-buildx"} {
		if _, err := os.Stat(filepath.Join(d.Path, path)); err != nil {
			t.Error(err)
		}
	}
	checkPrivate(t, d.Path)
	again, err := OwnDirectory(map[string]string{"DOCKER_CONFIG": d.Path}, "/", temp, noWarning(t))
	if err != nil || again.Path != d.Path || again.Source != source {
		t.Errorf("the next login gets %+v, %v", again, err)
	}
	if err := d.Drop(deadline(t), "run1"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, tree(t, source)); diff != "" {
		t.Errorf("the user's own (-before +after):\n%s", diff)
	}
	if left := tree(t, temp); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func checkPrivate(t *testing.T, dir string) {
	t.Helper()
	for path, mode := range map[string]fs.FileMode{"": 0o700, configFile: 0o600, journal: 0o600} {
		info, err := os.Stat(filepath.Join(dir, path))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != mode {
			t.Errorf("%s has mode %o, want %o", path, info.Mode().Perm(), mode)
		}
	}
}

func noWarning(t *testing.T) func(string) {
	return func(text string) { t.Errorf("warning %q", text) }
}

// TestDrop takes logins away in another order than they came.
func TestDrop(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, configFile), ours, 0o600)
	before := configOf(t, dir)
	d, err := NamedDirectory(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i, user := range []string{"one", "two", "three"} {
		if err := d.Put(deadline(t), fmt.Sprint("run", i+1), credentials(t, "ghcr.io", user, "p")); err != nil {
			t.Fatal(err)
		}
	}
	inForce := func(want string) {
		t.Helper()
		auths := configOf(t, dir)["auths"].(map[string]any)
		got := auths["ghcr.io"].(map[string]any)["auth"]
		if got != want {
			t.Errorf("in force is %v, want %v", got, want)
		}
	}
	inForce("dGhyZWU6cA==")
	for _, step := range []struct{ run, want string }{{"run2", "dGhyZWU6cA=="}, {"run3", "b25lOnA="}, {"run1", "YTpi"}} {
		if err := d.Drop(deadline(t), step.run); err != nil {
			t.Fatal(err)
		}
		inForce(step.want)
	}
	if diff := cmp.Diff(before, configOf(t, dir)); diff != "" {
		t.Errorf("config.json (-before +after):\n%s", diff)
	}
	err = d.Drop(deadline(t), "run1")
	if !errors.Is(err, ErrNotOurs) || errdefs.KindOf(err) != errdefs.Environment {
		t.Errorf("a second time: %v", err)
	}
}

// TestDropWhatSomebodyElseWrote leaves a login of docker's own, made in between.
func TestDropWhatSomebodyElseWrote(t *testing.T) {
	dir := t.TempDir()
	d, err := NamedDirectory(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Put(deadline(t), "run", credentials(t, "ghcr.io", "ci", "p")); err != nil {
		t.Fatal(err)
	}
	theirs := `{"auths":{"ghcr.io":{"auth":"dGhleTpwdw=="}}}`
	put(t, filepath.Join(dir, configFile), theirs, 0o600)
	if err := d.Drop(deadline(t), "run"); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"auths": map[string]any{"ghcr.io": map[string]any{"auth": "dGhleTpwdw=="}}}
	if diff := cmp.Diff(want, configOf(t, dir)); diff != "" {
		t.Errorf("config.json (-want +got):\n%s", diff)
	}
}

// TestManyRuns has jobs come and go at one directory.
func TestManyRuns(t *testing.T) {
	base := t.TempDir()
	a := account(t, "ghcr.io")
	a.Scope = "team/app@push"
	var group sync.WaitGroup
	for i := range 20 {
		group.Go(func() {
			d, err := ScopedDirectory(base, a)
			if err != nil {
				t.Error(err)
				return
			}
			run := fmt.Sprint("run", i)
			if err = d.Put(deadline(t), run, credentials(t, "ghcr.io", run, "p")); err == nil {
				err = d.Drop(deadline(t), run)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if left := tree(t, base); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestLock has a run wait for another one, however long that takes.
func TestLock(t *testing.T) {
	dir := t.TempDir()
	d := &Directory{Path: dir}
	unlock, err := d.lock(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	age(t, dir)
	before := tree(t, dir)
	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := d.Put(short, "run", credentials(t, "ghcr.io", "ci", "p")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("beside another run: %v, want to wait", err)
	}
	if diff := cmp.Diff(before, tree(t, dir)); diff != "" {
		t.Errorf("changed beside another run (-before +after):\n%s", diff)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	if err := d.Put(deadline(t), "run", credentials(t, "ghcr.io", "ci", "p")); err != nil {
		t.Error(err)
	}
}

// TestLockOfKilledRun shows that a run which was killed keeps nobody waiting.
func TestLockOfKilledRun(t *testing.T) {
	const variable = "HULLWRIGHT_TEST_LOCK"
	if dir := os.Getenv(variable); dir != "" { // the run to be killed
		if _, err := (&Directory{Path: dir}).lock(deadline(t)); err != nil {
			t.Fatal(err)
		}
		fmt.Println("locked")
		<-t.Context().Done()
	}
	dir := t.TempDir()
	cmd := exec.CommandContext(deadline(t), os.Args[0], "-test.run=^TestLockOfKilledRun$", "-test.timeout=30s")
	cmd.Env = append(os.Environ(), variable+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said, err := bufio.NewReader(out).ReadString('\n')
	cmd.Process.Kill()
	cmd.Wait() // it was killed
	if err != nil || said != "locked\n" {
		t.Fatalf("the other run said %q: %v", said, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := (&Directory{Path: dir}).Put(ctx, "run", credentials(t, "ghcr.io", "ci", "p")); err != nil {
		t.Errorf("after another run was killed: %v", err)
	}
}

// TestLockOfRemovedDirectory has a run wait that another one takes the directory
// from: what is there afterwards is not what was waited for.
func TestLockOfRemovedDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made")
	for _, again := range []bool{false, true} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		gone := lockOf(dir)
		if free, err := gone.TryLock(); err != nil || !free {
			t.Fatal(free, err)
		}
		if err := os.Remove(dir); err != nil {
			t.Fatal(err)
		}
		if again {
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		if inPlace(gone) {
			t.Errorf("made again %v: the lock of what was removed counts", again)
		}
		if err := gone.Unlock(); err != nil {
			t.Error(err)
		}
	}
}

// TestHostileConfigurations is what stands where credentials would be read from or
// written to.
func TestHostileConfigurations(t *testing.T) {
	for _, tt := range []struct {
		name    string
		text    string
		mode    fs.FileMode
		warning string
		read    string // error of a copy; empty is none
		write   string // error of writing there
	}{
		{name: "sound", text: ours, mode: 0o600},
		{name: "empty", text: "", mode: 0o600},
		{name: "for others to read", text: ours, mode: 0o644, warning: "has mode 0644: others may read"},
		{name: "no JSON", text: `{"auths":{"ghcr.io":{"auth":"hunter2`, mode: 0o600, read: "no JSON at byte", write: "no JSON at byte"},
		{name: "a list", text: `["hunter2"]`, mode: 0o600, read: "not a docker configuration", write: "not a docker configuration"},
		{name: "no base64", text: `{"auths":{"ghcr.io":{"auth":"hunter2!"},"a.test":{"auth":"YTpi"}}}`, mode: 0o600,
			read: `auths["ghcr.io"].auth: not base64`, write: `auths["ghcr.io"].auth: not base64`},
		{name: "a NUL", text: `{"auths":{"ghcr.io":{"auth":"YTpiAGM="}}}`, mode: 0o600, read: "the password has a NUL", write: "the password has a NUL"},
		{name: "a line break in the user", text: `{"auths":{"ghcr.io":{"auth":"YQo6Yg=="}}}`, mode: 0o600, read: "the user has a control character", write: "control character"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			put(t, filepath.Join(dir, configFile), tt.text, tt.mode)
			var warnings []string
			d, err := OwnDirectory(map[string]string{"DOCKER_CONFIG": dir}, "/", t.TempDir(), func(text string) { warnings = append(warnings, text) })
			checkFault(t, err, tt.read, errdefs.Environment)
			if got := strings.Join(warnings, "; "); (tt.warning == "") != (got == "") || !strings.Contains(got, tt.warning) {
				t.Errorf("warnings %q, want %q", got, tt.warning)
			}
			if err == nil {
				checkPrivate(t, d.Path)
			}
			named := &Directory{Path: dir}
			checkFault(t, named.Put(deadline(t), "run", credentials(t, "ghcr.io", "ci", "p")), tt.write, errdefs.Environment)
			if raw, _ := os.ReadFile(filepath.Join(dir, configFile)); tt.write != "" && string(raw) != tt.text {
				t.Errorf("it was written to: %s", raw)
			}
		})
	}
}

func TestConfigurationOfAnother(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	dir := t.TempDir()
	put(t, filepath.Join(dir, configFile), ours, 0o600)
	if err := os.Chown(filepath.Join(dir, configFile), 12345, 12345); err != nil {
		t.Fatal(err)
	}
	_, err := OwnDirectory(map[string]string{"DOCKER_CONFIG": dir}, "/", t.TempDir(), noWarning(t))
	checkFault(t, err, "belongs to user 12345", errdefs.Environment)
	d := &Directory{Path: dir}
	checkFault(t, d.Put(deadline(t), "run", credentials(t, "ghcr.io", "ci", "p")), "belongs to user 12345", errdefs.Environment)
}

func TestConfigurationBehindALink(t *testing.T) {
	dir, target := t.TempDir(), filepath.Join(t.TempDir(), "target.json")
	put(t, target, ours, 0o600)
	if err := os.Symlink(target, filepath.Join(dir, configFile)); err != nil {
		t.Fatal(err)
	}
	d := &Directory{Path: dir}
	checkFault(t, d.Put(deadline(t), "run", credentials(t, "ghcr.io", "ci", "p")), "is a link or no file", errdefs.Environment)
	if raw, _ := os.ReadFile(target); string(raw) != ours {
		t.Errorf("the target was written to: %s", raw)
	}
	// Read it may be: Kubernetes mounts secrets so.
	if _, err := OwnDirectory(map[string]string{"DOCKER_CONFIG": dir}, "/", t.TempDir(), noWarning(t)); err != nil {
		t.Error(err)
	}
}

// TestEditedState is a state file that somebody changed between login and logout.
func TestEditedState(t *testing.T) {
	victim := t.TempDir()
	put(t, filepath.Join(victim, configFile), ours, 0o600)
	d, err := NamedDirectory(victim)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Put(deadline(t), strings.Repeat("a", 32), credentials(t, "ghcr.io", "ci", "p")); err != nil {
		t.Fatal(err)
	}
	before := tree(t, victim)
	path := filepath.Join(t.TempDir(), "state.json")
	for text, want := range map[string]string{
		`{"version":1,"run":"` + strings.Repeat("b", 32) + `","directories":["` + victim + `"]}`: "holds nothing that this login wrote",
		`{"version":1,"run":"` + strings.Repeat("b", 32) + `","directories":["/etc"]}`:           "holds nothing that this login wrote",
		`{"version":1,"run":"","directories":["` + victim + `"]}`:                                "is no state file of a login",
		`{"version":2}`: "is no state file of a login",
		`hunter2`:       "is no state file of a login",
	} {
		put(t, path, text, 0o600)
		s, err := OpenState(path)
		if err == nil {
			err = s.Undo(deadline(t), filepath.Join(victim, "buildx"))
		}
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: error %v, want %q", text, err, want)
		}
		if diff := cmp.Diff(before, tree(t, victim)); diff != "" {
			t.Errorf("%s changed (-before +after):\n%s", text, diff)
		}
	}
}

func TestScopes(t *testing.T) {
	for scope, want := range map[string]string{
		"team/app":         "/b/config/ghcr.io/team/app",
		"@push":            "/b/config/ghcr.io@push",
		"team/app@pull,x":  "/b/config/ghcr.io/team/app@pull,x",
		"../../evil":       "",
		"/etc":             "",
		"a/../../..":       "",
		"a@push@pull":      "",
		"@":                "",
		"@Push":            "",
		"@push,":           "",
		"a\nb":             "",
		"a@../x":           "",
		"team//app":        "",
		"team/app@push, x": "",
	} {
		a := account(t, "ghcr.io")
		a.Scope = scope
		d, err := ScopedDirectory("/b", a)
		switch {
		case want == "" && errdefs.KindOf(err) != errdefs.BadInput:
			t.Errorf("%q: %v, want a bad input", scope, err)
		case want != "" && (err != nil || d.Path != want):
			t.Errorf("%q: %+v, %v; want %s", scope, d, err, want)
		}
	}
}

// TestRegistries reads registries as people write them.
func TestRegistries(t *testing.T) {
	for text, want := range map[string]string{
		"": "index.docker.io", "docker.io": "index.docker.io", "https://index.docker.io/v1/": "index.docker.io",
		"ghcr.io": "ghcr.io", "https://ghcr.io/": "ghcr.io", "registry.test:5000": "registry.test:5000",
		"http://127.0.0.1:5000": "127.0.0.1:5000", "http://localhost:5000": "localhost:5000", "[::1]:5000": "[::1]:5000",
		"http://registry.test": "", "http://10.0.0.1:5000": "", "ghcr.io/team": "", "ghcr.io@evil.com": "", "user:pass@ghcr.io": "",
		"ftp://ghcr.io": "", "a b": "", "ghcr.io\nX": "", "r:99999": "",
	} {
		got, err := ParseRegistry("registry", 0, text)
		switch {
		case want == "" && errdefs.KindOf(err) != errdefs.BadInput:
			t.Errorf("%q: %v, %v; want a bad input", text, got, err)
		case want != "" && (err != nil || got.RegistryStr() != want):
			t.Errorf("%q: %v, %v; want %s", text, got, err, want)
		}
	}
}

// FuzzScope gives any text for a scope: what is taken for one stays below the
// registry's own directory.
func FuzzScope(f *testing.F) {
	for _, scope := range []string{"team/app@push", "@pull", "../x", "a/../../b", "a@b/../c", "."} {
		f.Add(scope)
	}
	reg, err := ParseRegistry("registry", 0, "ghcr.io")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, scope string) {
		d, err := ScopedDirectory("/b", Account{Registry: reg, Scope: scope})
		if err == nil && d.Path != filepath.Clean(d.Path) {
			t.Errorf("%q: %q is not clean", scope, d.Path)
		}
		if err == nil && !strings.HasPrefix(d.Path, "/b/config/ghcr.io") {
			t.Errorf("%q leads to %q", scope, d.Path)
		}
	})
}

// FuzzParseRegistry gives any text for a registry: what is taken for one is a host
// and nothing else.
func FuzzParseRegistry(f *testing.F) {
	for _, text := range []string{"ghcr.io", "https://ghcr.io/", "ghcr.io@evil.com", "http://[::1]:5000", "a:b@c"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		reg, err := ParseRegistry("registry", 0, text)
		if err == nil && strings.ContainsAny(reg.RegistryStr(), "@/\\?# \n\x00") {
			t.Errorf("%q is read as %q", text, reg.RegistryStr())
		}
	})
}
