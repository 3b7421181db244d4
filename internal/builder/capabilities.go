package builder

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
	"github.com/moby/buildkit/client"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/apicaps"
	"github.com/moby/buildkit/util/grpcerrors"
	"google.golang.org/grpc/codes"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// need is something that not every daemon is able to do.
type need struct {
	capability apicaps.CapID
	input      string
	what       string
	since      string // BuildKit's version that brought it
}

// needs are what a solve wants of the daemon beyond what all of them do, each
// capability once. What the daemon's version is known to have is not among them:
// capabilities are BuildKit's own, whatever its configuration, and to ask for
// them is a build.
func needs(solve Solve) []need {
	list := slices.Concat(
		cacheNeeds("cache-from", solve.CacheImports), cacheNeeds("cache-to", solve.CacheExports),
		exportNeeds(solve.Exports), frontendNeeds(solve.FrontendAttrs),
	)
	if len(solve.Layouts) > 0 {
		list = append(list, need{pb.CapSourceOCILayout, "build-contexts", "contexts of an OCI layout", "0.11"})
	}
	for _, e := range solve.Entitlements {
		if strings.HasPrefix(e, "device") {
			list = append(list, need{pb.CapExecMetaCDI, "allow", "devices", "0.20"})
		}
	}
	seen := map[apicaps.CapID]bool{}
	has, err := semver.NewVersion(solve.BuildKit)
	return slices.DeleteFunc(list, func(n need) bool {
		done := seen[n.capability] || err == nil && !has.LessThan(semver.MustParse(n.since))
		seen[n.capability] = true
		return done
	})
}

func cacheNeeds(input string, caches []Cache) []need {
	var list []need
	for _, c := range caches {
		if capability, since := cacheCapability(c.Type); since != "" {
			list = append(list, need{capability, input, "cache of type " + c.Type, since})
		}
	}
	return list
}

func exportNeeds(exports []Export) []need {
	var list []need
	if len(exports) > 1 {
		list = append(list, need{pb.CapMultipleExporters, "outputs", "more than one output or repository", "0.13"})
	}
	for _, e := range exports {
		for k := range e.Attrs {
			if strings.HasPrefix(k, "annotation") {
				list = append(list, need{pb.CapAnnotations, "annotations", "annotations", "0.11"})
			}
		}
	}
	return list
}

func frontendNeeds(attrs map[string]string) []need {
	var list []need
	for _, k := range slices.Sorted(maps.Keys(attrs)) {
		kind, attests := strings.CutPrefix(k, "attest:")
		named := strings.HasPrefix(k, "context:")
		switch {
		case attests && (kind == "provenance" || kind == "sbom"):
			list = append(list, need{pb.CapAttestations, kind, "attestations", "0.11"})
		case attests:
			list = append(list, need{pb.CapAttestations, "attests", "attestations", "0.11"})
		case k == "context" && hasGitDir(attrs[k]):
			list = append(list, need{pb.CapSourceGitSubdir, "context", gitDir, "0.9"})
		case named && hasGitDir(attrs[k]):
			list = append(list, need{pb.CapSourceGitSubdir, "build-contexts", gitDir, "0.9"})
		}
	}
	for _, n := range attrNeeds {
		if attrs[n.attr] != "" {
			list = append(list, n.need)
		}
	}
	return list
}

const gitDir = "a directory of a git repository as a context"

// attrNeeds are attributes of a frontend that an older daemon's leaves out in
// silence.
var attrNeeds = []struct {
	attr string
	need need
}{
	{"shm-size", need{pb.CapExecMountTmpfsSize, "shm-size", "the size of /dev/shm", "0.10"}},
	{"ulimit", need{pb.CapExecMetaUlimit, "ulimit", "limits of a step's processes", "0.10"}},
	{"cgroup-parent", need{pb.CapExecMetaCgroupParent, "cgroup-parent", "a step's control group", "0.10"}},
	{"memory", stepLimit},
	{"memswap", stepLimit},
	{"cpushares", stepLimit},
	{"cpuperiod", stepLimit},
	{"cpuquota", stepLimit},
	{"cpusetcpus", stepLimit},
	{"cpusetmems", stepLimit},
}

var stepLimit = need{pb.CapExecMetaLinuxResources, "resources", "limits of a step's resources", "0.33"}

func cacheCapability(kind string) (capability apicaps.CapID, since string) {
	switch kind {
	case "gha":
		return pb.CapRemoteCacheGHA, "0.11"
	case "s3":
		return pb.CapRemoteCacheS3, "0.11"
	case "azblob":
		return pb.CapRemoteCacheAzBlob, "0.11"
	}
	return "", ""
}

// check asks the daemon whether it is able to do what a solve needs; BuildKit
// would leave some of it out in silence. Where nothing is needed, nobody is
// asked.
func (r *request) check(ctx context.Context, node *client.Client, list []need) error {
	if len(list) == 0 {
		return nil
	}
	if r.able == nil {
		able, err := daemonCapabilities(ctx, node)
		if err != nil {
			return errdefs.New(errdefs.Environment, "ask the builder what it is able to do: %w", err)
		}
		r.able = &able
	}
	var faults []error
	for _, n := range list {
		if r.able.Supports(n.capability) != nil {
			faults = append(faults, &errdefs.Error{
				Kind: errdefs.Environment, Input: n.input,
				Err:  errors.New(n.what + ": this builder's BuildKit is not able to do it"),
				Hint: "it takes BuildKit " + n.since + " or newer: make a builder with hullwright setup",
			})
		}
	}
	return errors.Join(faults...)
}

// daemonCapabilities are what a daemon says that its solver is able to do. It
// tells a build only, so an empty one is begun.
func daemonCapabilities(ctx context.Context, node *client.Client) (apicaps.CapSet, error) {
	var caps apicaps.CapSet
	_, err := node.Build(ctx, client.SolveOpt{Internal: true}, "", func(_ context.Context, c gateway.Client) (*gateway.Result, error) {
		caps = c.BuildOpts().LLBCaps
		return gateway.NewResult(), nil
	}, nil)
	return caps, err
}

// frontendFaults are what a frontend says of a capability that it lacks, and
// what that is to a person.
var frontendFaults = []struct{ text, input, says, hint string }{
	{
		"unsupported frontend capability moby.buildkit.frontend.contexts", "build-contexts", "this Dockerfile frontend takes no further contexts",
		"they came with docker/dockerfile 1.4: name a newer one in the Dockerfile's # syntax= line, or leave it out",
	},
	{
		"unsupported frontend capability moby.buildkit.frontend.gitquerystring", "context", "this Dockerfile frontend takes no git address with a query",
		"they came with docker/dockerfile 1.18 and BuildKit 0.24: name a newer one in the Dockerfile's # syntax= line, or write https://host/repo.git#ref:dir",
	},
	{
		"unsupported request frontend.", "call", "this Dockerfile frontend does not know the question",
		"name a newer one in the Dockerfile's # syntax= line, or ask another builder: hullwright setup makes one",
	},
	{
		"unsupported frontend capability moby.buildkit.frontend.subrequests", "call", "this Dockerfile frontend answers no questions",
		"name a newer one in the Dockerfile's # syntax= line, or leave it out",
	},
}

// explain says that policies can't be evaluated any more, which of them refused a
// source, or which input a frontend can't take; other errors are as they were.
func (r *request) explain(err error) error {
	if r.rules != nil && grpcerrors.Code(err) == codes.Unavailable { // a call that nobody answered
		if fault := r.rules.Fault(); fault != nil {
			return fault
		}
	}
	if denied := r.denied(err); denied != nil {
		return denied
	}
	for _, f := range frontendFaults {
		if strings.Contains(err.Error(), f.text) {
			return errdefs.BadInputf(f.input, 0, "%s", f.says).WithHint("%s", f.hint)
		}
	}
	return err
}
