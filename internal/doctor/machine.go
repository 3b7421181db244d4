package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hullwright/hullwright/internal/registry"
	"github.com/hullwright/hullwright/internal/setup"
)

// proxies are the variables by their name in upper case.
var proxies = []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"}

func checkProxy(_ context.Context, r *run) []Finding {
	var list []Finding
	set := 0
	for _, upper := range proxies {
		lower := strings.ToLower(upper)
		a, b := r.Environ[upper], r.Environ[lower]
		if a != "" && b != "" && a != b {
			list = append(list, find("proxy-contradiction", "", "%s and %s differ", upper, lower))
		}
		for name, value := range map[string]string{upper: a, lower: b} {
			if value == "" || upper == "NO_PROXY" {
				continue
			}
			set++
			// The value may have a password: it is not repeated.
			if u, err := url.Parse(value); strings.Contains(value, "://") && (err != nil || u.Host == "") {
				list = append(list, find("proxy-invalid", name, "it is no address"))
			}
		}
	}
	if set == 0 {
		return append(list, ok("", "none is set"))
	}
	list = append(list, r.builderProxies()...)
	if len(list) == 0 {
		list = append(list, ok("", "set alike, for the builder too"))
	}
	return list
}

// builderProxies are the nodes in containers that have none: what is set here
// does not reach them by itself.
func (r *run) builderProxies() []Finding {
	b, _ := r.booted()
	if b == nil || b.Driver != setup.DockerContainer {
		return nil
	}
	var list []Finding
	for _, n := range b.Nodes {
		has := false
		for key := range n.DriverOpts {
			has = has || strings.HasPrefix(key, "env.") && strings.HasSuffix(strings.ToLower(key), "_proxy")
		}
		if !has {
			list = append(list, find("proxy-builder", n.Name, "its container has no proxy, and this environment has one"))
		}
	}
	return list
}

func checkCredentials(_ context.Context, r *run) []Finding {
	path := filepath.Join(registry.ConfigDirectory(r.Environ, r.Dir), "config.json")
	raw, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return []Finding{ok("", "there is no %s", path)}
	case err != nil:
		return []Finding{find("credentials-invalid", path, "%v", err)}
	}
	if err := registry.CheckConfig(path, raw); err != nil {
		return []Finding{because("credentials-invalid", "", err)}
	}
	var config struct {
		Auths   map[string]struct{ Auth, IdentityToken, RegistryToken string }
		Store   string            `json:"credsStore"`
		Helpers map[string]string `json:"credHelpers"`
	}
	if err := json.Unmarshal(raw, &config); err != nil {
		return []Finding{find("credentials-invalid", path, "it is no JSON of docker's")}
	}
	var list []Finding
	secret := false
	for _, a := range config.Auths {
		secret = secret || a.Auth+a.IdentityToken+a.RegistryToken != ""
	}
	if secret {
		list = append(list, openToOthers(path)...)
	}
	helpers := []string{config.Store}
	for _, h := range config.Helpers {
		helpers = append(helpers, h)
	}
	slices.Sort(helpers)
	for _, h := range slices.Compact(helpers) {
		if h != "" && !r.hasProgram("docker-credential-"+h) {
			list = append(list, find("helper-missing", path, "docker-credential-%s is not in PATH", h))
		}
	}
	if len(list) == 0 {
		list = append(list, ok(path, "sound"))
	}
	return list
}

func openToOthers(path string) []Finding {
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm()&0o077 == 0 || os.PathSeparator == '\\' {
		return nil
	}
	return []Finding{find("credentials-open", path, "it has passwords or tokens, and mode %04o", info.Mode().Perm()).then("chmod 600 " + path)}
}

// hasProgram looks in PATH as the environment has it.
func (r *run) hasProgram(name string) bool {
	return slices.ContainsFunc(filepath.SplitList(r.Environ["PATH"]), func(dir string) bool {
		if !filepath.IsAbs(dir) || strings.ContainsAny(name, `/\`) {
			return false
		}
		_, err := exec.LookPath(filepath.Join(dir, name))
		return err == nil
	})
}
