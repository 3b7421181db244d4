package setup

import (
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// origin is what a thing says of the run that made it: as labels in an engine, as
// a file elsewhere. By it a thing is found and judged after its run is gone.
type origin struct {
	Nonce   string
	State   string    // path of the run's state file
	Store   string    // directory of the builder store, for what is a builder's
	Builder string    // name in the store
	Run     string    // the CI job or the process, for people
	Expires time.Time // zero is never
	Created time.Time
	Place   string // where its processes can be seen
	Detail  string // of a binfmt lease: the line that was registered
}

// labelUser is whose a thing is; the rest of the labels are in container.go.
const (
	labelRun     = "io.hullwright.run"
	labelExpires = "io.hullwright.expires" // RFC 3339; missing is never
	labelState   = "io.hullwright.state"
	labelStore   = "io.hullwright.store"
	labelUser    = "io.hullwright.user"
)

// runFile is beside nonceFile in a process builder's directory, and has its mark.
const runFile = ".hullwright-run.json"

func (k origin) labels() map[string]string {
	if k.Nonce == "" {
		return nil
	}
	labels := map[string]string{labelNonce: k.Nonce, labelUser: user()}
	for name, value := range map[string]string{
		labelBuilder: k.Builder, labelRun: k.Run, labelState: k.State, labelStore: k.Store, labelExpires: stamp(k.Expires),
	} {
		if value != "" {
			labels[name] = value
		}
	}
	return labels
}

// of is the origin of what is a builder's.
func (k origin) of(nonce, builder string) origin {
	k.Nonce, k.Builder = nonce, builder
	return k
}

// markOfLabels is the reverse of labels; false where they are not ours, or
// another user's.
func markOfLabels(labels map[string]string) (origin, bool) {
	k := origin{
		Nonce: labels[labelNonce], State: labels[labelState], Store: labels[labelStore],
		Builder: labels[labelBuilder], Run: labels[labelRun],
	}
	if text := labels[labelExpires]; text != "" {
		var err error
		if k.Expires, err = time.Parse(time.RFC3339, text); err != nil {
			return k, false
		}
	}
	return k, noncePattern.MatchString(k.Nonce) && labels[labelUser] == user()
}

func user() string { return strconv.Itoa(os.Getuid()) }

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// mark is what the things of a run carry.
func (s *State) mark() origin {
	s.mu.Lock()
	defer s.mu.Unlock()
	return origin{Nonce: s.doc.Nonce, State: s.path, Run: s.doc.Run, Expires: s.doc.Expires, Created: s.doc.Created, Place: vantage()}
}

// mark is what the things of a builder carry; empty where hullwright did not
// make it.
func (g *group) mark(store string) origin {
	if g.Made == nil {
		return origin{}
	}
	return origin{
		Nonce: g.Made.Nonce, State: g.Made.State, Store: store, Builder: g.Name,
		Run: g.Made.Run, Expires: g.Made.Expires, Created: g.Made.Created, Place: g.Made.Place,
	}
}

// begin says who runs, before anything is made.
func (s *State) begin(spec Spec, environ map[string]string, now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.doc.Owner = self()
	s.doc.Run = runOf(environ, s.doc.Owner)
	s.doc.Created = now.UTC().Truncate(time.Second)
	s.doc.Expires = time.Time{}
	if spec.Lifetime > 0 {
		// Whole seconds, as labels have them; never less than was asked for.
		s.doc.Expires = now.Add(spec.Lifetime + time.Second - 1).UTC().Truncate(time.Second)
	}
	return s.save()
}

// HandOver ends this process's part: what it made is to stay for others until
// its teardown or the end of its lifetime. Until then it is an orphan as soon
// as this process is gone.
func (s *State) HandOver() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.doc.Owner = nil
	return s.save()
}

// vantage is where this process can see others: a machine, or a container on it.
func vantage() string {
	o := self()
	return o.Host + " " + o.Namespace
}

// DefaultLifetime is the lifetime of what a run makes if nobody says: CILifetime
// on a CI system, else none.
func DefaultLifetime(environ map[string]string) time.Duration {
	if ci := environ["CI"]; ci == "" || ci == "false" {
		return 0
	}
	return CILifetime
}

// CILifetime is how long a builder that setup makes on a CI system lives if
// nobody says: what GitHub gives a job.
const CILifetime = 6 * time.Hour

// jobVariables have a job's address on systems that give it whole.
var jobVariables = []string{
	"CI_JOB_URL", "BUILD_URL", "BUILDKITE_BUILD_URL", "CIRCLE_BUILD_URL", "DRONE_BUILD_LINK",
}

// runOf names the run: the CI job, else the process.
func runOf(environ map[string]string, o *owner) string {
	if id := environ["GITHUB_RUN_ID"]; id != "" {
		run := environ["GITHUB_SERVER_URL"] + "/" + environ["GITHUB_REPOSITORY"] + "/actions/runs/" + id
		// One run has several jobs, and a runner has one at a time.
		return run + "/attempts/" + environ["GITHUB_RUN_ATTEMPT"] + " " + environ["GITHUB_JOB"] + " on " + environ["RUNNER_NAME"]
	}
	for _, variable := range jobVariables {
		if url := environ[variable]; url != "" {
			return url + fragment(environ["BUILDKITE_JOB_ID"])
		}
	}
	return o.String()
}

func fragment(id string) string {
	if id == "" {
		return ""
	}
	return "#" + id
}

// storeDir is the store's directory as others find it too.
func (m *Manager) storeDir() string {
	dir := m.store().dir
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(m.host.Dir, dir)
	}
	return dir
}
