package buildpush

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"github.com/docker/cli/cli/config/configfile"

	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/setup"
)

// parseBuild reads what is built besides the context: platforms, stage,
// arguments, and what is taken from the cache.
func (j *job) parseBuild(context.Context) error {
	o, r := j.options, &j.request
	r.Target, r.Pull, r.NoCache, r.NoCacheStages = o.Target, o.Pull, o.NoCache, o.NoCacheFilters
	var errs []error
	var err error
	r.Platforms, err = setup.ParsePlatforms(localPlatform(o.Platforms))
	errs = append(errs, err)
	r.BuildArgs, err = parseBuildArgs(o.BuildArgs, j.env.Environ)
	errs = append(errs, err, j.addProxies())
	if o.NoCache && len(o.NoCacheFilters) > 0 {
		errs = append(errs, errdefs.BadInputf("no-cache-filters", 0, "no-cache builds every stage again already").
			WithHint("give one of no-cache and no-cache-filters"))
	}
	return errors.Join(errs...)
}

// localPlatform puts this machine's processor in for "local". Images run on
// Linux, whatever the machine does.
func localPlatform(names []string) []string {
	names = slices.Clone(names)
	for i, name := range names {
		if strings.EqualFold(name, "local") {
			names[i] = "linux/" + runtime.GOARCH
		}
	}
	return names
}

// parseBuildArgs reads KEY=value lines. A bare KEY takes its value from the
// environment and is left out where it is not set, as docker build does.
func parseBuildArgs(lines []string, environ map[string]string) (map[string]string, error) {
	args := map[string]string{}
	var errs []error
	for i, line := range lines {
		k, v, ok := strings.Cut(line, "=")
		if k == "" {
			errs = append(errs, errdefs.BadInputf("build-args", i+1, "%q has no name; expected KEY=value", line))
			continue
		}
		if !ok {
			if v, ok = environ[k]; !ok {
				continue
			}
		}
		args[k] = v
	}
	if _, ok := args["SOURCE_DATE_EPOCH"]; !ok {
		if v := environ["SOURCE_DATE_EPOCH"]; v != "" {
			args["SOURCE_DATE_EPOCH"] = v
		}
	}
	return args, errors.Join(errs...)
}

// proxyVariables are the proxies of docker's configuration that builds get, as
// build arguments that every Dockerfile may use undeclared.
var proxyVariables = []struct {
	name  string
	value func(configfile.ProxyConfig) string
}{
	{"HTTP_PROXY", func(p configfile.ProxyConfig) string { return p.HTTPProxy }},
	{"HTTPS_PROXY", func(p configfile.ProxyConfig) string { return p.HTTPSProxy }},
	{"NO_PROXY", func(p configfile.ProxyConfig) string { return p.NoProxy }},
	{"FTP_PROXY", func(p configfile.ProxyConfig) string { return p.FTPProxy }},
}

// addProxies adds the proxies of docker's config.json, as docker build does,
// unless the argument is given in either case.
func (j *job) addProxies() error {
	proxies, err := readProxies(j.env.Environ, j.env.Dir)
	if err != nil {
		return err
	}
	proxy, ok := proxies[j.env.Environ["DOCKER_HOST"]]
	if !ok {
		proxy = proxies["default"]
	}
	args := j.request.BuildArgs
	for _, v := range proxyVariables {
		value := v.value(proxy)
		_, upper := args[v.name]
		_, lower := args[strings.ToLower(v.name)]
		if value == "" || upper || lower {
			continue
		}
		args[v.name] = value
		if _, login := takeLogin(value); login.password != "" {
			j.hide(login.password)
		}
	}
	return nil
}

// configCap is the size of the largest config.json that is read.
const configCap = 1 << 20

// readProxies reads the proxies of docker's config.json by the engine's
// address, "default" being for all others.
func readProxies(environ map[string]string, dir string) (map[string]configfile.ProxyConfig, error) {
	path := filepath.Join(environ["HOME"], ".docker")
	if d := environ["DOCKER_CONFIG"]; d != "" {
		path = absolute(d, dir)
	}
	f, err := os.Open(filepath.Join(path, "config.json"))
	if err != nil {
		return nil, nil // what can't be read has no proxies; a login that needs it will say so
	}
	defer f.Close()
	var config struct {
		Proxies map[string]configfile.ProxyConfig `json:"proxies"`
	}
	if err := json.NewDecoder(io.LimitReader(f, configCap)).Decode(&config); err != nil {
		// The cause may quote a password.
		return nil, errdefs.New(errdefs.Environment, "%s: not a docker configuration", f.Name())
	}
	return config.Proxies, nil
}

// Names that BuildKit's own check SecretsUsedInArgOrEnv looks for:
// https://docs.docker.com/reference/build-checks/secrets-used-in-arg-or-env/
var (
	secretName  = regexp.MustCompile(`(?i)(?:_|^)(?:apikey|auth|credentials?|key|password|pword|passwd|secret|token)(?:_|$)`)
	harmless    = regexp.MustCompile(`(?i)(?:_|^)(?:public|file|version)(?:_|$)`)
	secretNames = []string{"GITHUB_TOKEN", "ACTIONS_RUNTIME_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "CI_JOB_TOKEN", "CI_REGISTRY_PASSWORD"}
)

// checkBuildArgs warns of secrets in build arguments: they are in the image's
// history and in its provenance, for everyone who can pull it.
func (j *job) checkBuildArgs(context.Context) error {
	known := j.knownSecrets()
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(j.request.BuildArgs)) {
		value := j.request.BuildArgs[name]
		why := ""
		switch {
		case value == "" || strings.HasPrefix(name, "BUILDKIT_"):
		case known[value]:
			why = "its value is a secret of this job"
		case secretName.MatchString(name) && !harmless.MatchString(name):
			why = "its name is a secret's"
		}
		if why != "" {
			if len(value) >= shortestSecret {
				j.hide(value)
			}
			errs = append(errs, j.warn("build-args", "build argument %s: %s, and everyone who can pull the image can read it; use secrets and RUN --mount=type=secret", name, why))
		}
	}
	return errors.Join(errs...)
}

// shortestSecret is the length of the shortest value that is taken for a
// secret: a shorter one may be a common word.
const shortestSecret = 8

func (j *job) knownSecrets() map[string]bool {
	known := map[string]bool{}
	add := func(value string) {
		if value = strings.TrimSpace(value); len(value) >= shortestSecret {
			known[value] = true
		}
	}
	for _, value := range j.request.Secrets {
		add(string(value))
	}
	add(j.options.token())
	for _, name := range secretNames {
		add(j.env.Environ[name])
	}
	return known
}
