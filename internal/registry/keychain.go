package registry

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/config/configfile"
	configcredentials "github.com/docker/cli/cli/config/credentials"
	"github.com/docker/cli/cli/config/types"
	"github.com/docker/docker-credential-helpers/client"
	"github.com/docker/docker-credential-helpers/credentials"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
)

// helperTime is how long a credential helper may take.
const helperTime = 10 * time.Second

var helperName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]*$`)

// Keychain takes credentials from where environ says that docker keeps them:
// DOCKER_AUTH_CONFIG, which holds them itself, else config.json in
// DOCKER_CONFIG or in .docker in HOME; else, as podman keeps them,
// REGISTRY_AUTH_FILE. Relative paths are in dir. Files are read when a
// repository is first spoken to, so that a login in between counts. Where there
// are no credentials the keychain gives authn.Anonymous.
func Keychain(environ map[string]string, dir string) authn.Keychain {
	return &keychain{environ: environ, dir: dir}
}

type keychain struct {
	environ map[string]string
	dir     string
}

// Resolve implements authn.Keychain.
func (k *keychain) Resolve(target authn.Resource) (authn.Authenticator, error) {
	return k.ResolveContext(context.Background(), target)
}

// ResolveContext implements authn.ContextKeychain: helpers end with ctx.
func (k *keychain) ResolveContext(ctx context.Context, target authn.Resource) (authn.Authenticator, error) {
	files, err := k.files()
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		login, err := k.login(ctx, file, target)
		if err != nil {
			return nil, err
		}
		login.ServerAddress = "" // set even where nothing was found
		if login != (types.AuthConfig{}) {
			return authn.FromConfig(authn.AuthConfig{
				Username:      login.Username,
				Password:      login.Password,
				Auth:          login.Auth,
				IdentityToken: login.IdentityToken,
				RegistryToken: login.RegistryToken,
			}), nil
		}
	}
	return authn.Anonymous, nil
}

// files are the configurations that count, the strongest first.
func (k *keychain) files() ([]*configfile.ConfigFile, error) {
	var files []*configfile.ConfigFile
	if text := k.environ["DOCKER_AUTH_CONFIG"]; text != "" {
		file, err := config.LoadFromReader(strings.NewReader(text))
		if err != nil {
			return nil, fmt.Errorf("DOCKER_AUTH_CONFIG: not a docker configuration") // the cause may quote a secret
		}
		file.CredentialHelpers, file.CredentialsStore = nil, "" // docker reads auths there, no more
		files = append(files, file)
	}
	for _, path := range k.paths() {
		file, err := load(path)
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
func (k *keychain) paths() []string {
	var paths []string
	if d := k.environ["DOCKER_CONFIG"]; d != "" {
		paths = append(paths, filepath.Join(d, config.ConfigFileName))
	} else if home := k.environ["HOME"]; home != "" {
		paths = append(paths, filepath.Join(home, ".docker", config.ConfigFileName))
	}
	if f := k.environ["REGISTRY_AUTH_FILE"]; f != "" {
		paths = append(paths, f)
	}
	for i, p := range paths {
		if !filepath.IsAbs(p) {
			paths[i] = filepath.Join(k.dir, p)
		}
	}
	return paths
}

// load reads a configuration; nil is none at path.
func load(path string) (*configfile.ConfigFile, error) {
	f, err := os.Open(path)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	file, err := config.LoadFromReader(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return file, nil
}

// login is what file keeps for a target: of the repository, as podman has it,
// or of its registry; the latter by a helper where file names one. It does not
// go through configfile's own store, which reads the process's environment.
func (k *keychain) login(ctx context.Context, file *configfile.ConfigFile, target authn.Resource) (types.AuthConfig, error) {
	login := file.AuthConfigs[target.String()]
	// Beside a helper docker keeps an entry that is empty but for its address.
	login.ServerAddress = ""
	if login != (types.AuthConfig{}) {
		return login, nil
	}
	key := target.RegistryStr()
	if key == name.DefaultRegistry {
		key = authn.DefaultAuthKey
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

// help asks a credential helper.
func (k *keychain) help(ctx context.Context, helper, key string) (types.AuthConfig, error) {
	if !helperName.MatchString(helper) {
		return types.AuthConfig{}, fmt.Errorf("credential helper %q: no such name is allowed", helper)
	}
	ctx, cancel := context.WithTimeout(ctx, helperTime)
	defer cancel()
	found, err := client.Get(func(args ...string) client.Program {
		return k.program(ctx, "docker-credential-"+helper, args)
	}, key)
	if credentials.IsErrCredentialsNotFound(err) {
		return types.AuthConfig{}, nil
	}
	if err != nil {
		return types.AuthConfig{}, fmt.Errorf("credential helper docker-credential-%s: %w", helper, err)
	}
	if found.Username == "<token>" {
		return types.AuthConfig{IdentityToken: found.Secret}, nil
	}
	return types.AuthConfig{Username: found.Username, Password: found.Secret}, nil
}

// program runs a credential helper under a deadline, with our environment.
func (k *keychain) program(ctx context.Context, name string, args []string) client.Program {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.WaitDelay = time.Second
	for key, value := range k.environ {
		cmd.Env = append(cmd.Env, key+"="+value)
	}
	return &program{cmd}
}

type program struct{ *exec.Cmd }

// Input implements client.Program.
func (p *program) Input(in io.Reader) { p.Stdin = in }

// Output implements client.Program. What a helper says beyond its limit is cut,
// and then is no JSON.
func (p *program) Output() ([]byte, error) {
	out := &bytes.Buffer{}
	p.Stdout = &limitedWriter{out, bodyLimit}
	err := p.Run()
	return out.Bytes(), err
}

type limitedWriter struct {
	w    *bytes.Buffer
	left int
}

// Write implements io.Writer.
func (l *limitedWriter) Write(p []byte) (int, error) {
	n := min(len(p), l.left)
	l.left -= n
	l.w.Write(p[:n])
	return len(p), nil
}
