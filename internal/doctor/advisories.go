package doctor

import (
	"context"
	"fmt"
	"strings"

	"github.com/Masterminds/semver/v3"
)

// safeBuildKit is the first version without a known advisory.
const safeBuildKit = "v0.34.2"

// advisory is what was wrong in BuildKit before a version.
type advisory struct {
	fixed string // the version
	ids   string
	what  string
}

// advisories are those of https://github.com/moby/buildkit/security/advisories
// that a builder is endangered by, the newest first.
func advisories() []advisory {
	return []advisory{
		{safeBuildKit, "GHSA-w26x-xg27-7qjc, GHSA-2fqp-xg6f-v7gj", "extended attributes of a layer change files outside of the state directory"},
		{"v0.31.2", "GHSA-hw3h-2gp9-cxpv", "a git bundle runs commands"},
		{"v0.31.1", "GHSA-7236-3392-c5c6", "steps get around the seccomp filter"},
		{"v0.28.1", "CVE-2026-33747, CVE-2026-33748", "a frontend or a git subdirectory reaches files outside of the state directory"},
		{"v0.12.5", "CVE-2024-23650, CVE-2024-23651, CVE-2024-23652, CVE-2024-23653", "a frontend or a mount breaks out of a step"},
		{"v0.11.4", "GHSA-gc89-7gcr-jxqc", "provenance has the credentials of git addresses"},
	}
}

func checkBuildKit(_ context.Context, r *run) []Finding {
	b, left := r.booted()
	if b == nil {
		return left
	}
	var list []Finding
	for _, n := range b.Nodes {
		list = append(list, judgeVersion(n.Name, n.Version))
	}
	return list
}

// judgeVersion says what is known against a node's BuildKit. An engine's own
// tells another name than a version's, and is as new as the engine.
func judgeVersion(node, version string) Finding {
	// A release's own name, without what a distribution or a builder put behind.
	own, err := semver.NewVersion(version)
	if err != nil {
		return find("buildkit-unknown", node, "version %q is none of a release", version)
	}
	var against []string
	for _, a := range advisories() {
		if own.LessThan(semver.MustParse(a.fixed)) {
			against = append(against, fmt.Sprintf("%s (%s; fixed in %s)", a.ids, a.what, a.fixed))
		}
	}
	if len(against) > 0 {
		return find("buildkit-advisories", node, "BuildKit %s has known vulnerabilities: %s", version, strings.Join(against, "; "))
	}
	return ok(node, "BuildKit %s", version)
}
