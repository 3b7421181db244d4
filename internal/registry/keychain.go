package registry

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/config/configfile"
	configcredentials "github.com/docker/cli/cli/config/credentials"
	"github.com/docker/cli/cli/config/types"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// configLimit is the longest configuration that is read.
const configLimit = 8 << 20

// Keychain takes credentials from where environ says that docker keeps them:
// DOCKER_AUTH_CONFIG, which holds them itself, else config.json in
// DOCKER_CONFIG or in .docker in HOME; else, as podman keeps them,
// REGISTRY_AUTH_FILE. For a target of [WithScopes] a configuration of its scope
// in buildx's directory comes before these files. Relative paths are in dir.
// Files are read when a repository is first spoken to, so that a login in
// between counts. What it gives is a [*Kept], or authn.Anonymous where there are
// no credentials.
func Keychain(environ map[string]string, dir string) authn.Keychain {
	return &keychain{environ: environ, dir: dir, patience: helperTime}
}

type keychain struct {
	environ  map[string]string
	dir      string
	patience time.Duration // with a helper
}

// Resolve implements authn.Keychain.
func (k *keychain) Resolve(target authn.Resource) (authn.Authenticator, error) {
	return k.ResolveContext(context.Background(), target)
}

// ResolveContext implements authn.ContextKeychain: helpers end with ctx.
func (k *keychain) ResolveContext(ctx context.Context, target authn.Resource) (authn.Authenticator, error) {
	files, err := k.files(target)
	if err != nil {
		return nil, err
	}
	keys := []string{ConfigKey(target.RegistryStr())}
	if slices.Contains(hubBacked, target.RegistryStr()) {
		keys = append(keys, authn.DefaultAuthKey)
	}
	for _, key := range keys {
		for _, file := range files {
			login, err := k.login(ctx, file, target.String(), key)
			if err != nil {
				return nil, err
			}
			login.ServerAddress = "" // set even where nothing was found
			if login != (types.AuthConfig{}) {
				return &Kept{File: file.Filename, Key: key, AuthConfig: authn.AuthConfig{
					Username:      login.Username,
					Password:      login.Password,
					Auth:          login.Auth,
					IdentityToken: login.IdentityToken,
					RegistryToken: login.RegistryToken,
				}}, nil
			}
		}
	}
	return authn.Anonymous, nil
}

// Kept are credentials that [Keychain] found, and where, for who knows more of
// what is kept there.
type Kept struct {
	authn.AuthConfig
	// File is the configuration that has them, or names the helper that does;
	// empty is DOCKER_AUTH_CONFIG. Key is their registry's there, as [ConfigKey]
	// has it.
	File, Key string
}

// Authorization implements authn.Authenticator.
func (k *Kept) Authorization() (*authn.AuthConfig, error) {
	config := k.AuthConfig
	return &config, nil
}

// hubBacked are registries of Docker's that take Docker Hub's accounts, as buildx
// has it: https://github.com/docker/buildx/blob/v0.37.0/util/dockerutil/dockerconfig
var hubBacked = []string{"dhi.io", "registry.scout.docker.com"}

// ConfigKey is the name under which docker's configuration has a registry's
// credentials.
func ConfigKey(host string) string {
	if host == name.DefaultRegistry {
		return authn.DefaultAuthKey
	}
	return host
}

// ConfigDirectory is the directory of docker's configuration: DOCKER_CONFIG, else
// .docker in HOME. Relative paths are in dir.
func ConfigDirectory(environ map[string]string, dir string) string {
	switch d, home := environ["DOCKER_CONFIG"], environ["HOME"]; {
	case d != "":
		return within(dir, d)
	case home != "":
		return within(dir, filepath.Join(home, ".docker"))
	}
	// A container's process often has no HOME; its user has one all the same.
	if u, err := user.Current(); err == nil && u.HomeDir != "" {
		return filepath.Join(u.HomeDir, ".docker")
	}
	return within(dir, ".docker")
}

// BuildxDirectory is buildx's directory: BUILDX_CONFIG, else buildx in that of
// docker's configuration.
func BuildxDirectory(environ map[string]string, dir string) string {
	if d := environ["BUILDX_CONFIG"]; d != "" {
		return within(dir, d)
	}
	return filepath.Join(ConfigDirectory(environ, dir), "buildx")
}

func within(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// files are the configurations that count, the strongest first.
func (k *keychain) files(target authn.Resource) ([]*configfile.ConfigFile, error) {
	var files []*configfile.ConfigFile
	if text := k.environ["DOCKER_AUTH_CONFIG"]; text != "" {
		file, err := parseConfig("DOCKER_AUTH_CONFIG", []byte(text))
		if err != nil {
			return nil, err
		}
		file.CredentialHelpers, file.CredentialsStore = nil, "" // docker reads auths there, no more
		files = append(files, file)
	}
	for _, path := range k.paths(target) {
		file, err := loadConfig(path)
		if err != nil {
			return nil, err
		}
		if file != nil {
			return append(files, file), nil
		}
	}
	return files, nil
}

// paths are where a configuration may be; the first that exists is it.
func (k *keychain) paths(target authn.Resource) []string {
	var paths []string
	if dir := k.scopedDirectory(target); dir != "" {
		paths = append(paths, filepath.Join(dir, config.ConfigFileName))
	}
	if k.environ["DOCKER_CONFIG"] != "" || k.environ["HOME"] != "" {
		paths = append(paths, filepath.Join(ConfigDirectory(k.environ, k.dir), config.ConfigFileName))
	}
	if f := k.environ["REGISTRY_AUTH_FILE"]; f != "" {
		paths = append(paths, within(k.dir, f))
	}
	return paths
}

// loadConfig reads a configuration; nil is none at path.
func loadConfig(path string) (*configfile.ConfigFile, error) {
	f, err := os.Open(path)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, configLimit+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	file, err := parseConfig(path, raw)
	if err != nil {
		return nil, err
	}
	file.Filename = path
	return file, nil
}

// parseConfig reads a configuration's text. Its error names the key at fault and
// nothing of its value, which may be a secret.
func parseConfig(path string, raw []byte) (*configfile.ConfigFile, error) {
	if err := CheckConfig(path, raw); err != nil {
		return nil, err
	}
	file, err := config.LoadFromReader(strings.NewReader(string(raw)))
	if err != nil {
		return nil, errdefs.New(errdefs.Environment, "%s: not a docker configuration", path)
	}
	return file, nil
}

// CheckConfig finds what is wrong with a docker configuration: its error, an
// errdefs.Environment, names path and every key at fault, and no value.
func CheckConfig(path string, raw []byte) error {
	if len(raw) > configLimit {
		return errdefs.New(errdefs.Environment, "%s: longer than %d MiB", path, configLimit>>20)
	}
	var doc struct {
		Auths map[string]struct {
			Auth string `json:"auth"`
		} `json:"auths"`
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		return errdefs.New(errdefs.Environment, "%s: not a docker configuration: %s", path, jsonFault(err))
	}
	var faults []error
	for _, key := range slices.Sorted(maps.Keys(doc.Auths)) {
		if fault := authFault(doc.Auths[key].Auth); fault != "" {
			faults = append(faults, errdefs.New(errdefs.Environment, "%s: auths[%q].auth: %s", path, key, fault).
				WithHint("log in to %s again", key))
		}
	}
	return errors.Join(faults...)
}

// jsonFault says where JSON is at fault.
func jsonFault(err error) string {
	var syntax *json.SyntaxError
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return fmt.Sprintf("no JSON at byte %d", syntax.Offset)
	case errors.As(err, &wrong) && wrong.Field != "":
		return "key " + wrong.Field + " is of another type"
	}
	return "no JSON object"
}

// authFault is what is wrong with base64 of user:password; empty is nothing.
func authFault(auth string) string {
	if auth == "" {
		return ""
	}
	plain, err := base64.StdEncoding.DecodeString(auth)
	if err != nil {
		return "not base64"
	}
	user, password, ok := strings.Cut(strings.TrimRight(string(plain), "\x00"), ":")
	switch {
	case !ok:
		return "not base64 of user:password"
	case strings.ContainsFunc(user, unicode.IsControl):
		return "the user has a control character"
	case strings.ContainsRune(password, 0) || strings.HasSuffix(string(plain), "\x00"):
		return "the password has a NUL"
	}
	return ""
}

// login is what file keeps for a target: of the repository, as podman has it,
// or of its registry; the latter by a helper where file names one. It does not
// go through configfile's own store, which reads the process's environment.
func (k *keychain) login(ctx context.Context, file *configfile.ConfigFile, target, key string) (types.AuthConfig, error) {
	login := file.AuthConfigs[target]
	// Beside a helper docker keeps an entry that is empty but for its address.
	login.ServerAddress = ""
	if login != (types.AuthConfig{}) {
		return login, nil
	}
	helper := file.CredentialsStore
	if h, ok := file.CredentialHelpers[key]; ok {
		helper = h
	}
	if helper == "" {
		return configcredentials.NewFileStore(file).Get(key)
	}
	return k.help(ctx, helper, key)
}
