package builder

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/progress"
)

// The texts are BuildKit's own, as it gave them when each was made to happen.
func TestClassify(t *testing.T) {
	const step = `failed to solve: process "/bin/sh -c x" did not complete successfully: exit code: `
	const source = `failed to solve: r.example/x: failed to resolve source metadata for r.example/x:latest: `
	const push = `failed to solve: failed to push r.example/app: `
	cases := []struct {
		text string
		kind errdefs.Kind
		hint string // a part of it; empty is no hint at all
	}{
		{step + "1", errdefs.Build, ""},
		{step + "137", errdefs.Build, "want of memory"},
		{step + "139", errdefs.Build, "emulator"},
		{step + "127", errdefs.Build, "does not have"},
		{push + `push access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed`, errdefs.Denied, "log in"},
		{push + `denied`, errdefs.Denied, "log in"},
		{push + `unexpected status from POST request to https://r.example/v2/app/blobs/uploads/: 401 Unauthorized`, errdefs.Denied, "log in"},
		{push + `unexpected status from HEAD request to http://r.example/v2/x/blobs/sha256:00: 429 Too Many Requests`, errdefs.Environment, "mirror"},
		{push + `unexpected status from HEAD request to http://r.example/v2/x/blobs/sha256:00: 500 Internal Server Error`, errdefs.Environment, "reach"},
		{push + `failed to do request: Head "http://127.0.0.1:1/v2/app/blobs/sha256:00": dial tcp 127.0.0.1:1: connect: connection refused`, errdefs.Environment, "network=host"},
		{push + `unknown: The repository with name x does not exist in the registry`, errdefs.Environment, "made before"},
		{source + `r.example/x:latest: not found`, errdefs.Build, "no such image"},
		{source + `no match for platform in manifest: not found`, errdefs.BadInput, "base"},
		{source + "unexpected status from HEAD request to http://r.example/v2/x/manifests/latest: 403 Forbidden\ndenied", errdefs.Denied, "log in"},
		{source + `failed to do request: Head "https://r.example/v2/x/manifests/latest": dial tcp: lookup r.example on 192.0.2.1:53: no such host`, errdefs.Environment, "spelling"},
		{source + `failed to do request: Head "https://r.example/v2/x/manifests/latest": tls: failed to verify certificate: x509: certificate signed by unknown authority`, errdefs.Environment, "ca="},
		{source + `failed to do request: Head "https://r.example/v2/x/manifests/latest": tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current time 2026-01-02T03:04:05Z is after 2026-01-01T00:00:00Z`, errdefs.Environment, "clock"},
		{`failed to solve: error writing manifest blob: denied: this tag is protected`, errdefs.Denied, "log in"},
		{`failed to solve: ResourceExhausted: failed to copy: write /var/lib/buildkit/x: no space left on device`, errdefs.Environment, "prune"},
		{`failed to solve: failed to read dockerfile: open Dockerfile: no such file or directory`, errdefs.BadInput, "file"},
		{`failed to solve: failed to read dockerfile: open sub/Dockerfile: no such file or directory`, errdefs.BadInput, "file"},
		{`failed to solve: failed to read dockerfile: link /etc/passwd /out: no such file or directory`, errdefs.BadInput, "leads out"},
		{`failed to solve: failed to read dockerfile: open /dir/written: no such file or directory`, errdefs.BadInput, "leads out"},
		{`failed to solve: failed to read dockerfile: unhandled tar header type 83`, errdefs.BadInput, "cut short"},
		{`failed to solve: failed to read dockerfile: unexpected EOF`, errdefs.BadInput, "cut short"},
		{`failed to solve: target stage "nope" could not be found`, errdefs.BadInput, "AS stage"},
		{`failed to solve: secret tok: not found`, errdefs.BadInput, "secret-envs"},
		{`failed to solve: no SSH key "" forwarded from the client`, errdefs.BadInput, "SSH_AUTH_SOCK"},
		{`failed to solve: failed to load LLB: security.insecure is not allowed`, errdefs.BadInput, "allow"},
		{`failed to solve: granting entitlement security.insecure is not allowed by build daemon configuration`, errdefs.Environment, "buildkitd-flags"},
		{`failed to solve: failed to compute cache key: failed to calculate checksum of ref a::b: "/nothere": not found`, errdefs.Build, ".dockerignore"},
		{`failed to solve: dockerfile parse error on line 2: unknown instruction: RUNN (did you mean RUN?)`, errdefs.Build, ""},
	}
	for _, c := range cases {
		err := classify(context.Background(), Solve{Node: "b0"}, progress.Summary{}, errors.New(c.text))
		if got := errdefs.KindOf(err); got != c.kind {
			t.Errorf("kind %v, want %v: %v", got, c.kind, err)
		}
		hint := strings.Join(errdefs.Hints(err), " ")
		if (c.hint == "") != (hint == "") || !strings.Contains(hint, c.hint) {
			t.Errorf("hint %q, want %q in it: %v", hint, c.hint, err)
		}
	}
}

func TestClassifyLostNode(t *testing.T) {
	err := classify(context.Background(), Solve{Node: "b0"}, progress.Summary{}, status.Error(codes.Unavailable, "error reading from server: EOF"))
	if errdefs.KindOf(err) != errdefs.Environment || !strings.Contains(err.Error(), "b0 went away") {
		t.Error(err)
	}
}

func TestClassifyCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if got := errdefs.KindOf(classify(ctx, Solve{}, progress.Summary{}, errors.New("anything"))); got != errdefs.Canceled {
		t.Errorf("a canceled build has kind %v", got)
	}
}

// A cache that can't be opened is left out only where it may fail.
func TestWithoutCache(t *testing.T) {
	opened := errors.New("failed to solve: failed to configure azblob cache exporter: no such container\nRESPONSE 403")
	may := Cache{Type: "azblob", Attrs: map[string]string{"ignore-error": "true"}}
	must := Cache{Type: "azblob", Attrs: map[string]string{"ignore-error": "false"}}
	other := Cache{Type: "registry", Attrs: map[string]string{"ignore-error": "true"}}
	rest, shown, ok := Solve{CacheExports: []Cache{may, other}}.withoutCache(opened, time.Time{})
	if !ok || len(rest.CacheExports) != 1 || rest.CacheExports[0].Type != "registry" {
		t.Errorf("%v %+v", ok, rest.CacheExports)
	}
	if v := shown.Vertexes[0]; v.Error != "no such container" || v.Name != "exporting cache to azblob" {
		t.Errorf("shown is %+v", v)
	}
	for name, s := range map[string]Solve{
		"must":  {CacheExports: []Cache{may, must}},
		"other": {CacheExports: []Cache{other}},
	} {
		if _, _, ok := s.withoutCache(opened, time.Time{}); ok {
			t.Errorf("%s: the cache is left out", name)
		}
	}
	if _, _, ok := (Solve{CacheExports: []Cache{may}}).withoutCache(errors.New("exit code: 1"), time.Time{}); ok {
		t.Error("a failed step leaves out the cache")
	}
}
