package buildpush

import (
	"context"
	"slices"
	"strconv"

	"github.com/hullwright/hullwright/internal/ci"
	"github.com/hullwright/hullwright/internal/errdefs"
)

// compatibilityVersions are the BuildKits whose bytes can be had:
// https://github.com/moby/buildkit/blob/master/solver/llbsolver/compat
var compatibilityVersions = []int{0, 10, 20, 30}

// parseCompatibility reads whose bytes are written.
func (j *job) parseCompatibility(context.Context) error {
	version := j.options.CompatibilityVersion
	if !slices.Contains(compatibilityVersions, version) {
		return errdefs.BadInputf("compatibility-version", 0, "unknown version %d", version).
			WithHint("one of 10 (BuildKit 0.13), 20 (0.15), 30 (0.31), or 0 for the builder's own")
	}
	j.request.Compatibility = version
	return nil
}

// settleTime finds the time that a reproducible image has.
func (j *job) settleTime(ctx context.Context) error {
	if given := j.request.BuildArgs["SOURCE_DATE_EPOCH"]; given != "" {
		if _, err := parseEpoch(given); err != nil {
			return err
		}
	}
	if !j.options.Reproducible {
		return nil
	}
	epoch, err := j.epoch(ctx)
	if err != nil {
		return err
	}
	j.request.Reproducible = &epoch
	for _, kind := range attestTypes {
		if _, asked := j.request.Attests[kind]; asked {
			if err := j.warn(kind, "%s: attestations hold the time of the build: the platforms' images are reproducible, the index that holds them is not", kind); err != nil {
				return err
			}
		}
	}
	return nil
}

// epoch is SOURCE_DATE_EPOCH, else the commit's time, in seconds.
func (j *job) epoch(ctx context.Context) (int64, error) {
	if given := j.request.BuildArgs["SOURCE_DATE_EPOCH"]; given != "" {
		return parseEpoch(given)
	}
	if t, known := j.event.CommitTimeAt(j.event.SHA); known && !t.IsZero() {
		return t.Unix(), nil
	}
	if t, err := ci.CommitTime(ctx, j.gitHost(), j.event.SHA); err == nil {
		return t.Unix(), nil
	}
	if d, ok := j.env.CI.(ci.Describer); ok && j.options.token() != "" {
		if t, err := d.CommitTime(ctx, j.event, j.event.SHA, j.options.token()); err == nil {
			return t.Unix(), nil
		}
	}
	return 0, errdefs.BadInputf("reproducible", 0, "neither SOURCE_DATE_EPOCH nor the commit tells a time").
		WithHint("set SOURCE_DATE_EPOCH to seconds since 1970, or check the repository out before")
}

// gitHost is where git is asked.
func (j *job) gitHost() ci.Host {
	e := j.env
	return ci.Host{Environ: e.Environ, Stdout: e.Stdout, Stderr: e.Stderr, Dir: e.Dir, Now: e.Now}
}

func parseEpoch(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, errdefs.New(errdefs.BadInput, "SOURCE_DATE_EPOCH %q: must be seconds since 1970", text)
	}
	return n, nil
}
