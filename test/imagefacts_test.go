package test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// reader reads a manifest or blob.
type reader func(desc ocispec.Descriptor) ([]byte, error)

// repository adds the image of every tag of a repository.
func (f *found) repository(t *testing.T, repository, name string) {
	t.Helper()
	var list struct{ Tags []string }
	raw, err := fetch(repository, "tags/list")
	if err != nil {
		return // it has no repository of that name
	}
	check(t, json.Unmarshal(raw, &list))
	for _, tag := range list.Tags {
		raw, err := fetch(repository, "manifests/"+tag)
		check(t, err)
		f.image(t, name+":"+tag, descriptorOf(raw), registryReader(repository))
	}
}

// byDigest adds an image that need not have a tag.
func (f *found) byDigest(t *testing.T, repository, name, of string) {
	t.Helper()
	raw, err := fetch(repository, "manifests/"+of)
	if err != nil {
		return
	}
	f.image(t, name+"@digest", descriptorOf(raw), registryReader(repository))
}

func descriptorOf(manifest []byte) ocispec.Descriptor {
	var head struct{ MediaType string }
	json.Unmarshal(manifest, &head) // what is no manifest has no type
	return ocispec.Descriptor{MediaType: head.MediaType, Digest: digest.FromBytes(manifest), Size: int64(len(manifest))}
}

func registryReader(repository string) reader {
	return func(desc ocispec.Descriptor) ([]byte, error) {
		if strings.Contains(desc.MediaType, "manifest") || strings.Contains(desc.MediaType, "index") {
			return fetch(repository, "manifests/"+desc.Digest.String())
		}
		return fetch(repository, "blobs/"+desc.Digest.String())
	}
}

// fetch asks the registry, with repository as host/name.
func fetch(repository, what string) ([]byte, error) {
	host, name, _ := strings.Cut(repository, "/")
	req, err := http.NewRequest(http.MethodGet, "http://"+host+"/v2/"+name+"/"+what, nil)
	if err != nil {
		return nil, err
	}
	for _, mediaType := range []string{
		ocispec.MediaTypeImageIndex, ocispec.MediaTypeImageManifest,
		"application/vnd.docker.distribution.manifest.list.v2+json", "application/vnd.docker.distribution.manifest.v2+json",
	} {
		req.Header.Add("Accept", mediaType)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s/%s: %s: %w", repository, what, resp.Status, os.ErrNotExist)
	}
	return raw, err
}

// layout adds the images of an OCI layout.
func (f *found) layout(t *testing.T, at string, index []byte, file func(name string) ([]byte, error)) {
	t.Helper()
	var list ocispec.Index
	check(t, json.Unmarshal(index, &list))
	read := func(desc ocispec.Descriptor) ([]byte, error) {
		return file(path.Join("blobs", desc.Digest.Algorithm().String(), desc.Digest.Encoded()))
	}
	for i, desc := range list.Manifests {
		name := fmt.Sprintf("%s/images/%d", at, i)
		f.facts[name+"/mediaType"] = desc.MediaType
		for key, value := range desc.Annotations {
			f.facts[name+"/annotations/"+key] = value
		}
		f.image(t, name, desc, read)
	}
}

// image adds an index or a manifest and all below it.
func (f *found) image(t *testing.T, at string, desc ocispec.Descriptor, read reader) {
	t.Helper()
	raw, err := read(desc)
	if err != nil {
		t.Errorf("%s: %v", at, err)
		return
	}
	var index ocispec.Index
	check(t, json.Unmarshal(raw, &index))
	if len(index.Manifests) == 0 {
		f.manifest(t, at, desc, raw, read)
		return
	}
	f.facts[at+"/mediaType"] = index.MediaType
	for key, value := range index.Annotations {
		f.facts[at+"/annotations/"+key] = value
	}
	names := childNames(index)
	f.facts[at+"/manifests"] = strings.Join(names, " ")
	for i, child := range index.Manifests {
		f.child(t, at+"/"+names[i], child, read)
		if attested(child) || f.fresh {
			f.roles[desc.Digest.Encoded()] = "index"
		}
	}
	f.facts[at+"/digest"] = desc.Digest.String()
}

// attested is whether a descriptor is of an attestation.
func attested(desc ocispec.Descriptor) bool {
	return desc.Annotations["vnd.docker.reference.type"] != ""
}

// childNames names the manifests of an index by their platforms, an attestation
// by that of its image.
func childNames(index ocispec.Index) []string {
	platforms := map[string]string{}
	var names []string
	for i, child := range index.Manifests {
		name := fmt.Sprint(i)
		if p := child.Platform; p != nil {
			name = strings.TrimSuffix(p.OS+"/"+p.Architecture+"/"+p.Variant, "/")
		}
		if attested(child) {
			name = "attestation/" + platforms[child.Annotations["vnd.docker.reference.digest"]]
		}
		platforms[child.Digest.String()] = name
		names = append(names, name)
	}
	return names
}

// child adds an entry of an index.
func (f *found) child(t *testing.T, at string, desc ocispec.Descriptor, read reader) {
	t.Helper()
	raw, err := json.Marshal(desc)
	check(t, err)
	f.json(t, at+"/descriptor", raw)
	if attested(desc) {
		// It holds when it was built.
		f.roles[desc.Digest.Encoded()] = "attestation"
		delete(f.facts, at+"/descriptor/size")
	}
	f.image(t, at, desc, read)
}

// manifest adds a manifest, its config and its layers.
func (f *found) manifest(t *testing.T, at string, desc ocispec.Descriptor, raw []byte, read reader) {
	t.Helper()
	var m ocispec.Manifest
	check(t, json.Unmarshal(raw, &m))
	f.facts[at+"/digest"] = desc.Digest.String()
	f.facts[at+"/mediaType"] = m.MediaType
	if m.ArtifactType != "" {
		f.facts[at+"/artifactType"] = m.ArtifactType
	}
	if f.fresh && m.Subject == nil {
		f.roles[desc.Digest.Encoded()] = "image"
	}
	f.facts[at+"/config/mediaType"] = m.Config.MediaType
	for key, value := range m.Annotations {
		f.facts[at+"/annotations/"+key] = value
	}
	if m.Subject != nil {
		f.facts[at+"/subject"] = m.Subject.Digest.String()
	}
	if config, err := read(m.Config); err == nil {
		f.json(t, at+"/config", config)
	}
	f.facts[at+"/layers"] = fmt.Sprint(len(m.Layers))
	for i, layer := range m.Layers {
		f.layer(t, fmt.Sprintf("%s/layers/%d", at, i), layer, read)
	}
}

// layer adds a layer: a statement's contents, and the files where all is built
// twice.
func (f *found) layer(t *testing.T, at string, layer ocispec.Descriptor, read reader) {
	t.Helper()
	raw, err := json.Marshal(layer)
	check(t, err)
	f.json(t, at, raw)
	blob, err := read(layer)
	if err != nil {
		t.Errorf("%s: %v", at, err)
		return
	}
	switch {
	case strings.Contains(layer.MediaType, "in-toto"):
		f.roles[layer.Digest.Encoded()] = "statement"
		delete(f.facts, at+"/size")
		f.statement(t, at+"/statement", blob)
	case strings.Contains(layer.MediaType, "tar"):
		for header, content := range untar(t, blob) {
			f.facts[at+"/files/"+path.Clean(header.Name)] = fmt.Sprintf("%s %d:%d %s", header.FileInfo().Mode(), header.Uid, header.Gid, digest.FromBytes(content))
		}
	}
}
