package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// unwanted must not be linked: the program shall start in milliseconds. What
// moby keeps of small parts (moby/sys) is no harm.
var unwanted = []string{
	"github.com/moby/buildkit", "github.com/moby/moby/", "github.com/docker/", "github.com/containerd/", "google.golang.org/grpc", "go.opentelemetry.io/",
	"github.com/google/go-containerregistry", "testing",
}

func TestLinksNoBuildKit(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	linked := strings.Fields(string(out))
	if len(linked) < 50 {
		t.Fatalf("go list gives %d packages", len(linked))
	}
	for _, pkg := range linked {
		for _, prefix := range unwanted {
			if strings.HasPrefix(pkg, prefix) {
				t.Errorf("%s is linked", pkg)
			}
		}
	}
}

// sizeCap is the budget of the stripped program, in bytes.
const sizeCap = 12 << 20

func TestSize(t *testing.T) {
	program := filepath.Join(t.TempDir(), "metadata")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	info, err := os.Stat(program)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > sizeCap {
		t.Errorf("%d bytes, more than %d", info.Size(), sizeCap)
	}
}
