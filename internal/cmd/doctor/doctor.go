// Package doctor is the doctor command: it checks before a build whether all
// that the build needs is there.
//
// Begin with [Verb]. It reads its inputs by the door of build-push, so that it
// checks the build that would be run.
package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hullwright/hullwright/internal/cli"
	"github.com/hullwright/hullwright/internal/doctor"
	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/input"
	"github.com/hullwright/hullwright/internal/report"
)

// Options are what a person sets. What is to be built has the names that
// build-push has for it; what else the environment says to build-push counts too.
type Options struct {
	Context   string      `group:"what is to be built" env:"CONTEXT" arg:"CONTEXT" help:"Build context, as of build-push."`
	File      string      `env:"FILE" placeholder:"FILE" help:"Dockerfile, as of build-push."`
	Platforms input.Words `env:"PLATFORMS" also:"DOCKER_DEFAULT_PLATFORM" help:"Platforms to build for; each is proved by running a program in a build."`

	Images    input.Records `env:"IMAGES" comments:"true" help:"Image names without tags, where tags are rules."`
	Tags      input.Records `env:"TAGS" comments:"true" help:"Full references, or with images rules. What they name is asked whether it may be pushed to."`
	Push      string        `env:"PUSH" envDefault:"auto" bare:"true" placeholder:"BOOL" help:"Whether to ask registries about a push: true, false, or auto, which is true where there is a name."`
	CacheFrom input.Records `env:"CACHE-FROM" help:"Caches that are imported."`
	CacheTo   input.Records `env:"CACHE-TO" help:"Caches that are exported."`

	SecretEnvs  input.Words `env:"SECRET-ENVS" help:"Secrets from environment variables, id=VARIABLE."`
	SecretFiles input.Lines `env:"SECRET-FILES" help:"Secrets from files, id=path."`
	SSH         input.Words `env:"SSH" help:"Agents and keys, as of build-push."`

	Builder            string      `group:"the builder" env:"BUILDER" help:"Builder to look at; the default is buildx's current one."`
	Driver             string      `env:"DRIVER" choices:"docker-container process remote docker" help:"Driver of a builder that would be made, where there is none."`
	Endpoint           string      `env:"ENDPOINT" help:"Engine that would run the builder."`
	InsecureRegistries []string    `env:"INSECURE-REGISTRIES" commas:"true" help:"Registries that may be spoken to over plain http, or with a certificate that nobody vouches for."`
	TrustRealms        input.Words `env:"TRUST-REALMS" placeholder:"HOST" help:"Token servers of another domain that may get a registry's credentials."`

	Only    input.Words   `group:"the checks" env:"ONLY" placeholder:"CHECKS" help:"Checks to do; the default is all."`
	Format  string        `env:"FORMAT" envDefault:"text" choices:"text json" help:"How standard output shows what was found."`
	Timeout time.Duration `env:"TIMEOUT" envDefault:"10s" help:"How long each check may take; they run at the same time."`
	Strict  bool          `env:"STRICT" envDefault:"false" help:"Fail where there is a warning, too."`
	cli.Common
}

// Verb is the command.
func Verb() cli.Verb {
	return cli.NewVerb(cli.Verb{
		Name:    "doctor",
		Summary: "check everything that a build will need, and say what to do",
		Reports: true,
		Long: `
Looks, before a build, at all that it will need, at the same time and within
seconds. It changes nothing: no emulator is registered, and no registry keeps
anything. Give it what build-push is given, or the same environment.

  hullwright doctor --tags registry.example/app:1 --platforms linux/arm64 .
  hullwright doctor --only engine,builder,disk --format json

The exit code is 0 where nothing stands in the way of a build, 4 where all that
does is a refusal, and 3 otherwise.

` + checkList(),
		Outputs: []cli.Output{
			{Name: "result", Help: "The gravest of what was found: ok, note, warning or error."},
			{Name: "findings", Help: "What was found that is not ok, as JSON."},
		},
	}, run)
}

// checkList is the help of every check.
func checkList() string {
	var b strings.Builder
	b.WriteString("checks:\n")
	for _, c := range doctor.Checks() {
		fmt.Fprintf(&b, "  %-13s%s\n", c.Name, c.Help)
	}
	return b.String()
}

// Check gives the faults of the options that are doctor's own. Those of a build
// are findings.
func (o Options) Check(context.Context, *cli.Env) error {
	var faults []error
	known := doctor.Names()
	for i, name := range o.Only {
		if !slices.Contains(known, name) {
			bad := errdefs.BadInputf("only", i+1, "unknown check %q", name)
			faults = append(faults, bad.WithHint("%s", suggestion(name, known)))
		}
	}
	if _, err := strconv.ParseBool(o.Push); err != nil && o.Push != "auto" {
		faults = append(faults, errdefs.BadInputf("push", 0, "%q is no boolean", o.Push).WithHint("one of true, false, auto"))
	}
	if o.Timeout <= 0 {
		faults = append(faults, errdefs.BadInputf("timeout", 0, "%s is no time to check anything in", o.Timeout))
	}
	return errors.Join(faults...)
}

func suggestion(name string, known []string) string {
	if near := errdefs.Nearest(name, known); near != "" {
		return "did you mean " + near + "?"
	}
	return "one of " + strings.Join(known, ", ")
}

func run(ctx context.Context, env *cli.Env, o Options) error {
	if err := o.Check(ctx, env); err != nil {
		return err
	}
	host, subject := read(ctx, env, o)
	found, err := doctor.Run(ctx, host, subject, doctor.Options{Only: o.Only, Limit: o.Timeout})
	if err != nil {
		return err
	}
	if err := show(env, o, found); err != nil {
		return err
	}
	return found.Err(o.Strict)
}

func show(env *cli.Env, o Options, found doctor.Report) error {
	found = report.Inert(env, found)
	list, err := json.Marshal(found.Wrong())
	if err != nil {
		return err
	}
	err = errors.Join(env.Output("result", string(found.Worst())), env.Output("findings", string(list)))
	if o.Format == "json" {
		return errors.Join(err, found.JSON(env.Stdout), report.Noticed(env, found))
	}
	return errors.Join(err, report.Checks(env, env.Stdout, found))
}
