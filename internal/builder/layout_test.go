package builder

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// layoutDir is a layout that a test writes.
type layoutDir struct {
	t   *testing.T
	dir string
}

func newLayoutDir(t *testing.T) layoutDir {
	t.Helper()
	l := layoutDir{t, t.TempDir()}
	l.check(os.MkdirAll(filepath.Join(l.dir, "blobs", "sha256"), 0o755))
	return l
}

func (l layoutDir) check(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

func (l layoutDir) blob(mediaType string, content any) ocispecs.Descriptor {
	l.t.Helper()
	raw, err := json.Marshal(content)
	l.check(err)
	desc := ocispecs.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
	l.check(os.WriteFile(l.path(desc.Digest), raw, 0o644))
	return desc
}

func (l layoutDir) path(d digest.Digest) string {
	return filepath.Join(l.dir, "blobs", "sha256", d.Encoded())
}

func (l layoutDir) manifest(name string) ocispecs.Descriptor {
	l.t.Helper()
	config := l.blob(ocispecs.MediaTypeImageConfig, map[string]string{"os": "linux", "for": name})
	return l.blob(ocispecs.MediaTypeImageManifest, ocispecs.Manifest{MediaType: ocispecs.MediaTypeImageManifest, Config: config, Layers: []ocispecs.Descriptor{}})
}

func (l layoutDir) index(manifests ...ocispecs.Descriptor) {
	l.t.Helper()
	raw, err := json.Marshal(ocispecs.Index{Manifests: manifests})
	l.check(err)
	l.check(os.WriteFile(filepath.Join(l.dir, "index.json"), raw, 0o644))
}

func named(d ocispecs.Descriptor, name string) ocispecs.Descriptor {
	d.Annotations = map[string]string{ocispecs.AnnotationRefName: name}
	return d
}

func (l layoutDir) pin(ref string) (string, error) {
	l.t.Helper()
	root, err := os.OpenRoot(l.dir)
	l.check(err)
	defer root.Close()
	return layout{root}.pin(ref)
}

func TestLayoutPin(t *testing.T) {
	l := newLayoutDir(t)
	one, two := l.manifest("one"), l.manifest("two")
	whole := l.blob(ocispecs.MediaTypeImageIndex, ocispecs.Index{Manifests: []ocispecs.Descriptor{one, two}})
	full := named(two, "1.0")
	full.Annotations[imageNameAnnotation] = "docker.io/library/app:1.0"
	l.index(named(one, "latest"), full, named(whole, "index"))
	for ref, want := range map[string]string{
		":latest":                  ":latest@" + one.Digest.String(),
		":1.0":                     ":1.0@" + two.Digest.String(),
		":index":                   ":index@" + whole.Digest.String(),
		":x@" + string(one.Digest): ":x@" + one.Digest.String(),
	} {
		if got, err := l.pin(ref); err != nil || got != want {
			t.Errorf("pin(%s) = %q, %v, want %q", ref, got, err, want)
		}
	}
	if _, err := l.pin(":2.0"); err == nil || !strings.Contains(err.Error(), "it has latest, 1.0, index") {
		t.Errorf("a tag that is not there: %v, want the names of those that are", err)
	}
	l.index(named(one, "v1"))
	if got, err := l.pin(":latest"); err != nil || got != ":latest@"+one.Digest.String() {
		t.Errorf("the only image: %q, %v", got, err)
	}
	if _, err := l.pin(":v2"); err == nil {
		t.Error("the only image is taken for another that was named")
	}
	l.index(one)
	if got, err := l.pin(":v2"); err != nil || got != ":v2@"+one.Digest.String() {
		t.Errorf("the only image, which has no name: %q, %v", got, err)
	}
}

// A layout may come from a stranger: whatever it holds ends in an error, soon.
func TestLayoutHostile(t *testing.T) {
	cases := map[string]struct {
		make  func(l layoutDir) string // gives what is asked for
		fault string
	}{
		"no index": {func(layoutDir) string { return ":latest" }, "no such file"},
		"index of 100 MB": {func(l layoutDir) string {
			f, err := os.Create(filepath.Join(l.dir, "index.json"))
			l.check(err)
			l.check(f.Truncate(100 << 20))
			l.check(f.Close())
			return ":latest"
		}, "more than"},
		"100000 images": {func(l layoutDir) string {
			one := l.manifest("one")
			list := make([]ocispecs.Descriptor, 100_000)
			for i := range list {
				list[i] = named(one, fmt.Sprint(i))
			}
			l.index(list...)
			return ":latest"
		}, "more than|at most"},
		"1001 manifests": {func(l layoutDir) string {
			var list []ocispecs.Descriptor
			for i := range 1001 {
				list = append(list, l.manifest(fmt.Sprint(i)))
			}
			l.index(l.blob(ocispecs.MediaTypeImageIndex, ocispecs.Index{Manifests: list}))
			return ":latest"
		}, "more than 1000 manifests"},
		"wrong size": {func(l layoutDir) string {
			d := l.manifest("one")
			d.Size++
			l.index(d)
			return ":latest"
		}, "its descriptor says"},
		"wrong content": {func(l layoutDir) string {
			d := l.manifest("one")
			raw, err := os.ReadFile(l.path(d.Digest))
			l.check(err)
			raw[len(raw)-2] = ' '
			l.check(os.WriteFile(l.path(d.Digest), raw, 0o644))
			l.index(d)
			return ":latest"
		}, "holds sha256:"},
		"manifest of 100 MB": {func(l layoutDir) string {
			d := l.manifest("one")
			l.check(os.Truncate(l.path(d.Digest), 100<<20))
			l.index(d)
			return ":latest"
		}, "more than"},
		"index in index without end": {func(l layoutDir) string {
			d := l.manifest("one")
			for range 10 {
				d = l.blob(ocispecs.MediaTypeImageIndex, ocispecs.Index{Manifests: []ocispecs.Descriptor{d}})
			}
			l.index(d)
			return ":latest"
		}, "deep"},
		"no manifest": {func(l layoutDir) string {
			l.index(l.blob("text/plain", map[string]string{"mediaType": "text/plain"}))
			return ":latest"
		}, `neither an index nor a manifest but "text/plain"`},
		"link out of it": {func(l layoutDir) string {
			d := l.manifest("one")
			outside := filepath.Join(l.t.TempDir(), "manifest")
			l.check(os.Rename(l.path(d.Digest), outside))
			l.check(os.Symlink(outside, l.path(d.Digest)))
			l.index(d)
			return ":latest"
		}, "escapes"},
		"index is a folder": {func(l layoutDir) string {
			l.check(os.Mkdir(filepath.Join(l.dir, "index.json"), 0o755))
			return ":latest"
		}, "is no file"},
		"digest that is a path": {func(l layoutDir) string { return ":x@sha256:../../../../etc/passwd" }, "digest"},
		"digest that is not there": {func(l layoutDir) string {
			return ":x@sha256:" + strings.Repeat("0", 64)
		}, "no such file"},
	}
	for title, c := range cases {
		t.Run(title, func(t *testing.T) {
			l := newLayoutDir(t)
			ref := c.make(l)
			_, err := l.pin(ref)
			found := err != nil
			for _, text := range strings.Split(c.fault, "|") {
				if found && strings.Contains(err.Error(), text) {
					return
				}
			}
			t.Errorf("%v, want an error with %q", err, c.fault)
		})
	}
}

// A daemon gets what it asks for by digest, and can't change the layout.
func TestLayoutIsReadOnly(t *testing.T) {
	l := newLayoutDir(t)
	d := l.manifest("one")
	root, err := os.OpenRoot(l.dir)
	l.check(err)
	defer root.Close()
	store := layout{root}
	info, err := store.Info(t.Context(), d.Digest)
	if err != nil || info.Size != d.Size {
		t.Errorf("Info: %v, %v", info, err)
	}
	r, err := store.ReaderAt(t.Context(), d)
	l.check(err)
	defer r.Close()
	raw := make([]byte, r.Size())
	if _, err := r.ReadAt(raw, 0); err != nil || digest.FromBytes(raw) != d.Digest {
		t.Errorf("ReadAt: %q, %v", raw, err)
	}
	if _, err := store.ReaderAt(t.Context(), ocispecs.Descriptor{Digest: "sha256:../../../etc/passwd"}); err == nil {
		t.Error("a path is taken for a digest")
	}
	if err := store.Delete(t.Context(), d.Digest); err == nil {
		t.Error("a daemon may delete")
	}
	if _, err := store.Writer(t.Context()); err == nil {
		t.Error("a daemon may write")
	}
}

func FuzzLayoutIndex(f *testing.F) {
	f.Add([]byte(`{"manifests":[{"digest":"sha256:aa","size":2}]}`))
	f.Add([]byte(`{"manifests":[{"digest":"../x","annotations":{"org.opencontainers.image.ref.name":"latest"}}]}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		l := newLayoutDir(t)
		l.check(os.WriteFile(filepath.Join(l.dir, "index.json"), raw, 0o644))
		if got, err := l.pin(":latest"); err == nil {
			t.Errorf("an image %q is found where no blob is", got)
		}
	})
}
