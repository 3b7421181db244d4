package setup

import (
	"encoding/hex"
	"errors"
	"net"
	"net/url"
	"path/filepath"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// ProcessOptions are what a person can say of driver process alone.
type ProcessOptions struct {
	Buildkitd       string `env:"BUILDKITD" placeholder:"FILE" help:"The buildkitd that driver process runs; the default is found in PATH."`
	BuildkitdURL    string `env:"BUILDKITD-URL" placeholder:"URL" help:"Address of a BuildKit release, a .tar.gz whose buildkitd driver process runs with the buildkit-runc and the emulators beside it; needs buildkitd-sha256. It is kept in the user's cache directory."`
	BuildkitdSHA256 string `env:"BUILDKITD-SHA256" placeholder:"HEX" help:"SHA-256 of the release at buildkitd-url. Nothing is unpacked or run before it is verified."`
	RootDir         string `env:"ROOT-DIR" placeholder:"DIR" help:"Directory where driver process keeps images and cache. It is made where it is missing, and stays at clean-up; the default goes with the builder."`
}

// complete puts the options into a spec whose driver is there already.
func (o ProcessOptions) complete(spec *Spec, dir string) error {
	spec.Buildkitd, spec.RootDir = within(dir, o.Buildkitd), within(dir, o.RootDir)
	var err error
	spec.Release, err = o.release()
	faults := []error{err}
	if spec.Buildkitd != "" && spec.Release != (Release{}) {
		faults = append(faults, errdefs.BadInputf("buildkitd-url", 0, "buildkitd is given too").WithHint("give one of them"))
	}
	if spec.Driver != "" && spec.Driver != Process {
		faults = append(faults, o.refuse(spec.Driver))
	}
	return errors.Join(faults...)
}

// within is a path that starts at dir; empty stays empty.
func within(dir, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// processOptions are what a spec has of them, for messages.
func (s Spec) processOptions() ProcessOptions {
	return ProcessOptions{Buildkitd: s.Buildkitd, BuildkitdURL: s.Release.URL, RootDir: s.RootDir}
}

// refuse gives all that another driver has no use for.
func (o ProcessOptions) refuse(driver string) error {
	found, hint := "starts none", "it is for driver "+Process
	if driver == DockerContainer {
		found, hint = "runs the one of its image", "driver-opts image=... names another image"
	}
	var faults []error
	for _, given := range []struct{ input, value string }{{"buildkitd", o.Buildkitd}, {"buildkitd-url", o.BuildkitdURL}} {
		if given.value != "" {
			faults = append(faults, errdefs.BadInputf(given.input, 0, "driver %s %s", driver, found).WithHint("%s", hint))
		}
	}
	if o.RootDir != "" {
		faults = append(faults, errdefs.BadInputf("root-dir", 0, "driver %s has no directory of ours", driver).
			WithHint("it is for driver %s; keep-state keeps the volume of driver %s", Process, DockerContainer))
	}
	return errors.Join(faults...)
}

// release is the release that was asked for; the zero value where none was.
func (o ProcessOptions) release() (Release, error) {
	switch {
	case o.BuildkitdURL == "" && o.BuildkitdSHA256 == "":
		return Release{}, nil
	case o.BuildkitdURL == "":
		return Release{}, errdefs.BadInputf("buildkitd-sha256", 0, "buildkitd-url is missing")
	case o.BuildkitdSHA256 == "":
		return Release{}, errdefs.BadInputf("buildkitd-sha256", 0, "missing; buildkitd-url needs it").
			WithHint("sha256sum of the archive, which the release's page tells too")
	}
	sum, err := hex.DecodeString(o.BuildkitdSHA256)
	if err != nil || len(sum) != 32 {
		return Release{}, errdefs.BadInputf("buildkitd-sha256", 0, "%q is no SHA-256: expected 64 hexadecimal digits", o.BuildkitdSHA256)
	}
	u, err := url.Parse(o.BuildkitdURL)
	if err != nil || u.Host == "" {
		return Release{}, errdefs.BadInputf("buildkitd-url", 0, "this is no address: expected https://host/path.tar.gz")
	}
	if u.User != nil {
		return Release{}, errdefs.BadInputf("buildkitd-url", 0, "%s has a user name, which would be shown in logs", shownURL(u)).
			WithHint("releases are public; to keep one for yourself give its path with buildkitd")
	}
	if err := safeURL(u, u); err != nil {
		return Release{}, errdefs.BadInputf("buildkitd-url", 0, "%w", err)
	}
	return Release{URL: o.BuildkitdURL, SHA256: hex.EncodeToString(sum)}, nil
}

// safeURL refuses an address to which a request that began at first must not
// lead: other than https only where all of it stays on this machine.
func safeURL(u, first *url.URL) error {
	switch {
	case u.Scheme == "https":
		return nil
	case u.Scheme == "http" && first.Scheme == "http" && loopback(u.Hostname()):
		return nil
	case u == first:
		return errors.New(shownURL(u) + " is not https")
	}
	return errors.New("led to " + shownURL(u) + ", which is not https")
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// shownURL is an address without what may be secret of it: a signed address has
// its right of access in the query.
func shownURL(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}
