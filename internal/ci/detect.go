package ci

import (
	"io"
	"slices"
	"strings"
	"time"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// Host is what a provider may touch: its job's environment and streams.
type Host struct {
	Environ map[string]string
	Stdout  io.Writer // results: where outputs are printed that have no file
	// Stderr is the log, and where commands to the CI system go: notices, masks,
	// groups and fences must keep their order, and so share one stream.
	Stderr io.Writer
	Dir    string // working directory, absolute
	// Secrets are told what Mask is told, besides streams that are Redactors.
	Secrets *Secrets
	// DotenvFile receives outputs as KEY=value lines, on any system where it
	// is set. The default is empty, on GitLab hullwright.env in Dir.
	DotenvFile string
	// Now is the clock, for systems whose log marks carry the time. The
	// default is time.Now.
	Now func() time.Time
}

// providers are the systems that are known, in the order in which they are
// looked for. The order matters where one system sets another's variables:
// Drone and Woodpecker export CI_COMMIT_* like GitLab, Forgejo and Gitea
// export GITHUB_* like GitHub, so a row that is more special goes above.
var providers = []struct {
	name   string
	detect func(environ map[string]string) bool
	make   func(Host) Provider
}{
	{"forgejo", onForgejo, newForgejo},
	{"gitea", onGitea, newGitea},
	{"github", onGitHub, newGitHub},
	{"gitlab", onGitLab, newGitLab},
	{"circleci", onCircleCI, newCircleCI},
	{"buildkite", onBuildkite, newBuildkite},
	{"azure", onAzure, newAzure},
	{"bitbucket", onBitbucket, newBitbucket},
	{"woodpecker", onWoodpecker, newWoodpecker},
	{"drone", onDrone, newDrone},
	{"travis", onTravis, newTravis},
	{"teamcity", onTeamCity, newTeamCity},
	{"codebuild", onCodeBuild, newCodeBuild},
	{"jenkins", onJenkins, newJenkins},
	{"cloudbuild", onCloudBuild, newCloudBuild},
	{"tekton", onTekton, newTekton},
	{"git", func(map[string]string) bool { return true }, newGit},
}

// Detect finds the provider of a host. name, where not empty, beats what the
// environment says; an unknown one is an errdefs.BadInput of input "provider".
func Detect(h Host, name string) (Provider, error) {
	if h.Now == nil {
		h.Now = time.Now
	}
	for _, p := range providers {
		if name == p.name || name == "" && p.detect(h.Environ) {
			return p.make(h), nil
		}
	}
	return nil, errdefs.BadInputf("provider", 0, "unknown CI system %q", name).
		WithHint("one of %s", strings.Join(Names(), ", "))
}

// Names are the providers' names, in order of detection.
func Names() []string {
	var names []string
	for _, p := range providers {
		names = append(names, p.name)
	}
	return slices.Clip(names)
}
