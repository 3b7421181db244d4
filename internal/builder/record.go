package builder

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/content/proxy"
	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/client"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hullwright/hullwright/internal/ci"
	"github.com/hullwright/hullwright/internal/errdefs"
)

// The names that a build record goes by are those of docker buildx history
// export, so that Docker Desktop reads it:
// https://github.com/docker/buildx/blob/v0.37.0/util/desktop/bundle/export.go
const (
	recordType      = "application/vnd.buildkit.historyrecord.v0"
	recordRef       = "vnd.buildkit.history.reference"
	recordMediaType = "vnd.export-build.descriptor.mediatype"
)

// RecordNode is a node as a build record needs it.
type RecordNode struct {
	Client   *client.Client
	Platform string // the node's own
}

// WriteRecord writes what the nodes recorded of the result's builds, failed ones
// too, as a .dockerbuild file: a gzipped OCI layout with the logs, the trace and
// the attestations. The values of secrets are overwritten in all of it; buildx
// leaves those that a build printed.
func (r Result) WriteRecord(ctx context.Context, w io.Writer, nodes func(name string) (RecordNode, error), secrets *ci.Secrets) error {
	zip := gzip.NewWriter(w)
	layout := newRecordLayout(zip)
	var manifests []ocispecs.Descriptor
	for _, part := range r.Begun {
		node, err := nodes(part.Node)
		if err != nil {
			return err
		}
		a := archivist{layout: layout, store: proxy.NewContentStore(node.Client.ContentClient()), secrets: secrets}
		desc, err := a.record(ctx, node, part.Ref)
		if err != nil {
			return errdefs.New(errdefs.Environment, "record of build %s: %w", part.Ref, err)
		}
		manifests = append(manifests, desc)
	}
	if err := layout.finish(manifests, r.Begun); err != nil {
		return err
	}
	return zip.Close()
}

// record is the build record's JSON.
type record struct {
	*controlapi.BuildHistoryRecord
	DefaultPlatform string
}

// archivist puts one build into a layout.
type archivist struct {
	layout  *recordLayout
	store   content.Store
	secrets *ci.Secrets
}

func (a archivist) record(ctx context.Context, node RecordNode, ref string) (ocispecs.Descriptor, error) {
	// The trace is not there before.
	if _, err := node.Client.ControlClient().UpdateBuildHistory(ctx, &controlapi.UpdateBuildHistoryRequest{Ref: ref, Finalize: true}); err != nil {
		return ocispecs.Descriptor{}, err
	}
	history, err := historyRecord(ctx, node.Client, ref)
	if err != nil {
		return ocispecs.Descriptor{}, err
	}
	layers, err := a.layers(ctx, history)
	if err != nil {
		return ocispecs.Descriptor{}, err
	}
	if imports, ok := history.FrontendAttrs["cache-imports"]; ok {
		history.FrontendAttrs["cache-imports"] = withoutCredentials(imports)
	}
	config, err := a.layout.json(recordType, record{history, node.Platform}, a.secrets)
	if err != nil {
		return ocispecs.Descriptor{}, err
	}
	return a.layout.json(ocispecs.MediaTypeImageManifest, ocispecs.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispecs.MediaTypeImageManifest,
		Config:    config,
		Layers:    layers,
	}, nil)
}

// layers adds all that a record points to. The record then points to what was
// added.
func (a archivist) layers(ctx context.Context, history *controlapi.BuildHistoryRecord) ([]ocispecs.Descriptor, error) {
	var layers []ocispecs.Descriptor
	add := func(desc *controlapi.Descriptor, copy func(context.Context, *controlapi.Descriptor) (ocispecs.Descriptor, error)) error {
		if desc == nil {
			return nil
		}
		copied, err := copy(ctx, desc)
		if err != nil {
			return fmt.Errorf("%s %s: %w", desc.MediaType, desc.Digest, err)
		}
		if !slices.ContainsFunc(layers, func(l ocispecs.Descriptor) bool { return l.Digest == copied.Digest }) {
			layers = append(layers, copied)
		}
		return nil
	}
	if err := add(history.Trace, a.trace); err != nil {
		return nil, err
	}
	if err := add(history.Logs, a.blotted); err != nil {
		return nil, err
	}
	results := []*controlapi.BuildResultInfo{history.Result}
	for _, platform := range slices.Sorted(maps.Keys(history.Results)) {
		results = append(results, history.Results[platform])
	}
	for _, result := range results {
		for _, attestation := range result.GetAttestations() {
			if err := add(attestation, a.blotted); err != nil {
				return nil, err
			}
		}
		for _, i := range slices.Sorted(maps.Keys(result.GetResults())) {
			if err := add(result.Results[i], a.manifest); err != nil {
				return nil, err
			}
		}
	}
	return layers, add(history.ExternalError, a.blotted)
}

// blotted copies content with its secrets overwritten. Both the logs, which are
// messages of protobuf, and JSON stay what they are, since no length changes.
func (a archivist) blotted(ctx context.Context, desc *controlapi.Descriptor) (ocispecs.Descriptor, error) {
	from := described(desc)
	hash := digest.Canonical.Digester()
	if err := a.copy(ctx, hash.Hash(), from); err != nil { // the name comes before the content
		return ocispecs.Descriptor{}, err
	}
	desc.Digest = hash.Digest().String()
	return described(desc), a.layout.blob(described(desc), func(w io.Writer) error { return a.copy(ctx, w, from) })
}

func (a archivist) copy(ctx context.Context, w io.Writer, desc ocispecs.Descriptor) error {
	ra, err := a.store.ReaderAt(ctx, desc)
	if err != nil {
		return err
	}
	defer ra.Close()
	return blot(w, io.NewSectionReader(ra, 0, ra.Size()), a.secrets)
}

// blot copies r to w with the secrets overwritten.
func blot(w io.Writer, r io.Reader, secrets *ci.Secrets) error {
	buf := make([]byte, 64<<10)
	held := 0
	for {
		n, err := r.Read(buf[held:])
		end := held + n
		held = secrets.Blot(buf[:end], err == io.EOF)
		if _, err := w.Write(buf[:end-held]); err != nil {
			return err
		}
		copy(buf, buf[end-held:end])
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case held == len(buf): // a secret that is longer
			buf = append(buf, make([]byte, len(buf))...)
		}
	}
}

// manifest copies an image's manifest. Its type is hidden, else readers would
// look for its layers, which a record has not.
func (a archivist) manifest(ctx context.Context, desc *controlapi.Descriptor) (ocispecs.Descriptor, error) {
	out := described(desc)
	raw, err := content.ReadBlob(ctx, a.store, out)
	if err != nil {
		return ocispecs.Descriptor{}, err
	}
	out.Annotations = maps.Clone(out.Annotations)
	if out.Annotations == nil {
		out.Annotations = map[string]string{}
	}
	out.Annotations[recordMediaType], out.MediaType = out.MediaType, "application/json"
	return out, a.layout.bytes(out, raw)
}

// longestTrace is the largest trace that is read, in bytes.
const longestTrace = 256 << 20

// trace copies the trace without credentials.
func (a archivist) trace(ctx context.Context, desc *controlapi.Descriptor) (ocispecs.Descriptor, error) {
	if desc.Size > longestTrace {
		return ocispecs.Descriptor{}, fmt.Errorf("%d bytes are too large", desc.Size)
	}
	raw, err := content.ReadBlob(ctx, a.store, described(desc))
	if err != nil {
		return ocispecs.Descriptor{}, err
	}
	var clean bytes.Buffer
	enc := json.NewEncoder(&clean)
	enc.SetIndent("", "  ")
	for dec := json.NewDecoder(bytes.NewReader(raw)); ; {
		var span map[string]any
		dec.UseNumber()
		if err := dec.Decode(&span); err == io.EOF {
			break
		} else if err != nil {
			return ocispecs.Descriptor{}, err
		}
		if err := enc.Encode(scrub(span)); err != nil {
			return ocispecs.Descriptor{}, err
		}
	}
	text := clean.Bytes()
	a.secrets.Blot(text, true)
	desc.Digest, desc.Size = digest.FromBytes(text).String(), int64(len(text))
	return described(desc), a.layout.bytes(described(desc), text)
}

// credential is what a trace may show of a cache's attributes and of GitHub.
var credential = regexp.MustCompile(`(?i)((?:ghtoken|token|access_key_id|secret_access_key|session_token)=)[^ ,]+|(?:ghu|ghs)_[A-Za-z0-9]{36}|github_pat_\w{82}`)

// scrub is a value of JSON without credentials.
func scrub(v any) any {
	switch v := v.(type) {
	case string:
		return credential.ReplaceAllString(v, "${1}xxxxx")
	case []any:
		for i := range v {
			v[i] = scrub(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = scrub(v[k])
		}
	}
	return v
}

// withoutCredentials is the frontend's list of cache imports with the attributes
// that name a cache, and no others.
func withoutCredentials(imports string) string {
	var list []struct {
		Type  string
		Attrs map[string]string
	}
	if json.Unmarshal([]byte(imports), &list) != nil {
		return ""
	}
	for _, entry := range list {
		maps.DeleteFunc(entry.Attrs, func(key, _ string) bool { return key != "scope" && key != "ref" })
	}
	raw, err := json.Marshal(list)
	if err != nil {
		return ""
	}
	return string(raw)
}

func described(desc *controlapi.Descriptor) ocispecs.Descriptor {
	return ocispecs.Descriptor{
		MediaType:   desc.MediaType,
		Digest:      digest.Digest(desc.Digest),
		Size:        desc.Size,
		Annotations: desc.Annotations,
	}
}

// recordLayout is an OCI image layout in a tar.
type recordLayout struct {
	tar     *tar.Writer
	written map[digest.Digest]bool
}

func newRecordLayout(w io.Writer) *recordLayout {
	return &recordLayout{tar: tar.NewWriter(w), written: map[digest.Digest]bool{}}
}

// json adds a value, its secrets overwritten.
func (l *recordLayout) json(mediaType string, v any, secrets *ci.Secrets) (ocispecs.Descriptor, error) {
	raw, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return ocispecs.Descriptor{}, err
	}
	secrets.Blot(raw, true)
	desc := ocispecs.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
	return desc, l.bytes(desc, raw)
}

func (l *recordLayout) bytes(desc ocispecs.Descriptor, raw []byte) error {
	return l.blob(desc, func(w io.Writer) error {
		_, err := w.Write(raw)
		return err
	})
}

func (l *recordLayout) blob(desc ocispecs.Descriptor, write func(io.Writer) error) error {
	if l.written[desc.Digest] {
		return nil
	}
	l.written[desc.Digest] = true
	if err := desc.Digest.Validate(); err != nil {
		return err
	}
	name := "blobs/" + desc.Digest.Algorithm().String() + "/" + desc.Digest.Encoded()
	if err := l.header(name, desc.Size); err != nil {
		return err
	}
	return write(l.tar)
}

func (l *recordLayout) header(name string, size int64) error {
	return l.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o444, Size: size})
}

func (l *recordLayout) file(name string, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := l.header(name, int64(len(raw))); err != nil {
		return err
	}
	_, err = l.tar.Write(raw)
	return err
}

// finish names the one build, or an index of several.
func (l *recordLayout) finish(manifests []ocispecs.Descriptor, parts []Part) error {
	top := manifests
	if len(manifests) > 1 {
		for i := range manifests {
			manifests[i].Annotations = map[string]string{recordRef: parts[i].Ref}
		}
		desc, err := l.json(ocispecs.MediaTypeImageIndex, ocispecs.Index{
			Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispecs.MediaTypeImageIndex, Manifests: manifests,
		}, nil)
		if err != nil {
			return err
		}
		top = []ocispecs.Descriptor{desc}
	}
	if err := l.file(ocispecs.ImageLayoutFile, ocispecs.ImageLayout{Version: ocispecs.ImageLayoutVersion}); err != nil {
		return err
	}
	index := ocispecs.Index{Versioned: specs.Versioned{SchemaVersion: 2}, Manifests: top}
	if err := l.file(ocispecs.ImageIndexFile, index); err != nil {
		return err
	}
	return l.tar.Close()
}
