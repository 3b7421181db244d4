package setup

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/moby/moby/api/types/container"

	"github.com/hullwright/hullwright/internal/errdefs"
)

func TestParseContainerOpts(t *testing.T) {
	got, err := parseContainerOpts(map[string]string{
		"image": "example/buildkit:1", "network": "host", "memory": "1g", "memory-swap": "-1",
		"cpu-quota": "100000", "cpu-period": "50000", "cpu-shares": "512", "cpuset-cpus": "0-3", "cpuset-mems": "0",
		"cgroup-parent": "/x", "restart-policy": "on-failure:3", "env.HTTP_PROXY": "http://p:1/?a=b", "default-load": "true",
		"provenance-add-gha": "false", "allow-untrusted-image": "true",
	})
	check(t, err)
	want := containerOpts{image: "example/buildkit:1", env: []string{"HTTP_PROXY=http://p:1/?a=b"}, defaultLoad: true}
	want.host = container.HostConfig{
		NetworkMode:   "host",
		RestartPolicy: container.RestartPolicy{Name: "on-failure", MaximumRetryCount: 3},
	}
	want.host.Resources = container.Resources{
		Memory: 1 << 30, MemorySwap: -1, CPUQuota: 100000, CPUPeriod: 50000, CPUShares: 512,
		CpusetCpus: "0-3", CpusetMems: "0", CgroupParent: "/x",
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(containerOpts{}), cmpopts.EquateComparable()); diff != "" {
		t.Error(diff)
	}
}

func TestParseContainerOptsFaults(t *testing.T) {
	_, err := parseContainerOpts(map[string]string{
		"netwrok": "host", "memory": "lots", "cpu-quota": "x", "restart-policy": "sometimes", "default-load": "maybe", "env.": "x", "frobnicate": "1",
	})
	var got []string
	for _, e := range errdefs.List(err) {
		got = append(got, e.Error()+"|"+strings.Join(errdefs.Hints(e), "|"))
	}
	want := []string{
		`input "driver-opts": cpu-quota=x: expected a whole number|`,
		`input "driver-opts": default-load=maybe: expected true or false|`,
		`input "driver-opts": unknown option "env." of driver docker-container|one of env.NAME, allow-untrusted-image, cgroup-parent,`,
		`input "driver-opts": unknown option "frobnicate" of driver docker-container|one of env.NAME, `,
		`input "driver-opts": memory=lots: `,
		`input "driver-opts": unknown option "netwrok" of driver docker-container|did you mean network?`,
		`input "driver-opts": restart-policy=sometimes: expected no, always, unless-stopped or on-failure[:N]: `,
	}
	if len(got) != len(want) {
		t.Fatalf("got %d faults: %q", len(got), got)
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("got  %s\nwant %s", got[i], want[i])
		}
	}
	if errdefs.KindOf(err) != errdefs.BadInput {
		t.Errorf("kind %v", errdefs.KindOf(err))
	}
}

func TestOptionsSpec(t *testing.T) {
	dir := t.TempDir()
	got, err := Options{
		BuilderOptions: BuilderOptions{
			Driver: DockerContainer, Endpoint: "unix:///x",
			DriverOpts:            []string{`network=host,image=a/b:1`, `"env.NO_PROXY=a,b"`, `network=none`},
			BuildkitdFlags:        `--debug --name 'a b'`,
			BuildkitdConfigInline: "debug = true",
		},
		BinfmtImage: "i",
	}.Spec(dir, nil, "git")
	check(t, err)
	want := Spec{
		Driver: DockerContainer, Endpoint: "unix:///x", BinfmtImage: "i",
		DriverOpts: map[string]string{"network": "none", "image": "a/b:1", "env.NO_PROXY": "a,b"},
		Flags:      []string{"--debug", "--name", "a b"},
		Config:     []byte("debug = true"),
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(Spec{})); diff != "" {
		t.Error(diff)
	}
	_, err = BuilderOptions{
		Driver: DockerContainer, ProcessOptions: ProcessOptions{Buildkitd: "x"}, DriverOpts: []string{"network"}, BuildkitdFlags: `'`, BuildkitdConfig: "none.toml",
	}.Spec(dir, nil)
	if n := len(errdefs.List(err)); n != 4 || errdefs.KindOf(err) != errdefs.BadInput {
		t.Errorf("%d faults, want 4: %v", n, err)
	}
}

func TestShownOpt(t *testing.T) {
	for _, tt := range [][3]string{
		{"env.http_proxy", "http://u:hush@p:1", "http://u:xxxxx@p:1"},
		{"env.HTTPS_PROXY", "http://p:1", "http://p:1"},
		{"env.no_proxy", "a,b", "a,b"},
		{"image", "a@b", "a@b"},
	} {
		if got := ShownOpt(tt[0], tt[1]); got != tt[2] {
			t.Errorf("%s=%s is shown as %s, want %s", tt[0], tt[1], got, tt[2])
		}
	}
}
