package builder

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"

	"github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/util/grpcerrors"
	"google.golang.org/grpc/codes"

	hull "github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/progress"
)

// logLines is how many of a failed step's last lines are looked at, and shown.
const logLines = 20

// A failure is a way in which builds end. BuildKit's errors cross the daemon's
// socket as text with a few typed details, so most are told by their words.
type failure struct {
	name string
	text pattern // of the error; nil matches any
	at   pattern // of the error too, where both must match
	log  pattern // of the failed step's last lines; nil matches any
	kind hull.Kind
	in   string // input to blame
	says string // put before the error
	hint string
}

// registryWork is what BuildKit says of anything it wanted of a registry.
var registryWork = words(`failed to (push|do request|resolve source metadata|fetch oauth token|fetch anonymous token|authorize|copy|load cache key)|error writing (manifest|layer|config) blob|pull access|unexpected status from`)

// stepFailed is what BuildKit says of a step, and what it said until 0.9.
var stepFailed = words(`did not complete successfully|executor failed running`)

// failures are the known ways, the more particular first: the first that
// matches is told. Each is made to happen in test/journeys/failures.txtar.
var failures = []failure{
	{
		name: "disk full", text: words(`no space left on device|disk quota exceeded`), kind: hull.Environment,
		says: "the builder's disk is full",
		hint: "free space on the builder, for instance with docker buildx prune, or give it a bigger disk",
	},
	{
		// A tar is unpacked when its Dockerfile is wanted. Paths begin at its root.
		name: "bad tar", text: words(`failed to read dockerfile: .*(link /|open /|unhandled tar header|archive/tar: |gzip: |bzip2 |unexpected EOF$)`), kind: hull.BadInput, in: "context",
		says: "the builder can't unpack the tar",
		hint: "it is cut short, or has an entry that leads out of it",
	},
	{
		name: "no Dockerfile", text: words(`failed to read dockerfile: .*(no such file|not found)`), kind: hull.BadInput, in: "file",
		hint: "name the Dockerfile with file; it is looked for in the context",
	},
	{
		name: "no stage", text: words(`target stage ".*" could not be found`), kind: hull.BadInput, in: "target",
		hint: "target names a stage of the Dockerfile: FROM image AS stage",
	},
	{
		name: "no secret", text: words(`^secret \S+: not found`), kind: hull.BadInput, in: "secrets",
		hint: "a step asks for this secret: give it with secrets, secret-envs or secret-files under that id",
	},
	{
		name: "no ssh", text: words(`no SSH key ".*" forwarded`), kind: hull.BadInput, in: "ssh",
		hint: "a step asks for an ssh agent: ssh: default forwards that of SSH_AUTH_SOCK",
	},
	{
		name: "not allowed", text: words(`(security\.insecure|network\.host|device\S*) is not allowed$`), kind: hull.BadInput, in: "allow",
		hint: "a step asks for this entitlement: name it with allow",
	},
	{
		name: "not granted", text: words(`granting entitlement \S+ is not allowed by build daemon`), kind: hull.Environment, in: "allow",
		hint: "make the builder with buildkitd-flags: --allow-insecure-entitlement and the entitlement; an engine's own has them in its daemon.json: builder.entitlements",
	},
	{
		name: "certificate expired", text: words(`x509: certificate has expired or is not yet valid`), kind: hull.Environment,
		says: "the registry's certificate is not valid now by the builder's clock",
		hint: "renew the certificate, or set the clock of the machine right",
	},
	{
		name: "certificate", text: words(`x509: |tls: `), kind: hull.Environment,
		says: "the builder does not trust the registry's certificate",
		hint: `name its authority where the builder is made, with registry-ca: HOST=FILE or in its configuration: [registry."host"] ca=["/path/ca.pem"]`,
	},
	{
		name: "rate limit", at: registryWork, text: words(`429 Too Many Requests|toomanyrequests`), kind: hull.Environment,
		says: "the registry limits the rate of requests",
		hint: "log in, or use a mirror, where pulls without an account are limited; else try again later",
	},
	{
		name: "denied", at: registryWork, text: words(`\b40[13] (unauthorized|forbidden)|unauthorized|insufficient_scope|access denied|authorization failed|\bdenied\b`), kind: hull.Denied,
		hint: "log in to the registry with an account that may do this; on GitHub the job needs permissions: packages: write",
	},
	{
		name: "cache place", text: words(`(?s)failed to configure \w+ cache (ex|im)porter: .*(40[13]\b|AuthenticationFailed|AuthorizationFailure|AccessDenied)`), kind: hull.Denied, in: "cache-to",
		hint: "check the cache's keys and what they may do; without ignore-error=false this is a warning",
	},
	{
		name: "no repository", text: words(`failed to push .*(name.?unknown|repository.* does not exist|repository.* not found)`), kind: hull.Environment,
		hint: "this registry wants the repository, or its project, to be made before a push; check the name too",
	},
	{
		name: "no platform", text: words(`no match for platform in manifest`), kind: hull.BadInput, in: "platforms",
		hint: "the base image is not there for this platform: leave the platform out, or take another base",
	},
	{
		name: "no image", text: words(`failed to resolve source metadata for \S+: \S+: not found`), kind: hull.Build,
		hint: "there is no such image or tag, or this account may not see it",
	},
	{
		name: "no host", text: words(`no such host|server misbehaving`), kind: hull.Environment,
		says: "the builder can't find the registry's name",
		hint: "check the name's spelling and the builder's DNS; a builder in a container does not see the machine's /etc/hosts",
	},
	{
		name: "unreachable", at: registryWork, text: words(`connection refused|connection reset|i/o timeout|network is unreachable|EOF$|\b50[0234]\b`), kind: hull.Environment,
		hint: "the builder must reach the registry: check its address and network; a registry on this machine is seen by a builder with driver-opts network=host",
	},
	{
		name: "not there", text: words(`failed to calculate checksum of ref .*: not found`), kind: hull.Build,
		hint: "a COPY or ADD names a file that the context does not hold: check its path, .dockerignore, and whether the context is a commit of git, without files made since",
	},
	{
		name: "step: disk full", text: stepFailed, log: words(`no space left on device`), kind: hull.Build,
		hint: "the step had no space left: free some on the builder, for instance with docker buildx prune; where it was /dev/shm, raise shm-size",
	},
	{
		name: "step: not emulated", text: stepFailed, log: words(`exec format error`), kind: hull.Build,
		hint: "the step's program is for a platform that this node does not run: hullwright setup --platforms registers emulators",
	},
	{
		name: "step: emulator", text: stepFailed, log: words(`qemu: uncaught target signal`), kind: hull.Build,
		hint: "the emulator died, not the program by itself: try another version with binfmt-image, cross-compile, or build on a node of that platform",
	},
	{
		name: "no bridge", text: words(`network bridge not found`), kind: hull.Environment, in: "network",
		hint: "this engine was started without a bridge: network host or none has steps do without",
	},
	{
		name: "step: killed", text: words(`exit code: 137`), kind: hull.Build,
		hint: "137 is a process that was killed, most likely for want of memory: give the builder more, or the step less to do at once",
	},
	{
		name: "step: crashed", text: words(`exit code: 139`), kind: hull.Build,
		hint: "139 is a crash (SIGSEGV); on an emulated platform it is often the emulator's: try another version with binfmt-image, or cross-compile",
	},
	{
		name: "step: not found", text: words(`exit code: 127`), kind: hull.Build,
		hint: "127 is a command that the image does not have",
	},
}

// A pattern is compiled when it is first asked for: most builds end well, and all
// of them together would delay each by a millisecond.
type pattern func() *regexp.Regexp

func words(text string) pattern {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(?i)` + text) })
}

func (p pattern) matches(text string) bool { return p == nil || p().MatchString(text) }

func (f failure) is(text, log string) bool {
	return f.text.matches(text) && f.at.matches(text) && f.log.matches(log)
}

// classify says a solve's failure in a person's terms.
func classify(ctx context.Context, plan Solve, shown progress.Summary, err error) error {
	if cause := ctx.Err(); cause != nil {
		return &hull.Error{Kind: hull.Canceled, Err: fmt.Errorf("the build was stopped: %w", cause)}
	}
	text := strings.TrimPrefix(err.Error(), "failed to solve: ")
	text = strings.TrimPrefix(text, "ResourceExhausted: ")
	log := shown.FailedLog(logLines)
	says := errors.New(text + dockerfileExcerpt(err) + logExcerpt(log))
	if lostNode(err) {
		return hull.New(hull.Environment, "node %s went away during the build: %w", plan.Node, says).
			WithHint("read the builder's log; a daemon that is killed is often out of memory")
	}
	for _, f := range failures {
		if f.is(text, log) {
			return f.tell(says)
		}
	}
	return &hull.Error{Kind: hull.Build, Err: says}
}

func (f failure) tell(err error) error {
	if f.says != "" {
		err = fmt.Errorf("%s: %w", f.says, err)
	}
	return &hull.Error{Kind: f.kind, Input: f.in, Err: err, Hint: f.hint}
}

// lostNode is whether the connection broke, and not the build.
func lostNode(err error) bool {
	return grpcerrors.Code(err) == codes.Unavailable && len(errdefs.Sources(err)) == 0
}

// dockerfileExcerpt is BuildKit's own picture of the lines at fault.
func dockerfileExcerpt(err error) string {
	var b bytes.Buffer
	for _, source := range errdefs.Sources(err) {
		b.WriteByte('\n')
		if source.Print(&b) != nil { // a bytes.Buffer takes all
			return ""
		}
	}
	return strings.TrimRight(b.String(), "\n")
}

// logExcerpt is the failed step's own last words, set off from the error's.
func logExcerpt(log string) string {
	if log == "" {
		return ""
	}
	return "\nthe step's last lines:\n  " + strings.ReplaceAll(strings.TrimRight(log, "\n"), "\n", "\n  ")
}
