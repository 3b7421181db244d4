package published_test

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/hullwright/hullwright/internal/cli"
	"github.com/hullwright/hullwright/internal/cmd/metadata"
	"github.com/hullwright/hullwright/internal/derive/published"
	"github.com/hullwright/hullwright/internal/errdefs"
)

// serve is a registry that has an image under these tags.
func serve(t *testing.T, repository string, tags ...string) (host string) {
	t.Helper()
	server := httptest.NewServer(ggcr.New())
	t.Cleanup(server.Close)
	host = strings.TrimPrefix(server.URL, "http://")
	for _, tag := range tags {
		to, err := name.NewTag(host + "/" + repository + ":" + tag)
		if err != nil {
			t.Fatal(err)
		}
		if err := remote.Write(to, empty.Image); err != nil {
			t.Fatal(err)
		}
	}
	return host
}

// run is hullwright metadata on GitHub, for a version tag.
func run(t *testing.T, verb cli.Verb, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	env := &cli.Env{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Dir: t.TempDir(), Now: time.Now, Environ: map[string]string{
		"PATH": os.Getenv("PATH"), "HOME": t.TempDir(), "SOURCE_DATE_EPOCH": "1578616200",
	}}
	args = append([]string{"metadata", "explain", "--ref", "refs/tags/v1.4.3", "--tags", "type=semver,pattern={{version}}", "--tags", "type=semver,pattern={{major}}.{{minor}}"}, args...)
	code = cli.Run(context.Background(), env, "hullwright", []cli.Verb{verb}, args)
	return code, out.String(), errs.String()
}

func TestGuardByRegistry(t *testing.T) {
	host := serve(t, "acme/app", "1.4.2", "1.4", "2.0.0", "latest")
	code, stdout, stderr := run(t, metadata.VerbWith(published.Tags), "--guard-latest", "registry", "--images", host+"/acme/app", "--images", host+"/acme/new")
	var got []string
	for line := range strings.Lines(stdout) {
		got = append(got, strings.Join(strings.Fields(line), " "))
	}
	for _, want := range []string{
		"type=semver,pattern={{version}} 1.4.3 no",
		"type=semver,pattern={{major}}.{{minor}} 1.4 yes",
		"latest - - 2.0.0 is higher",
	} {
		if code != 0 || !slices.Contains(got, want) {
			t.Errorf("exit code %d, no line %q in\n%s%s", code, want, stdout, stderr)
		}
	}
}

func TestGuardByRegistryFails(t *testing.T) {
	denies := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2/" {
			return
		}
		w.WriteHeader(http.StatusForbidden)
	}))
	t.Cleanup(denies.Close)
	gone := httptest.NewServer(nil)
	gone.Close()
	for _, c := range []struct {
		verb  cli.Verb
		image string
		code  int
		says  string
	}{
		{metadata.VerbWith(published.Tags), strings.TrimPrefix(denies.URL, "http://") + "/a/b", errdefs.ExitDenied, "log in first"},
		{metadata.VerbWith(published.Tags), strings.TrimPrefix(gone.URL, "http://") + "/a/b", errdefs.ExitEnvironment, "tags of "},
		{metadata.VerbWith(published.Tags), "a b", errdefs.ExitBadInput, `input "images": "a b" is no image name`},
		{metadata.VerbWith(published.Tags), "", errdefs.ExitBadInput, `input "guard-latest": without images there is no registry to ask`},
		{metadata.Verb(), "a/b", errdefs.ExitBadInput, `input "guard-latest": metadata as a program of its own reaches no registry`},
	} {
		code, stdout, stderr := run(t, c.verb, "--guard-latest", "registry", "--images", c.image)
		if code != c.code || !strings.Contains(stderr, c.says) {
			t.Errorf("%q: exit code %d, want %d and %q\n%s%s", c.image, code, c.code, c.says, stdout, stderr)
		}
	}
}
