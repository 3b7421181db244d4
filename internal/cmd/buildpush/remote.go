package buildpush

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/dfgitutil"
	"github.com/moby/buildkit/util/gitutil"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// isRemote is whether an address is not a path of this machine: a git
// repository, or what stands at an http address.
func isRemote(address string) bool {
	_, isGit, _ := dfgitutil.ParseGitRef(address)
	return isHTTP(address) || isGit
}

// isGitSSH is whether a git address is reached over ssh.
func isGitSSH(address string) bool {
	u, err := gitutil.ParseURL(address)
	return err == nil && u.Scheme == gitutil.SSHProtocol
}

// hostLogin is who asks at a host, taken out of an address: nothing that is
// printed or kept with the image may show it.
type hostLogin struct {
	id       string // of the secret by which BuildKit knows it
	header   string
	password string
}

// login hands a login to BuildKit as the secret that it looks for, unless the
// user gave one.
func (j *job) login(l hostLogin) {
	if l.id == "" {
		return
	}
	j.logins = append(j.logins, l)
	j.hide(l.password)
	j.hide(l.header)
}

// parseRemote checks a git or http address and takes the login out of it. Its
// error never holds a password.
func parseRemote(address string) (string, hostLogin, error) {
	plain, login := takeLogin(address)
	ref, isGit, err := dfgitutil.ParseGitRef(plain)
	switch {
	case isGit && err != nil:
		return "", login, fmt.Errorf("git address: %w", err)
	case !isGit:
		if _, err := url.Parse(plain); err != nil {
			return "", login, fmt.Errorf("http address: %w", errors.Unwrap(err))
		}
		login.id = strings.Replace(login.id, gitLogin, httpLogin, 1)
		login.id, _, _ = strings.Cut(login.id, ":") // the http source's secret has no port
		return plain, login, nil
	}
	// BuildKit takes ".." for the root of the repository: no such directory was
	// meant.
	_, fragment, _ := strings.Cut(plain, "#")
	_, dir, _ := strings.Cut(fragment, ":")
	if slices.Contains(strings.Split(dir, "/"), "..") || slices.Contains(strings.Split(ref.SubDir, "/"), "..") {
		return "", login, errdefs.New(errdefs.BadInput, "git address: directory %q leaves the repository", dir+ref.SubDir)
	}
	return plain, login, nil
}

// The secrets by which BuildKit's git and http sources authorize themselves at
// a host: https://docs.docker.com/build/building/secrets/#git-authentication-for-remote-contexts
const (
	gitLogin  = "GIT_AUTH_HEADER."
	httpLogin = "HTTP_AUTH_HEADER_"
)

// userInfo is the login in an address with a scheme.
var userInfo = regexp.MustCompile(`^(?i:(https?://))([^/?#]*)@`)

// takeLogin splits the login from an http address. An ssh address has a user
// and no password, and keeps it.
func takeLogin(address string) (string, hostLogin) {
	m := userInfo.FindStringSubmatch(address)
	if m == nil {
		return address, hostLogin{}
	}
	plain := m[1] + address[len(m[0]):]
	user, password, _ := strings.Cut(m[2], ":")
	user, password = unescaped(user), unescaped(password)
	host := strings.TrimPrefix(plain, m[1])
	if i := strings.IndexAny(host, "/?#"); i >= 0 {
		host = host[:i]
	}
	if password == "" && user == "git" {
		return plain, hostLogin{} // a habit of ssh, and no login
	}
	login := hostLogin{id: gitLogin + host, password: password}
	login.header = "basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
	if password == "" {
		login.password = user // a token alone
	}
	return plain, login
}

func hasLogin(address string) bool { return userInfo.MatchString(address) }

func unescaped(s string) string {
	if plain, err := url.PathUnescape(s); err == nil {
		return plain
	}
	return s
}
