package builder

import (
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/moby/buildkit/util/gitutil"
)

// What the frontend has to be able to do, as it is told in frontend.caps: one
// that is not says so, where it would leave the thing out in silence otherwise.
const (
	contextsCapability    = "moby.buildkit.frontend.contexts+forward"
	gitQueryCapability    = "moby.buildkit.frontend.gitquerystring"
	subrequestsCapability = "moby.buildkit.frontend.subrequests+forward"
)

// syntaxArg is the build argument that names another frontend.
const syntaxArg = "BUILDKIT_SYNTAX"

// frontend is BuildKit's own for Dockerfiles, or an image that is one.
func frontend(req Request) string {
	if req.BuildArgs[syntaxArg] != "" {
		return "gateway.v0"
	}
	return "dockerfile.v0"
}

// frontendAttrs is what the frontend is told:
// https://github.com/moby/buildkit/blob/master/frontend/dockerui/config.go
func frontendAttrs(req Request, platforms []v1.Platform, several bool) map[string]string {
	attrs := contextAttrs(req)
	set := func(k, v string) {
		if v != "" {
			attrs[k] = v
		}
	}
	set("target", req.Target)
	set("platform", strings.Join(platformNames(platforms), ","))
	for k, v := range req.BuildArgs {
		attrs["build-arg:"+k] = v
	}
	for k, v := range req.Labels {
		attrs["label:"+k] = v
	}
	for kind, v := range req.Attests {
		if req.Call.Method == "" {
			attrs["attest:"+kind] = v
		}
	}
	if syntax := strings.TrimSpace(req.BuildArgs[syntaxArg]); syntax != "" {
		image, _, _ := strings.Cut(syntax, " ")
		attrs["source"], attrs["cmdline"] = image, req.BuildArgs[syntaxArg]
	}
	if several || isTrue(req.BuildArgs["BUILDKIT_MULTI_PLATFORM"]) {
		attrs["multi-platform"] = "true" // an index, also of one platform
	}
	if req.Pull {
		attrs["image-resolve-mode"] = "pull"
	}
	set("no-cache", strings.Join(req.NoCacheStages, ","))
	if req.NoCache {
		attrs["no-cache"] = "" // present and empty is every stage
	}
	if req.Reproducible != nil {
		attrs["build-arg:SOURCE_DATE_EPOCH"] = strconv.FormatInt(*req.Reproducible, 10)
	}
	if req.Call.Method != "" {
		attrs["requestid"] = "frontend." + req.Call.Method
	}
	maps.Copy(attrs, stepAttrs(req))
	maps.Copy(attrs, vcsAttrs(req))
	set("frontend.caps", strings.Join(capabilities(req), ","))
	return attrs
}

// stepAttrs say how steps run.
func stepAttrs(req Request) map[string]string {
	attrs := maps.Clone(req.Limits)
	if attrs == nil {
		attrs = map[string]string{}
	}
	set := func(k, v string) {
		if v != "" {
			attrs[k] = v
		}
	}
	set("add-hosts", strings.Join(req.AddHosts, ","))
	set("cgroup-parent", req.CgroupParent)
	set("force-network-mode", req.Network)
	set("ulimit", strings.Join(req.Ulimits, ","))
	if req.ShmSize > 0 {
		attrs["shm-size"] = strconv.FormatInt(req.ShmSize, 10)
	}
	return attrs
}

// vcsAttrs say which commit a local context was checked out from; of a git
// context BuildKit knows it.
func vcsAttrs(req Request) map[string]string {
	if req.Context.Dir == "" {
		return nil
	}
	attrs := map[string]string{}
	if req.VCS.Source != "" {
		attrs["vcs:source"] = req.VCS.Source
	}
	if req.VCS.Revision != "" {
		attrs["vcs:revision"] = req.VCS.Revision
	}
	for name, dir := range localMounts(req) {
		rel, err := filepath.Rel(req.VCS.Root, dir)
		if req.VCS.Root != "" && err == nil && filepath.IsLocal(rel) {
			attrs["vcs:localdir:"+name] = rel
		}
	}
	return attrs
}

// capabilities are what the frontend must know for this request.
func capabilities(req Request) []string {
	need := map[string]bool{}
	if len(req.Named) > 0 {
		need[contextsCapability] = true
	}
	if hasGitQuery(req.Context.URL) {
		need[gitQueryCapability] = true
	}
	for _, c := range req.Named {
		if hasGitQuery(c.URL) {
			need[gitQueryCapability+"+forward"] = true
		}
	}
	if req.Call.Method != "" {
		need[subrequestsCapability] = true
	}
	return slices.Sorted(maps.Keys(need))
}

// hasGitQuery is whether a git address has options in a query, as ?ref=main.
func hasGitQuery(address string) bool {
	if address == "" {
		return false
	}
	u, err := gitutil.ParseURL(address)
	return err == nil && len(u.Query) > 0
}

// hasGitDir is whether a git address names a directory in the repository.
func hasGitDir(address string) bool {
	u, err := gitutil.ParseURL(address)
	return err == nil && u.Opts != nil && u.Opts.Subdir != ""
}

// entitlements are those that were asked for and the one that the network
// needs.
func entitlements(req Request) []string {
	list := slices.Clone(req.Entitlements)
	if req.Network == "host" && !slices.Contains(list, "network.host") {
		list = append(list, "network.host")
	}
	return list
}

// withInlineCache has the cache export that a build argument asks for, as
// docker build takes it.
func withInlineCache(req Request) []Cache {
	inline := func(c Cache) bool { return c.Type == "inline" }
	if !isTrue(req.BuildArgs["BUILDKIT_INLINE_CACHE"]) || slices.ContainsFunc(req.CacheTo, inline) {
		return req.CacheTo
	}
	return append(slices.Clone(req.CacheTo), Cache{Type: "inline"})
}

func isTrue(text string) bool {
	b, err := strconv.ParseBool(text)
	return err == nil && b
}
