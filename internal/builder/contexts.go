package builder

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"strings"
)

// defaultDockerfile is the name of a Dockerfile that has no other.
const defaultDockerfile = "Dockerfile"

// What [Solve] says of standard input.
const (
	stdinContext    = "context"
	stdinDockerfile = "dockerfile"
)

func stdinOf(c BuildContext) string {
	switch {
	case c.Stdin:
		return stdinContext
	case c.DockerfileStdin:
		return stdinDockerfile
	}
	return ""
}

// contextAttrs say where the Dockerfile and the contexts are.
func contextAttrs(req Request) map[string]string {
	c := req.Context
	attrs := map[string]string{"filename": c.Dockerfile}
	if attrs["filename"] == "" {
		attrs["filename"] = defaultDockerfile
	}
	if c.URL != "" {
		attrs["context"] = c.URL
	}
	switch {
	case c.DockerfileURL != "" || c.DockerfileStdin:
		attrs["filename"], attrs["dockerfilekey"] = defaultDockerfile, "dockerfile"
	case c.Dir == "" && c.DockerfileDir != "":
		attrs["dockerfilekey"] = "dockerfile" // it is not in the context
	}
	for name, n := range req.Named {
		switch {
		case n.Image != "":
			attrs["context:"+name] = "docker-image://" + n.Image
		case n.URL != "":
			attrs["context:"+name] = n.URL
		case n.Layout.Dir != "":
			attrs["context:"+name] = n.Layout.reference()
		default:
			attrs["context:"+name] = "local:" + mountName(name)
			attrs[sharedKeyAttr+name] = sharedKey(n.Dir)
		}
	}
	return attrs
}

// localMounts are the directories that the daemon may read.
func localMounts(req Request) map[string]string {
	mounts := map[string]string{}
	if req.Context.Dir != "" {
		mounts["context"] = req.Context.Dir
	}
	if req.Context.DockerfileDir != "" {
		mounts["dockerfile"] = req.Context.DockerfileDir
	}
	for name, n := range req.Named {
		if n.Dir != "" {
			mounts[mountName(name)] = n.Dir
		}
	}
	return mounts
}

// mountName is a named context's mount. Two names are taken.
func mountName(name string) string {
	if name == "context" || name == "dockerfile" {
		return "_" + name
	}
	return name
}

// sharedKey is a name of a directory that no other directory has. Of one key
// BuildKit takes a file for the one that it got before where size, mode and time
// are the same, so that a key of the last part of the path alone, as buildx's
// on one machine, can put the file of another directory into an image.
func sharedKey(dir string) string {
	sum := sha256.Sum256([]byte(dir))
	return dir[strings.LastIndexAny(dir, `/\`)+1:] + ":" + hex.EncodeToString(sum[:8])
}

// sharedKeyAttr begins the frontend's attribute that has a named directory's key.
const sharedKeyAttr = "sharedkey:localdir:"

// machineKey is a directory's key on this machine, as buildx makes it of its own.
func (in *inputs) machineKey(key string) string {
	if key == "" || in.session.Machine == "" {
		return key
	}
	return key + ":" + in.session.Machine
}

// machineAttrs are a solve's attributes with the keys of this machine.
func (in *inputs) machineAttrs(attrs map[string]string) map[string]string {
	attrs = maps.Clone(attrs)
	for name, value := range attrs {
		if strings.HasPrefix(name, sharedKeyAttr) {
			attrs[name] = in.machineKey(value)
		}
	}
	return attrs
}

// layouts are the directories of OCI layouts by their stores' ids.
func layouts(named map[string]NamedContext) map[string]string {
	var dirs map[string]string
	for _, n := range named {
		if n.Layout.Dir == "" {
			continue
		}
		if dirs == nil {
			dirs = map[string]string{}
		}
		dirs[n.Layout.store()] = n.Layout.Dir
	}
	return dirs
}

// store is the id under which the daemon asks for the layout's content.
func (l OCILayout) store() string {
	sum := sha256.Sum256([]byte(l.Dir))
	return hex.EncodeToString(sum[:12])
}

// reference is the layout's image as the frontend takes it, with the tag that
// buildx gives one that has none. One without a digest gets it when the layout
// is read.
func (l OCILayout) reference() string {
	ref := layoutScheme + l.store() + ":" + cmp.Or(l.Tag, "latest")
	if l.Digest != "" {
		ref += "@" + l.Digest
	}
	return ref
}

const layoutScheme = "oci-layout://"
