package buildpush

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/moby/buildkit/session/secrets/secretsprovider"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// parseSecrets reads the three forms of secrets.
func (j *job) parseSecrets(context.Context) (err error) {
	j.request.Secrets, err = parseSecrets(j.options, j.env.Dir, j.env.Environ)
	for _, value := range j.request.Secrets {
		j.hide(string(value))
	}
	j.hide(j.options.token())
	return err
}

// parseSecrets reads the three forms of secrets into values by id.
func parseSecrets(o Options, dir string, environ map[string]string) (map[string][]byte, error) {
	secrets := map[string][]byte{}
	var errs []error
	for i, line := range o.Secrets {
		id, value, ok := strings.Cut(line, "=")
		id = strings.TrimSpace(id)
		if !ok || id == "" {
			// The line may be the secret itself: it is not repeated.
			errs = append(errs, errdefs.BadInputf("secrets", i+1, "expected id=value").
				WithHint("quote a value that has line breaks, the id included: \"id=line 1\nline 2\""))
			continue
		}
		secrets[id] = []byte(value)
	}
	for i, word := range o.SecretEnvs {
		id, variable, ok := strings.Cut(word, "=")
		if !ok || id == "" || variable == "" {
			errs = append(errs, errdefs.BadInputf("secret-envs", i+1, "expected id=VARIABLE, found %q", word))
			continue
		}
		value, ok := environ[variable]
		if !ok {
			errs = append(errs, errdefs.BadInputf("secret-envs", i+1, "secret %s: the environment has no %s", id, variable))
			continue
		}
		secrets[id] = []byte(value)
	}
	for i, line := range o.SecretFiles {
		id, value, err := secretFile(line, dir)
		if err != nil {
			errs = append(errs, errdefs.BadInputf("secret-files", i+1, "%w", err))
			continue
		}
		secrets[id] = value
	}
	for id, value := range secrets {
		if len(value) > secretsprovider.MaxSecretSize {
			errs = append(errs, errdefs.New(errdefs.BadInput, "secret %s has %d bytes; BuildKit takes %d at most", id, len(value), secretsprovider.MaxSecretSize))
		}
	}
	return secrets, errors.Join(errs...)
}

func secretFile(line, dir string) (id string, value []byte, err error) {
	id, path, ok := strings.Cut(line, "=")
	if !ok || id == "" || path == "" {
		return "", nil, fmt.Errorf("expected id=path, found %q", line)
	}
	value, err = os.ReadFile(absolute(path, dir))
	if err != nil {
		return "", nil, fmt.Errorf("secret %s: %w", id, err)
	}
	return id, value, nil
}

// authorizeGit lets BuildKit fetch contexts: where addresses had a login, with
// that; the default context of a private repository with the runner's token.
// What the user gave as a secret, in any of the three forms, wins.
func (j *job) authorizeGit(context.Context) error {
	for _, l := range j.logins {
		if _, given := j.request.Secrets[l.id]; !given {
			j.request.Secrets[l.id] = []byte(l.header)
		}
	}
	host := strings.TrimPrefix(strings.TrimPrefix(j.event.ServerURL, "https://"), "http://")
	if j.options.token() == "" || host == "" || !j.usesDefaultContext() {
		return nil
	}
	for _, kind := range []string{"GIT_AUTH_TOKEN", "GIT_AUTH_HEADER"} {
		for _, id := range []string{kind, kind + "." + host} {
			if _, given := j.request.Secrets[id]; given {
				return nil
			}
		}
	}
	j.request.Secrets["GIT_AUTH_TOKEN."+host] = []byte(j.options.token())
	return nil
}

// usesDefaultContext is whether a context is the event's repository by git.
func (j *job) usesDefaultContext() bool {
	own := j.event.ServerURL + "/" + j.event.Repository.Slug + ".git"
	if strings.HasPrefix(j.request.Context.URL, own) {
		return true
	}
	for _, named := range j.request.Named {
		if strings.HasPrefix(named.URL, own) {
			return true
		}
	}
	return false
}
