package buildpush

import (
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

func TestGitLabels(t *testing.T) {
	repo := repository(t)
	j, _, err := door(t, repo, github(), "--git-labels", "--labels", "org.opencontainers.image.source=mine", ".")
	if err != nil {
		t.Fatal(err)
	}
	l := j.request.Labels
	if l["org.opencontainers.image.revision"] != github()["GITHUB_SHA"] || l["com.docker.image.source.entrypoint"] != "Dockerfile" || l["org.opencontainers.image.source"] != "mine" {
		t.Errorf("%v", l)
	}
	if j, _, err = door(t, repo, map[string]string{"BUILDX_GIT_LABELS": "full", "BUILDX_GIT_INFO": "false"}, "."); err != nil ||
		j.request.Labels["com.docker.image.source.entrypoint"] == "" || j.request.VCS.Revision != "" {
		t.Errorf("%v, %+v", err, j.request)
	}
}
