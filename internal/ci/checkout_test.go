package ci

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestReadCheckout(t *testing.T) {
	dir := t.TempDir()
	h := Host{Dir: dir, Environ: map[string]string{"PATH": os.Getenv("PATH")}}
	git := func(args ...string) {
		t.Helper()
		cmd := exec.Command("git", append([]string{"-c", "user.name=Ada", "-c", "user.email=ada@example.com"}, args...)...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	if _, err := ReadCheckout(context.Background(), h); err == nil {
		t.Error("a directory that is no checkout is read")
	}
	git("init", "--quiet", "--initial-branch=main")
	if _, err := ReadCheckout(context.Background(), h); err == nil {
		t.Error("a checkout without a commit is read")
	}
	git("commit", "--quiet", "--allow-empty", "--message=first")
	c, err := ReadCheckout(context.Background(), h)
	if err != nil || len(c.SHA) != 40 || c.Remote != "" {
		t.Errorf("%+v, %v", c, err)
	}
	git("remote", "add", "upstream", "https://u:hunter2@git.example/acme/app.git")
	if c, _ = ReadCheckout(context.Background(), h); c.Remote != "https://git.example/acme/app.git" {
		t.Errorf("%+v, want upstream", c)
	}
	git("remote", "add", "origin", "git@git.example:ada/app.git")
	if c, _ = ReadCheckout(context.Background(), h); c.Remote != "git@git.example:ada/app.git" {
		t.Errorf("%+v, want origin", c)
	}
	git("config", "branch.main.remote", "upstream")
	git("config", "branch.main.merge", "refs/heads/main")
	git("config", "remote.upstream.fetch", "+refs/heads/*:refs/remotes/upstream/*")
	if c, _ = ReadCheckout(context.Background(), h); c.Remote != "https://git.example/acme/app.git" {
		t.Errorf("%+v, want the remote that the branch follows", c)
	}
	if IsDirty(context.Background(), h) {
		t.Error("a clean checkout is dirty")
	}
	if err := os.WriteFile(filepath.Join(dir, "new"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if !IsDirty(context.Background(), h) {
		t.Error("a checkout with an unknown file is clean")
	}
}
