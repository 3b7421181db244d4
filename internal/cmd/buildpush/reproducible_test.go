package buildpush

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReproducible(t *testing.T) {
	repo := repository(t)
	j, _, err := door(t, repo, map[string]string{"SOURCE_DATE_EPOCH": "1700000000"}, "--reproducible", ".")
	if err != nil || j.request.Reproducible == nil || *j.request.Reproducible != 1700000000 || j.request.Attests != nil {
		t.Errorf("%+v, %v", j, err)
	}
	j, _, err = door(t, repo, map[string]string{"SOURCE_DATE_EPOCH": "1700000000"}, "--reproducible", "--build-args", "SOURCE_DATE_EPOCH=5", ".")
	if err != nil || *j.request.Reproducible != 5 {
		t.Errorf("the build argument does not count: %v", err)
	}
	if j, _, err = door(t, repo, nil, "--reproducible", "."); err != nil || *j.request.Reproducible == 0 {
		t.Errorf("the commit's time does not count: %v", err)
	}
	_, _, err = door(t, contextDir(t), nil, "--reproducible", ".")
	wantFault(t, err, `input "reproducible": neither SOURCE_DATE_EPOCH nor the commit`)
	_, _, err = door(t, repo, map[string]string{"SOURCE_DATE_EPOCH": "soon"}, ".")
	wantFault(t, err, `SOURCE_DATE_EPOCH "soon"`)
}

func TestReproducibleAttestationsWarn(t *testing.T) {
	repo := repository(t)
	_, stderr, err := door(t, repo, nil, "--reproducible", "--provenance=true", ".")
	if err != nil || !strings.Contains(stderr, "provenance: attestations hold the time of the build") {
		t.Errorf("%v\n%s", err, stderr)
	}
	_, _, err = door(t, repo, nil, "--reproducible", "--provenance=true", "--strict", ".")
	wantFault(t, err, `input "provenance"`)
}

// A checkout speaks for itself, whatever the event says.
func TestSourceOfContext(t *testing.T) {
	repo := repository(t)
	j, _, err := door(t, repo, github(), "--git-labels", "--labels", "org.opencontainers.image.source=mine", ".")
	if err != nil {
		t.Fatal(err)
	}
	l := j.request.Labels
	if r := l["org.opencontainers.image.revision"]; len(r) != 40 || r == github()["GITHUB_SHA"] || r != j.request.VCS.Revision {
		t.Errorf("labels %v, VCS %+v", l, j.request.VCS)
	}
	if l["com.docker.image.source.entrypoint"] != "Dockerfile" || l["org.opencontainers.image.source"] != "mine" || j.request.VCS.Root != repo {
		t.Errorf("labels %v, VCS %+v", l, j.request.VCS)
	}
	if err := os.WriteFile(filepath.Join(repo, "new"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if j, _, err = door(t, repo, github(), "--git-check-dirty", "."); err != nil || !strings.HasSuffix(j.request.VCS.Revision, "-dirty") {
		t.Errorf("%+v, %v", j.request.VCS, err)
	}
	j, _, err = door(t, repo, map[string]string{"BUILDX_GIT_LABELS": "full", "BUILDX_GIT_INFO": "false"}, ".")
	if err != nil || j.request.Labels["com.docker.image.source.entrypoint"] == "" || j.request.VCS.Revision != "" {
		t.Errorf("%v, %+v", err, j.request)
	}
	if j, _, err = door(t, contextDir(t), github(), "."); err != nil || j.request.VCS.Revision != github()["GITHUB_SHA"] || j.request.VCS.Root != "" {
		t.Errorf("without a checkout the event does not count: %+v, %v", j.request.VCS, err)
	}
}
