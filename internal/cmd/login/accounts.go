package login

import (
	"bytes"
	"errors"
	"io"
	"os"

	"github.com/hullwright/hullwright/internal/cli"
	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/login"
)

// passwordLimit is the longest password that is read from a file or a pipe: a
// service account's key has 3 kB.
const passwordLimit = 64 << 10

// accounts are the logins that are asked for, each registry and scope once. Their
// passwords are hidden before anything is printed.
func (o Options) accounts(env *cli.Env) ([]login.Account, error) {
	if o.RegistryAuth != "" {
		return o.listed(env)
	}
	password, err := o.password(env)
	if password != "" {
		env.CI.Mask(password)
	}
	single := o.single(password)
	single.Input = "registry"
	a, fault := single.Account()
	if err := errors.Join(fault, err); err != nil {
		return nil, err
	}
	return []login.Account{a}, nil
}

// listed reads the list, beside which nothing is given.
func (o Options) listed(env *cli.Env) ([]login.Account, error) {
	given := o.single(string(o.Password))
	if o.PasswordStdin || o.PasswordFile != "" {
		given.Password = "given"
	}
	given.Scope = o.Scope
	accounts, err := login.ParseList(string(o.RegistryAuth), o.ScopeOff, env.CI.Mask)
	return accounts, errors.Join(login.Besides(given), err)
}

// single is the one login that is not in the list.
func (o Options) single(password string) login.Written {
	w := login.Written{Registry: o.Registry, Username: o.Username, Password: password, ECR: o.ECR, Scope: o.Scope}
	if o.ScopeOff {
		w.Scope = ""
	}
	return w
}

// password is the one that was given, in one of its ways.
func (o Options) password(env *cli.Env) (string, error) {
	given := 0
	for _, is := range []bool{o.Password != "", o.PasswordStdin, o.PasswordFile != ""} {
		if is {
			given++
		}
	}
	if given > 1 {
		return "", errdefs.BadInputf("password", 0, "it is given twice").
			WithHint("give one of password, password-file and password-stdin")
	}
	switch {
	case o.PasswordStdin:
		return readPassword("password-stdin", env.Stdin)
	case o.PasswordFile != "":
		f, err := os.Open(within(env.Dir, o.PasswordFile))
		if err != nil {
			return "", errdefs.BadInputf("password-file", 0, "%w", err)
		}
		defer f.Close()
		return readPassword("password-file", f)
	}
	return string(o.Password), nil
}

// readPassword takes off the one line break that programs put behind, as docker
// login does.
func readPassword(input string, r io.Reader) (string, error) {
	raw, err := io.ReadAll(io.LimitReader(r, passwordLimit+1))
	switch {
	case err != nil:
		return "", errdefs.BadInputf(input, 0, "%w", err)
	case len(raw) > passwordLimit:
		return "", errdefs.BadInputf(input, 0, "longer than %d KiB", passwordLimit>>10)
	}
	raw = bytes.TrimSuffix(bytes.TrimSuffix(raw, []byte("\n")), []byte("\r"))
	if len(raw) == 0 {
		return "", errdefs.BadInputf(input, 0, "it is empty")
	}
	return string(raw), nil
}
