package setup

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/moby/buildkit/client"

	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/setup/binfmt"
)

func TestParseUninstall(t *testing.T) {
	got, err := ParseUninstall([]string{"qemu-arm", "qemu-*", "linux/arm64", "linux/arm/v7", "WSL*", "[a-c]*"})
	check(t, err)
	if diff := cmp.Diff([]string{"qemu-arm", "qemu-*", "qemu-aarch64", "qemu-arm", "WSL*", "[a-c]*"}, got); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{"[", "qemu-../x", "qemu-a,b*", "*/status", "linux/arm46", "register", ""} {
		if names, err := ParseUninstall([]string{bad}); errdefs.KindOf(err) != errdefs.BadInput {
			t.Errorf("%q: %q, %v", bad, names, err)
		}
	}
}

// TestFaultKnown has a proof that failed with an emulator of which there is
// something known.
func TestFaultKnown(t *testing.T) {
	row := Emulation{Platform: v1.Platform{OS: "linux", Architecture: "arm64"}, Emulator: "/usr/bin/qemu-aarch64-static (flags F)", image: "qemu/v9.2.0"}
	m := New(Host{Stderr: testLog{t}, Now: time.Now})
	p := &proof{row: &row, node: &Node{Name: "ci0"}, err: errors.New("it crashed"), next: "try another"}
	m.warnOf(t.Context(), p)
	err := p.fault()
	for _, part := range []string{"emulation of linux/arm64 on node ci0 is broken", "flags F", "of QEMU 9.2.0, of which it is known that", "issues/240", ": it crashed"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%v lacks %q", err, part)
		}
	}
	if row.Emulator != "" || errdefs.KindOf(err) != errdefs.Environment {
		t.Errorf("row %+v, kind %v", row, errdefs.KindOf(err))
	}
}

// TestEmulatorOfFar has nodes of other machines, of which this one's table says
// nothing.
func TestEmulatorOfFar(t *testing.T) {
	m := New(Host{Stderr: testLog{t}, Now: time.Now})
	far, err := m.newRemote(groupNode{Endpoint: "tcp://192.0.2.1:1234"})
	check(t, err)
	for _, arch := range binfmt.Architectures() {
		p := v1.Platform{OS: "linux", Architecture: arch}
		if got := m.emulatorOf(t.Context(), &proof{row: &Emulation{Platform: p}, node: &Node{conn: far}}); !strings.Contains(got, "its BuildKit brings") {
			t.Errorf("%s: %s", arch, got)
		}
		if got := m.emulatorOf(t.Context(), &proof{row: &Emulation{Platform: p}, node: &Node{conn: far, Platforms: []v1.Platform{p}}}); got != "its machine's kernel" {
			t.Errorf("%s: %s", arch, got)
		}
	}
}

// TestRegistersFar has nodes of other machines, where nobody registers emulators,
// one that runs beside us, and one of an engine that may be anywhere.
func TestRegistersFar(t *testing.T) {
	m := New(Host{Environ: map[string]string{"DOCKER_HOST": "tcp://192.0.2.1:1"}, Stderr: testLog{t}, Now: time.Now})
	for endpoint, far := range map[string]bool{
		"tcp://192.0.2.1:1234":          true,
		"tcp://127.0.0.1:1234":          true, // a tunnel's end looks so too
		"ssh://me@builder.example":      true,
		"kube-pod://buildkit-0":         true,
		"unix:///run/buildkitd.sock":    false,
		"docker-container://buildkitd":  false,
		"podman-container://buildkitd":  true,
		"nerdctl-container://buildkitd": true,
	} {
		conn, err := m.newRemote(groupNode{Endpoint: endpoint})
		check(t, err)
		b := &Builder{Nodes: []Node{{Name: "other"}, {Name: "n0", Endpoint: endpoint, conn: conn}}}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond) // the engine answers nobody
		here, err := m.Registers(ctx, b, "n0")
		cancel()
		if errors.Is(err, ErrElsewhere) != far || far && here {
			t.Errorf("%s: here %t, %v; want elsewhere %t", endpoint, here, err, far)
		}
		if far && !strings.Contains(err.Error(), "node n0 at "+endpoint+" is on another machine") {
			t.Errorf("%s: %v", endpoint, err)
		}
	}
}

func TestLeaseGone(t *testing.T) {
	m, dir := emptyHost(t)
	now := time.Now()
	state := func(name string, change func(*document)) origin {
		return stateIn(t, dir, name, func(d *document) {
			d.Made = []entry{{Kind: kindBinfmt, ID: "qemu-x"}}
			change(d)
		}).mark()
	}
	boot := self().Boot
	for name, tt := range map[string]struct {
		k    leaseMark
		want bool
	}{
		"under way":         {leaseMark{state("alive", func(*document) {}), boot}, false},
		"killed":            {leaseMark{state("dead", func(d *document) { o := *d.Owner; o.Start = "1"; d.Owner = &o }), boot}, true},
		"handed over":       {leaseMark{state("handed", func(d *document) { d.Owner = nil; d.Expires = now.Add(time.Hour) }), boot}, false},
		"its time is over":  {leaseMark{state("over", func(d *document) { d.Owner = nil; d.Expires = now.Add(-time.Hour) }), boot}, true},
		"restarted":         {leaseMark{state("rebooted", func(*document) {}), "another"}, boot != ""},
		"lost":              {leaseMark{origin{Nonce: goodNonce, State: dir + "/none"}, boot}, false},
		"lost and over":     {leaseMark{origin{Nonce: goodNonce, State: dir + "/none", Expires: now.Add(-time.Hour)}, boot}, true},
		"of an old version": {leaseMark{origin{Nonce: goodNonce}, ""}, false},
	} {
		if got := m.leaseGone(tt.k); got != tt.want {
			t.Errorf("%s: gone is %t", name, got)
		}
	}
}

func TestImageCacheDir(t *testing.T) {
	for name, tt := range map[string]struct {
		environ map[string]string
		want    string
	}{
		"runner":  {map[string]string{"RUNNER_TOOL_CACHE": "/opt/tools", "HOME": "/h"}, "/opt/tools/hullwright/images"},
		"user":    {map[string]string{"XDG_CACHE_HOME": "/c", "HOME": "/h"}, "/c/hullwright/images"},
		"home":    {map[string]string{"HOME": "/h", "XDG_CACHE_HOME": "c"}, "/h/.cache/hullwright/images"},
		"nowhere": {map[string]string{}, ""},
		"new":     {map[string]string{"RUNNER_TOOL_CACHE": "/opt/tools", "RUNNER_ENVIRONMENT": "github-hosted"}, ""},
	} {
		if got := ImageCacheDir(tt.environ); got != tt.want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestTrim(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	file := func(name string, size int64, age time.Duration) {
		t.Helper()
		path := dir + "/" + name
		check(t, os.WriteFile(path, nil, 0o600))
		check(t, os.Truncate(path, size))
		check(t, os.Chtimes(path, now.Add(-age), now.Add(-age)))
	}
	left := func(want ...string) {
		t.Helper()
		entries, err := os.ReadDir(dir)
		check(t, err)
		var got []string
		for _, e := range entries {
			got = append(got, e.Name())
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	file("huge.tar", 2<<30, 0) // what was just pulled stays, however large
	file(".writing-1", 1, time.Minute)
	file(".writing-2", 1, 2*time.Hour)
	file("other", 1, time.Hour)
	file("b.tar", 1, time.Minute)
	check(t, trim(dir, now))
	left(".writing-1", "huge.tar", "other")
	check(t, os.Remove(dir+"/huge.tar"))
	for i, name := range []string{"a.tar", "b.tar", "c.tar", "d.tar", "e.tar"} {
		file(name, 1, time.Duration(i)*time.Minute)
	}
	check(t, trim(dir, now))
	left(".writing-1", "a.tar", "b.tar", "c.tar", "d.tar", "other")
	check(t, trim(dir, now))
}

// TestLimitSteps has a step that waits its turn for longer than one may run, one
// that ended, and one that hangs.
func TestLimitSteps(t *testing.T) {
	const limit = 300 * time.Millisecond
	now := time.Now()
	step := func(v client.Vertex) *client.SolveStatus { return &client.SolveStatus{Vertexes: []*client.Vertex{&v}} }
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	status := make(chan *client.SolveStatus)
	var reader sync.WaitGroup
	reader.Go(func() { limitSteps(status, limit, cancel) })
	status <- step(client.Vertex{Digest: "sha256:waits"})
	status <- step(client.Vertex{Digest: "sha256:ends", Started: &now})
	status <- step(client.Vertex{Digest: "sha256:ends", Started: &now, Completed: &now})
	time.Sleep(2 * limit)
	if err := context.Cause(ctx); err != nil {
		t.Fatalf("nothing hangs, and yet: %v", err)
	}
	status <- step(client.Vertex{Digest: "sha256:waits", Started: &now})
	select {
	case <-ctx.Done():
	case <-time.After(20 * time.Second):
	}
	if err := context.Cause(ctx); err == nil || err.Error() != "the program did not end within 300ms" {
		t.Errorf("got %v", err)
	}
	close(status)
	reader.Wait()
}
