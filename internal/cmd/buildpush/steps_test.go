package buildpush

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hullwright/hullwright/internal/builder"
)

func TestSteps(t *testing.T) {
	dir := contextDir(t)
	j, _, err := door(t, dir, nil,
		"--add-hosts", "a:10.0.0.1", "--add-hosts", "b=::1,c:[fe80::1]",
		"--allow", "security.insecure,device=vendor.example/gpu=all,buildx.local.delete,security.insecure",
		"--network", "host", "--shm-size", "128m", "--cgroup-parent", "builds",
		"--ulimit", "nproc=3", "--ulimit", "nofile=1024:2048", "--ulimit", "nofile=512",
		"--resources", "memory=512m,cpu-quota=50000", "--resources", `"cpuset-cpus=0-3"`, "--resources", "memory-swap=-1",
		"--platforms", "linux/amd64,arm64,linux/amd64", "--no-cache-filters", "a,b", ".")
	if err != nil {
		t.Fatal(err)
	}
	got := builder.Request{
		AddHosts: j.request.AddHosts, Entitlements: j.request.Entitlements, Network: j.request.Network, ShmSize: j.request.ShmSize,
		CgroupParent: j.request.CgroupParent, Ulimits: j.request.Ulimits, Limits: j.request.Limits, NoCacheStages: j.request.NoCacheStages,
	}
	want := builder.Request{
		AddHosts:     []string{"a=10.0.0.1", "b=::1", "c=fe80::1"},
		Entitlements: []string{"security.insecure", "device=vendor.example/gpu=all"},
		Network:      "host", ShmSize: 128 << 20, CgroupParent: "builds",
		Ulimits:       []string{"nofile=512:512", "nproc=3:3"},
		Limits:        map[string]string{"memory": "536870912", "cpuquota": "50000", "cpusetcpus": "0-3", "memswap": "-1"},
		NoCacheStages: []string{"a", "b"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if n := len(j.request.Platforms); n != 2 {
		t.Errorf("platforms %v, want each once", j.request.Platforms)
	}
}

func TestHostsOfSeveralAddresses(t *testing.T) {
	j, _, err := door(t, contextDir(t), nil, "--add-hosts", `"a=1.2.3.4,[fd00::1],fd00::2",b:10.0.0.1`, ".")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a=1.2.3.4", "a=fd00::1", "a=fd00::2", "b=10.0.0.1"}, j.request.AddHosts); diff != "" {
		t.Error(diff)
	}
}

func TestHostGateway(t *testing.T) {
	dir := contextDir(t)
	for _, args := range [][]string{{"--driver", "docker"}, {"--builder", "default"}, nil} { // the current one may be an engine's
		j, _, err := door(t, dir, nil, append(args, "--add-hosts", "a:host-gateway,b:10.0.0.1", ".")...)
		if err != nil {
			t.Fatal(err)
		}
		got, err := fillGateway(j.request.AddHosts, "172.17.0.1")
		if diff := cmp.Diff([]string{"a=172.17.0.1", "b=10.0.0.1"}, got); err != nil || diff != "" {
			t.Errorf("%v: %v\n%s", args, err, diff)
		}
		_, err = fillGateway(j.request.AddHosts, "")
		wantFault(t, err, "a: this builder tells no host-gateway")
	}
	if _, err := fillGateway([]string{"b=10.0.0.1"}, ""); err != nil {
		t.Error(err)
	}
	_, _, err := door(t, dir, nil, "--driver", "process", "--add-hosts", "a:host-gateway", ".")
	wantFault(t, err, "only an engine's own builder")
}

func TestStepFaults(t *testing.T) {
	dir := contextDir(t)
	for _, c := range []struct{ flag, value, want string }{
		{"add-hosts", "a", `"a" is no host`},
		{"add-hosts", "a:1.2.3.4,b:x", `line 2: b: "x" is no IP address`},
		{"add-hosts", `"a=1.2.3.4,x",b:1.2.3.4`, `line 1: a: "x" is no IP address`},
		{"add-hosts", `"a=1.2.3.4,host-gateway",b:1.2.3.4`, `line 1: a: "host-gateway" is no IP address`},
		{"allow", "network.host,root", `line 2: unknown entitlement "root"`},
		{"allow", "buildx.local.delete=x", "unknown entitlement"},
		{"network", "bridge", `unknown network "bridge"`},
		{"shm-size", "much", `"much" is no size`},
		{"shm-size", "-1", `"-1" is no size`},
		{"ulimit", "nofile", `"nofile" is no limit`},
		{"ulimit", "files=3", `"files=3" is no limit`},
		{"resources", "memory=0", "memory:"},
		{"resources", "cpu-shares=few", "cpu-shares:"},
		{"resources", "cpuset-cpus=a", "cpuset-cpus:"},
		{"resources", "mem=1g", `unknown resource "mem"`},
		{"resources", "1g", `unknown resource "1g"`},
		{"platforms", "linux/evil;x", "linux/evil;x"},
		{"compatibility-version", "11", "unknown version 11"},
		{"git-labels=maybe", "", `input "git-labels"`},
	} {
		args := []string{"--" + c.flag, c.value, "."}
		if c.value == "" {
			args = []string{"--" + c.flag, "."}
		}
		_, _, err := door(t, dir, nil, args...)
		wantFault(t, err, c.want)
	}
	_, _, err := door(t, dir, nil, "--no-cache", "--no-cache-filters", "a", ".")
	wantFault(t, err, `input "no-cache-filters"`)
}
