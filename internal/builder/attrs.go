package builder

import (
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// frontendAttrs is what the Dockerfile frontend is told.
func frontendAttrs(req Request, platforms []v1.Platform, several bool) map[string]string {
	attrs := map[string]string{"filename": req.Context.Dockerfile}
	if req.Context.URL != "" {
		attrs["context"] = req.Context.URL
		if req.Context.DockerfileDir != "" {
			attrs["dockerfilekey"] = "dockerfile"
		}
	}
	if req.Target != "" {
		attrs["target"] = req.Target
	}
	for k, v := range req.BuildArgs {
		attrs["build-arg:"+k] = v
	}
	for k, v := range req.Labels {
		attrs["label:"+k] = v
	}
	if len(platforms) > 0 {
		attrs["platform"] = strings.Join(platformNames(platforms), ",")
	}
	if several {
		attrs["multi-platform"] = "true" // an index to merge, also of one platform
	}
	if req.Pull {
		attrs["image-resolve-mode"] = "pull"
	}
	if req.NoCache {
		attrs["no-cache"] = "" // present and empty is every stage
	}
	for kind, v := range req.Attests {
		attrs["attest:"+kind] = v
	}
	if req.Context.Dir != "" && req.VCS.Source != "" {
		attrs["vcs:source"] = req.VCS.Source
	}
	if req.Context.Dir != "" && req.VCS.Revision != "" {
		attrs["vcs:revision"] = req.VCS.Revision
	}
	return attrs
}

func localMounts(c BuildContext) map[string]string {
	mounts := map[string]string{}
	if c.Dir != "" {
		mounts["context"] = c.Dir
	}
	if c.DockerfileDir != "" {
		mounts["dockerfile"] = c.DockerfileDir
	}
	return mounts
}

func sharedKey(dir string) string {
	return dir[strings.LastIndexAny(dir, `/\`)+1:]
}
