package setup

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/buildkit/cmd/buildkitd/config"

	"github.com/hullwright/hullwright/internal/errdefs"
)

var update = flag.Bool("update", false, "rewrite golden files")

// settingCases are options and what they are merged with. Of each the golden
// file has the buildkitd.toml and the environment that come of it.
var settingCases = []struct {
	name    string
	options SettingOptions
	config  string
	opts    map[string]string
	environ map[string]string
}{
	{name: "nothing"},
	{name: "nothing added", config: "debug = true # as it is written\n"},
	{name: "mirrors", options: SettingOptions{RegistryMirrors: []string{
		"https://mirror.lan/", "quay.io=Mirror.lan:5000/Project,http://10.0.0.5:5000", "docker.io=second.lan",
	}}},
	{name: "mirrors beside others", options: SettingOptions{RegistryMirrors: []string{"mirror.lan"}}, config: `
[registry."docker.io"]
ca = ["/hub.pem"]
[registry."other.lan"]
mirrors = ["x.lan"]
[log]
level = "warn"
`},
	{name: "insecure registries", options: SettingOptions{InsecureRegistries: []string{"Registry.lan:5000", "[::1]:5000"}}},
	{name: "an authority", options: SettingOptions{RegistryCA: []string{"registry.lan:5000=ca.pem"}}, config: `
[registry."registry.lan:5000"]
ca = ["/other.pem"]
`},
	{name: "an authority of an insecure registry", options: SettingOptions{
		RegistryCA: []string{"registry.lan=ca.pem"}, InsecureRegistries: []string{"registry.lan"},
	}},
	{name: "limits of cache", options: SettingOptions{GC: "true", GCMaxUsed: "20GB", GCReserved: "10%", GCMinFree: "512MB"}},
	{name: "no limits of cache", options: SettingOptions{GC: "false"}, config: "[worker.OCI]\nmax-parallelism = 3\n"},
	{name: "parallelism", options: SettingOptions{MaxParallelism: 4}, config: "[worker.oci]\nmax-parallelism = 4\n"},
	{name: "name servers", options: SettingOptions{DNS: []string{"10.0.0.53", "2001:db8::53", "search=corp.example", "option=ndots:2"}}},
	{name: "debug", options: SettingOptions{BuildkitdDebug: true}},
	{name: "debug that is refused", options: SettingOptions{BuildkitdDebug: true}, config: "debug = false\n"},
	{name: "log limits in CI", environ: map[string]string{"CI": "true"}},
	{name: "log limits in Jenkins, one given", environ: map[string]string{"JENKINS_URL": "x"}, opts: map[string]string{"env." + logSizeVariable: "5"}},
	{name: "log limits of BuildKit in CI", options: SettingOptions{LogLimits: "default"}, environ: map[string]string{"CI": "true"}},
	{name: "log limits on a laptop", environ: map[string]string{"CI": "false"}},
	{name: "log limits none", options: SettingOptions{LogLimits: "none"}},
	{name: "log limits by size", options: SettingOptions{LogLimits: "size=10MB,speed=1MB"}},
	{name: "a proxy", options: SettingOptions{Proxy: []string{"http://proxy.lan:3128"}}},
	{name: "proxies", options: SettingOptions{Proxy: []string{"http=proxy.lan:3128", "https=socks5://proxy.lan", "no=a.lan,.b.lan"}}},
	{
		name: "proxies of the environment", options: SettingOptions{Proxy: []string{"environment"}},
		environ: map[string]string{"HTTPS_PROXY": "http://up:1", "https_proxy": "http://low:1", "NO_PROXY": "x"},
		opts:    map[string]string{"env.NO_PROXY": "x", "network": "host"},
	},
}

func TestSettings(t *testing.T) {
	dir := t.TempDir()
	check(t, os.WriteFile(filepath.Join(dir, "ca.pem"), []byte(authority), 0o600))
	var got strings.Builder
	for _, tt := range settingCases {
		settings, err := tt.options.settings(dir, tt.environ)
		check(t, err)
		merged, notes, err := mergeConfig([]byte(tt.config), true, settings)
		check(t, err)
		if _, err := config.Load(bytes.NewReader(merged)); err != nil {
			t.Errorf("%s: buildkitd reads %q: %v", tt.name, merged, err)
		}
		opts, err := mergeEnviron(tt.opts, settings)
		check(t, err)
		fmt.Fprintf(&got, "== %s\n%s", tt.name, strings.ReplaceAll(string(merged), dir, "DIR"))
		for _, key := range slices.Sorted(maps.Keys(opts)) {
			fmt.Fprintf(&got, "%s=%s\n", key, opts[key])
		}
		for _, n := range notes {
			fmt.Fprintln(&got, n)
		}
	}
	const golden = "testdata/settings.golden"
	if *update {
		check(t, os.WriteFile(golden, []byte(got.String()), 0o644))
	}
	want, err := os.ReadFile(golden)
	check(t, err)
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("(-want +got), -update rewrites:\n%s", diff)
	}
}

func TestSettingsFaults(t *testing.T) {
	dir := t.TempDir()
	check(t, os.WriteFile(filepath.Join(dir, "no.pem"), []byte("x"), 0o600))
	for name, tt := range map[string]struct {
		options SettingOptions
		want    []string
	}{
		"mirrors": {SettingOptions{RegistryMirrors: []string{"ftp://x", "a b=c", "docker.io=", "docker.io=x?y", "docker.io=x/y@z", "x:0"}}, []string{
			`input "registry-mirrors" line 1: "ftp://x" is no mirror: scheme "ftp"`,
			`line 2: "a b" is no registry: it has ' '`,
			`line 3: "" is no mirror: it is empty`,
			`line 4: "x?y" is no mirror: it has '?'`,
			`line 5: "x/y@z" is no mirror: its path`,
			`line 6: "x:0" is no mirror: "0" is no port`,
		}},
		"insecure": {SettingOptions{InsecureRegistries: []string{"http://x", "x:y"}}, []string{`"http://x" is no host: it has '/'`, `"x:y" is no host: "y" is no port`}},
		"authorities": {SettingOptions{RegistryCA: []string{"x", "x=none.pem", "x=no.pem"}}, []string{
			`line 1: "x" is not HOST=FILE`, `line 2: x: open `, `no.pem holds no certificate in PEM`,
		}},
		"parallelism": {SettingOptions{MaxParallelism: -1}, []string{`-1 is no number of steps`}},
		"sizes": {SettingOptions{GCMaxUsed: "big", GCReserved: "101%", GCMinFree: "0"}, []string{
			`input "gc-max-used": "big": is no size`, `input "gc-min-free": "0": is no size`, `input "gc-reserved": "101%": expected a whole percentage`,
		}},
		"limits without collection": {SettingOptions{GC: "false", GCMaxUsed: "1GB"}, []string{`input "gc-max-used": gc is false`}},
		"log limits":                {SettingOptions{LogLimits: "size=2GB"}, []string{`"size=2GB" is no limit of a log`}},
		"a log limit's name":        {SettingOptions{LogLimits: "lines=3"}, []string{`"lines=3" is no limit of a log`}},
		"name servers":              {SettingOptions{DNS: []string{"dns.lan", "fe80::1%eth0", "searches=x", "search="}}, []string{`line 1: "dns.lan" is no address`, `line 2: "fe80::1%eth0" is no`, `line 3: "searches=x" is neither`, `line 4: "search=" is neither`}},
		"proxies":                   {SettingOptions{Proxy: []string{"http=ftp://u:hush@p", "https=http://"}}, []string{`input "proxy" line 1: http: unknown scheme "ftp"`, `line 2: https: the address has no host`}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := tt.options.settings(dir, nil)
			var got []string
			for _, e := range errdefs.List(err) {
				got = append(got, e.Error())
			}
			if len(got) != len(tt.want) || errdefs.KindOf(err) != errdefs.BadInput {
				t.Fatalf("got %q", got)
			}
			for i, want := range tt.want {
				if !strings.Contains(got[i], want) {
					t.Errorf("got %q, want %q", got[i], want)
				}
			}
			if strings.Contains(err.Error(), "hush") {
				t.Errorf("%v tells a password", err)
			}
		})
	}
}

func TestSettingsConflicts(t *testing.T) {
	dir := t.TempDir()
	check(t, os.WriteFile(filepath.Join(dir, "ca.pem"), []byte(authority), 0o600))
	for name, tt := range map[string]struct {
		options      SettingOptions
		config       string
		want         string // of a configuration that is given
		whereDefault string // what is told of the store's default
	}{
		"mirrors": {
			SettingOptions{RegistryMirrors: []string{"a.lan"}}, "[registry.'docker.io']\nmirrors=['b.lan']",
			`input "registry-mirrors" line 1: buildkitd-config says registry."docker.io".mirrors = [b.lan] already`,
			`registry-mirrors counts more than buildkitd.default.toml's registry."docker.io".mirrors = [b.lan]`,
		},
		"http": {
			SettingOptions{InsecureRegistries: []string{"a.lan"}}, "[registry.'a.lan']\nhttp=false",
			`buildkitd-config says registry."a.lan".http = false already`, `insecure-registries counts more`,
		},
		"a policy": {
			SettingOptions{GCMaxUsed: "1GB"}, "[[worker.oci.gcpolicy]]\nall=true",
			`input "gc-max-used": buildkitd-config says worker.oci.gcpolicy`, `gc-max-used counts more`,
		},
		"keys in another case": {
			SettingOptions{GCMaxUsed: "1GB"}, "[worker.oci]\nMaxUsedSpace='2GB'",
			`worker.oci.MaxUsedSpace = 2GB already`, `gc-max-used counts more`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			settings, err := tt.options.settings(dir, nil)
			check(t, err)
			_, _, err = mergeConfig([]byte(tt.config), true, settings)
			if errdefs.KindOf(err) != errdefs.BadInput || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("given: %v", err)
			}
			merged, notes, err := mergeConfig([]byte(tt.config), false, settings)
			check(t, err)
			if !strings.Contains(strings.Join(notes, "\n"), tt.whereDefault) {
				t.Errorf("default: %q", notes)
			}
			if _, _, err = mergeConfig(merged, true, settings); err != nil {
				t.Errorf("again: %v", err)
			}
		})
	}
}

func TestSettingsAgainstEachOther(t *testing.T) {
	for name, tt := range map[string]struct {
		options BuilderOptions
		want    string
	}{
		"two inputs": {
			BuilderOptions{SettingOptions: SettingOptions{RegistryMirrors: []string{"https://a.lan"}, InsecureRegistries: []string{"a.lan"}}},
			`input "insecure-registries" line 1: registry."a.lan".http is false by registry-mirrors, and not true`,
		},
		"two lines": {
			BuilderOptions{SettingOptions: SettingOptions{RegistryMirrors: []string{"https://a.lan/x", "http://a.lan/y"}}},
			`input "registry-mirrors" line 2: registry."a.lan".http is false by another line, and not true`,
		},
		"a variable": {
			BuilderOptions{DriverOpts: []string{"env.HTTP_PROXY=http://u:hush@x"}, SettingOptions: SettingOptions{Proxy: []string{"http=http://u:hush@y"}}},
			`input "proxy" line 1: env.HTTP_PROXY is said twice`,
		},
		"no table": {
			BuilderOptions{BuildkitdConfigInline: "dns = 1", SettingOptions: SettingOptions{DNS: []string{"10.0.0.53"}}},
			`buildkitd-config has dns, which is no table`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := tt.options.Spec(t.TempDir(), nil)
			if errdefs.KindOf(err) != errdefs.BadInput || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hush") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestDockerCertificates has a client's directory and a rootless engine's.
func TestDockerCertificates(t *testing.T) {
	home := t.TempDir()
	for name, text := range map[string]string{
		".docker/certs.d/registry.lan:5000/ca.crt":             authority,
		".docker/certs.d/registry.lan:5000/client.cert":        "cert",
		".docker/certs.d/registry.lan:5000/client.key":         "key",
		".config/docker/certs.d/registry.lan:5000/more.crt":    authority,
		".docker/certs.d/configured.lan/ca.crt":                authority,
		".docker/certs.d/registry.lan:5000/README":             "no certificate",
		".docker/certs.d/no registry/ca.crt":                   authority,
		".docker/certs.d/a-file":                               "no directory",
		".docker/certs.d/empty.lan/nothing":                    "no certificate",
		".docker/certs.d/[2001:db8::1]:5000/ca.crt":            authority,
		".config/docker/certs.d/configured.lan/unused/nothing": "",
	} {
		file := filepath.Join(home, name)
		check(t, os.MkdirAll(filepath.Dir(file), 0o700))
		check(t, os.WriteFile(file, []byte(text), 0o600))
	}
	m := New(Host{Environ: map[string]string{"HOME": home}, Stderr: testLog{t}})
	settings, err := m.dockerCertificates()
	check(t, err)
	raw, _, err := mergeConfig([]byte("[registry.'configured.lan']\nca=['/own.pem']\n"), true, settings)
	check(t, err)
	got, err := parseConfig(raw)
	check(t, err)
	at := func(name string) string { return filepath.Join(home, name) }
	want := map[string]any{"registry": map[string]any{
		"registry.lan:5000": map[string]any{
			"ca":      []any{at(".config/docker/certs.d/registry.lan:5000/more.crt"), at(".docker/certs.d/registry.lan:5000/ca.crt")},
			"keypair": []any{map[string]any{"cert": at(".docker/certs.d/registry.lan:5000/client.cert"), "key": at(".docker/certs.d/registry.lan:5000/client.key")}},
			"http":    false,
		},
		"[2001:db8::1]:5000": map[string]any{"ca": []any{at(".docker/certs.d/[2001:db8::1]:5000/ca.crt")}, "http": false},
		"configured.lan":     map[string]any{"ca": []any{"/own.pem"}},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	check(t, os.Remove(at(".docker/certs.d/registry.lan:5000/client.key")))
	if _, err := m.dockerCertificates(); errdefs.KindOf(err) != errdefs.Environment || !strings.Contains(err.Error(), "registry.lan:5000: open ") {
		t.Errorf("a certificate without its key: %v", err)
	}
}

// TestAuthorities has what registry-ca gives to requests of our own: all that is
// sound, and the faults that Spec tells.
func TestAuthorities(t *testing.T) {
	dir := t.TempDir()
	bare := strings.TrimSpace(authority)
	for name, text := range map[string]string{"ca.pem": authority, "bare.pem": bare, "no.pem": "x"} {
		check(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	options := SettingOptions{RegistryCA: []string{
		"Registry.lan:5000=bare.pem, " + filepath.Join(dir, "ca.pem"), "other.lan=no.pem", "registry.lan:5000=bare.pem", "third.lan=ca.pem,none.pem", "[::1]:5000=ca.pem",
	}}
	got, err := options.Authorities(dir)
	want := map[string][]byte{
		"registry.lan:5000": []byte(bare + "\n" + authority + "\n" + bare + "\n"),
		"[::1]:5000":        []byte(authority + "\n"),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	var faults []string
	for _, e := range errdefs.List(err) {
		faults = append(faults, e.Error())
	}
	if len(faults) != 2 || !strings.HasPrefix(faults[0], `input "registry-ca" line 2: other.lan: `) || !strings.HasPrefix(faults[1], `input "registry-ca" line 4: third.lan: `) {
		t.Errorf("faults %q", faults)
	}
	_, told := BuilderOptions{SettingOptions: options}.Spec(dir, nil)
	if told == nil || told.Error() != err.Error() {
		t.Errorf("Spec tells %v, and not %v", told, err)
	}
}

func TestRefuseSettings(t *testing.T) {
	dir := t.TempDir()
	check(t, os.WriteFile(filepath.Join(dir, "ca.pem"), []byte(authority), 0o600))
	settings, err := SettingOptions{
		RegistryMirrors: []string{"a.lan", "http://b.lan"}, InsecureRegistries: []string{"a"}, GC: "auto", BuildkitdDebug: true,
		RegistryCA: []string{"a.lan=ca.pem"},
	}.settings(dir, map[string]string{"CI": "1"})
	check(t, err)
	var got []string
	for _, e := range errdefs.List(refuseSettings(settings, "remote")) {
		got = append(got, e.Error())
	}
	want := []string{
		`input "registry-mirrors": driver remote uses a buildkitd as it is, and does not configure it`,
		`input "gc": driver remote uses a buildkitd as it is, and does not configure it`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := ignored(settings); got != "registry-mirrors, insecure-registries, registry-ca, gc" {
		t.Errorf("ignored %q", got)
	}
}

func FuzzSettings(f *testing.F) {
	f.Add("docker.io=a,http://b/c", "registry.docker.io.mirrors=['x']", "no=a,b", "size=1MB")
	f.Add("x=", "registry=1", "http://[::1", "=")
	f.Add("[::1]:5=x", "registry.x=[1]\nworker.oci=[{}]", "environment", `"`)
	f.Fuzz(func(t *testing.T, mirror, conf, proxy, limits string) {
		options := BuilderOptions{BuildkitdConfigInline: conf, SettingOptions: SettingOptions{
			RegistryMirrors: []string{mirror}, InsecureRegistries: []string{mirror}, DNS: []string{proxy},
			Proxy: []string{proxy}, LogLimits: limits, GC: "auto", GCMaxUsed: limits, MaxParallelism: 1,
		}}
		spec, err := options.Spec("/none", map[string]string{"CI": "1", "http_proxy": proxy})
		for _, e := range errdefs.List(err) {
			if errdefs.KindOf(e) != errdefs.BadInput {
				t.Errorf("%v is no bad input", e)
			}
		}
		if err != nil {
			return
		}
		for _, given := range []bool{true, false} {
			merged, _, err := mergeConfig(spec.Config, given, spec.Settings)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := parseConfig(merged); err != nil {
				t.Errorf("%q became %q: %v", conf, merged, err)
			}
		}
	})
}

// authority is a certificate whose key nobody has.
const authority = `-----BEGIN CERTIFICATE-----
MIIBADCBs6ADAgECAgEBMAUGAytlcDAPMQ0wCwYDVQQDEwR0ZXN0MCAXDTI2MDEw
MTAwMDAwMFoYDzIxMjYwMTAxMDAwMDAwWjAPMQ0wCwYDVQQDEwR0ZXN0MCowBQYD
K2VwAyEADPKdrR1zfoRZYjF7SxvXGqJRqG/DWZA/eQKgX/RURCmjMjAwMA8GA1Ud
EwEB/wQFMAMBAf8wHQYDVR0OBBYEFGazytI9y673PFurrBCevBo3hKwbMAUGAytl
cANBALjfsveY73JC2Q4u/gvmASB0Ju6YJmryGRsTtyvPdhHJAe03SOJG2vBXQ43I
4HLgKhEv55UbpadJJ5nbOfsE/gM=
-----END CERTIFICATE-----
`

// TestKeepLogs has logs that are to be kept whole beside what else is said of them.
func TestKeepLogs(t *testing.T) {
	for _, tt := range []struct {
		limits string
		spec   Spec
		want   map[string]string
	}{
		{"", Spec{}, map[string]string{"env.BUILDKIT_STEP_LOG_MAX_SIZE": "-1", "env.BUILDKIT_STEP_LOG_MAX_SPEED": "-1"}},
		{"none", Spec{}, map[string]string{"env.BUILDKIT_STEP_LOG_MAX_SIZE": "-1", "env.BUILDKIT_STEP_LOG_MAX_SPEED": "-1"}},
		{"size=1MB", Spec{}, map[string]string{"env.BUILDKIT_STEP_LOG_MAX_SIZE": "1048576", "env.BUILDKIT_STEP_LOG_MAX_SPEED": "-1"}},
		{"", Spec{DriverOpts: map[string]string{"env.BUILDKIT_STEP_LOG_MAX_SPEED": "7"}}, map[string]string{"env.BUILDKIT_STEP_LOG_MAX_SIZE": "-1", "env.BUILDKIT_STEP_LOG_MAX_SPEED": "7"}},
		{"", Spec{Driver: Remote}, nil},
		{"", Spec{Driver: Docker}, nil},
	} {
		var err error
		tt.spec.Settings, err = SettingOptions{LogLimits: tt.limits}.logLimits(nil)
		check(t, err)
		tt.spec.KeepLogs()
		got, err := mergeEnviron(tt.spec.DriverOpts, tt.spec.Settings)
		check(t, err)
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%q, %+v:\n%s", tt.limits, tt.spec.DriverOpts, diff)
		}
	}
}
