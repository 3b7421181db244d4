package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os/exec"
	"regexp"
	"strings"
	"time"
	"unicode"

	"github.com/docker/cli/cli/config/types"
	"github.com/docker/docker-credential-helpers/credentials"

	"github.com/hullwright/hullwright/internal/errdefs"
)

const (
	// helperTime is how long a credential helper may take.
	helperTime = 10 * time.Second
	// helperLimit is how much it may say. The longest tokens, ECR's, have 4 kB.
	helperLimit = 64 << 10
)

// helperName is what may stand after docker-credential-: no path. A dot is for
// desktop.exe, Docker Desktop's in WSL.
var helperName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]*$`)

// help asks a credential helper: a program in PATH that speaks the protocol of
// https://github.com/docker/docker-credential-helpers. Of what it says besides
// credentials nothing is shown: it may hold them.
func (k *keychain) help(ctx context.Context, helper, key string) (types.AuthConfig, error) {
	var none types.AuthConfig
	if !helperName.MatchString(helper) {
		return none, errdefs.New(errdefs.Environment, "credential helper %q: no such name is allowed", helper).
			WithHint("credsStore and credHelpers name programs docker-credential-NAME in PATH")
	}
	if strings.ContainsFunc(key, unicode.IsControl) {
		return none, errdefs.New(errdefs.Environment, "credential helper %s: registry %q has a control character", helper, key)
	}
	said, has, err := k.ask(ctx, "docker-credential-"+helper, key)
	if err != nil {
		return none, errdefs.New(errdefs.Environment, "credential helper docker-credential-%s: %w", helper, err)
	}
	if !has {
		return none, nil
	}
	var found credentials.Credentials
	if err := json.Unmarshal(said, &found); err != nil {
		return none, errdefs.New(errdefs.Environment, "credential helper docker-credential-%s: its answer is no credentials", helper)
	}
	if strings.ContainsFunc(found.Username, unicode.IsControl) {
		return none, errdefs.New(errdefs.Environment, "credential helper docker-credential-%s: its user has a control character", helper)
	}
	if found.Username == "<token>" {
		return types.AuthConfig{IdentityToken: found.Secret}, nil
	}
	return types.AuthConfig{Username: found.Username, Password: found.Secret}, nil
}

// ask runs a helper with our environment; has is whether it has anything.
func (k *keychain) ask(ctx context.Context, program, key string) (said []byte, has bool, err error) {
	limited, cancel := context.WithTimeout(ctx, k.patience)
	defer cancel()
	cmd := exec.CommandContext(limited, program, "get")
	cmd.WaitDelay = time.Second
	cmd.Env = []string{} // nil would be the process's own
	for key, value := range k.environ {
		cmd.Env = append(cmd.Env, key+"="+value)
	}
	cmd.Stdin = strings.NewReader(key)
	out := &boundedBuffer{limit: helperLimit}
	cmd.Stdout = out
	endWithChildren(cmd)
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return nil, false, ctx.Err()
	case out.full:
		return nil, false, errdefs.New(errdefs.Environment, "it says more than %d KiB", helperLimit>>10)
	case limited.Err() != nil:
		return nil, false, errdefs.New(errdefs.Environment, "no answer within %s", k.patience)
	case errors.As(err, &exit) && credentials.IsErrCredentialsNotFoundMessage(strings.TrimSpace(out.held.String())):
		return nil, false, nil
	case err != nil:
		return nil, false, err
	}
	return out.held.Bytes(), true, nil
}

// boundedBuffer refuses what is beyond its limit, so that who writes stops.
type boundedBuffer struct {
	held  bytes.Buffer // not embedded: its ReadFrom would know no limit
	limit int
	full  bool
}

// Write implements io.Writer.
func (b *boundedBuffer) Write(p []byte) (int, error) {
	if b.held.Len()+len(p) > b.limit {
		b.full = true
		return 0, errors.New("too long")
	}
	return b.held.Write(p)
}
