package setup

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hullwright/hullwright/internal/errdefs"
)

func TestContainerFiles(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"a/ca.pem": "one", "b/ca.pem": "two", "key.pem": "key", "cert.pem": "cert"} {
		check(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700))
		check(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	const conf = `debug = true
[registry."host.example:5000"]
  mirrors = ["mirror.example"]
  ca = ["a/ca.pem", "b/ca.pem", "a/ca.pem"]
  [[registry."host.example:5000".keypair]]
    key = "key.pem"
    cert = "cert.pem"
[registry."plain.example"]
  http = true
`
	files, err := containerFiles([]byte(conf), dir)
	check(t, err)
	got := map[string]string{}
	for name, raw := range files {
		got[name] = string(raw)
	}
	toml := got[configFile]
	delete(got, configFile)
	want := map[string]string{
		"certs/host.example_5000/ca.pem":   "one",
		"certs/host.example_5000/2-ca.pem": "two", // the same name from elsewhere
		"certs/host.example_5000/key.pem":  "key",
		"certs/host.example_5000/cert.pem": "cert",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	parsed, err := parseConfig([]byte(toml))
	check(t, err)
	const certs = "/etc/buildkit/certs/host.example_5000/"
	wantConf := map[string]any{
		"debug": true,
		"registry": map[string]any{
			"host.example:5000": map[string]any{
				"mirrors": []any{"mirror.example"},
				"ca":      []any{certs + "ca.pem", certs + "2-ca.pem", certs + "ca.pem"},
				"keypair": []any{map[string]any{"key": certs + "key.pem", "cert": certs + "cert.pem"}},
			},
			"plain.example": map[string]any{"http": true},
		},
	}
	if diff := cmp.Diff(wantConf, parsed); diff != "" {
		t.Error(diff)
	}
}

func TestContainerFilesFaults(t *testing.T) {
	dir := t.TempDir()
	check(t, os.WriteFile(filepath.Join(dir, "large.pem"), make([]byte, certLimit+1), 0o600))
	for name, tt := range map[string]struct{ conf, want string }{
		"no TOML":    {"[registry", "no TOML"},
		"no file":    {"[registry.h]\nca = ['none.pem']", `registry "h": ca: open `},
		"too large":  {"[registry.h]\nca = ['large.pem']", "is larger than 1048576 bytes"},
		"no path":    {"[registry.h]\nca = [1]", `registry "h": ca is no path`},
		"no table":   {"[registry]\nh = 1", `registry "h" is no table`},
		"no key":     {"[registry.h]\nkeypair = [{key = 'none.pem'}]", `registry "h": key: open `},
		"no keypair": {"[registry.h]\nkeypair = [1]", `registry "h": keypair 1 is no table`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := containerFiles([]byte(tt.conf), dir)
			if errdefs.KindOf(err) != errdefs.BadInput || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func FuzzContainerFiles(f *testing.F) {
	f.Add([]byte("[registry.h]\nca = ['/dev/null']"))
	f.Add([]byte("[[registry.h.keypair]]\nkey='x'"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if bytes.Contains(raw, []byte("/dev/")) || bytes.Contains(raw, []byte("/proc/")) {
			return // reading a device may take for ever
		}
		files, err := containerFiles(raw, t.TempDir())
		if err != nil {
			return
		}
		if _, err := parseConfig(files[configFile]); err != nil {
			t.Errorf("%q became %q: %v", raw, files[configFile], err)
		}
	})
}

func TestDaemonFlags(t *testing.T) {
	host := map[string]string{"network": "host"}
	for name, tt := range map[string]struct {
		given  []string
		driver string
		opts   map[string]string
		conf   string
		want   []string
	}{
		"none given":           {nil, DockerContainer, nil, "", defaultFlags},
		"none given, process":  {nil, Process, nil, "", defaultFlags},
		"others given":         {[]string{"--debug"}, DockerContainer, nil, "", []string{"--debug", "--allow-insecure-entitlement=network.host"}},
		"others, process":      {[]string{"--debug"}, Process, nil, "", []string{"--debug"}},
		"an entitlement":       {[]string{"--allow-insecure-entitlement", "security.insecure"}, DockerContainer, nil, "", []string{"--allow-insecure-entitlement", "security.insecure"}},
		"one, network of host": {[]string{"--allow-insecure-entitlement=security.insecure"}, DockerContainer, host, "", []string{"--allow-insecure-entitlement=security.insecure", "--allow-insecure-entitlement=network.host"}},
		"it, network of host":  {[]string{"--allow-insecure-entitlement=network.host"}, DockerContainer, host, "", []string{"--allow-insecure-entitlement=network.host"}},
		"in the configuration": {[]string{"--debug"}, DockerContainer, nil, `insecure-entitlements = ["network.host"]`, []string{"--debug"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := daemonFlags(tt.given, tt.driver, tt.opts, []byte(tt.conf))
			check(t, err)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestConfigTar(t *testing.T) {
	raw, err := configTar(map[string][]byte{configFile: []byte("x"), "certs/h/ca.pem": []byte("ca")})
	check(t, err)
	var got []string
	for r := tar.NewReader(bytes.NewReader(raw)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		check(t, err)
		got = append(got, h.FileInfo().Mode().String()+" "+h.Name)
	}
	want := []string{
		"drwxr-xr-x buildkit/", "-rw-r--r-- buildkit/buildkitd.toml",
		"drwxr-xr-x buildkit/certs/", "drwxr-xr-x buildkit/certs/h/", "-rw-r--r-- buildkit/certs/h/ca.pem",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
