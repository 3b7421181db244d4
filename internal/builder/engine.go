package builder

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/util/grpcerrors"
	"google.golang.org/grpc/codes"

	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/setup"
)

// mobyExport is the exporter of an engine's own BuildKit that puts an image into
// the engine's store.
const mobyExport = "moby"

// EngineRequest is a request to an engine's own BuildKit, with what bears on its
// limits and is no part of a solve.
type EngineRequest struct {
	Request
	Images setup.ImageStore // the engine's
	Moves  Moves
	// Default are the inputs whose part of the request nobody wrote: provenance,
	// annotations. It is left out where the engine can't have it.
	Default []string
}

// engineLimit is something that BuildKit is able to do and an engine with the
// classic image store is not.
type engineLimit struct {
	input string
	// asks are what of the input asks for it; none where nothing does.
	asks func(r EngineRequest) []string
	why  string
}

// classicLimits are all that a build may ask for and an engine whose images are
// in the classic store would refuse, or leave out in silence. They follow
// docker buildx's driver docker (driver/docker/driver.go: Features) and the
// exporter of such an engine, which knows names and nothing else:
// https://github.com/moby/moby/blob/v20.10.24/builder/builder-next/exporter/export.go
var classicLimits = []engineLimit{
	{"platforms", severalPlatforms, "its image store holds one platform's image"},
	{"provenance", attestation("provenance"), "its image store holds no attestations"},
	{"sbom", attestation("sbom"), "its image store holds no attestations"},
	{"annotations", annotationKeys, "its image store holds no annotations"},
	{"outputs", archives, "it writes no such archive"},
	{"outputs", imageAttrs, "its image store decides by itself how an image is kept"},
	{"outputs", repositories, "it pushes by tags"},
	{"cache-to", cacheTypes(func(r EngineRequest) []Cache { return r.CacheTo }, "inline"), "it exports inline cache alone"},
	{"cache-from", cacheTypes(func(r EngineRequest) []Cache { return r.CacheFrom }, "registry"), "it imports caches of type registry alone"},
	{"reproducible", when(func(r EngineRequest) bool { return r.Reproducible != nil }, "the time of an image's files"), "its image store keeps them as they are"},
	{"compatibility-version", when(func(r EngineRequest) bool { return r.Compatibility != 0 }, "the bytes of an older BuildKit"), "its image store writes its own"},
	{"guard-moving-tags", when(func(r EngineRequest) bool { return r.Push && r.Moves.guarded() }, "a look before a tag moves"), "the engine writes the first tag of a repository itself"},
	{"rollback", when(func(r EngineRequest) bool { return r.Push && r.Moves.Rollback }, "tags as they were before"), "the engine writes the first tag of a repository itself"},
}

// engineHint is the way out of each of them.
const engineHint = "make a builder, with hullwright setup and driver docker-container, or switch the engine to the containerd image store"

// ForEngine is the request as the engine is to do it, without what it can't have
// and nobody asked for; left says of each such input why. What was asked for and
// the engine is not able to do is an errdefs.BadInput, one for each, joined.
func ForEngine(r EngineRequest) (req Request, left []string, err error) {
	if r.Images != setup.ClassicStore {
		return r.Request, nil, nil
	}
	var faults []error
	for _, limit := range classicLimits {
		asks := limit.asks(r)
		if len(asks) > 0 && slices.Contains(r.Default, limit.input) {
			r.Request = r.without(limit.input)
			left = append(left, limit.input+": left out, the engine is not able to do it: "+limit.why)
			continue
		}
		for _, ask := range asks {
			faults = append(faults, errdefs.BadInputf(limit.input, 0, "%s: the engine's own BuildKit is not able to do it: %s", ask, limit.why).
				WithHint(engineHint))
		}
	}
	return r.Request, left, errors.Join(faults...)
}

// without is the request without what nobody asked for.
func (r EngineRequest) without(input string) Request {
	req := r.Request
	if input == "annotations" {
		req.Annotations = nil
		return req
	}
	req.Attests = maps.Clone(req.Attests)
	delete(req.Attests, input)
	return req
}

func when(asked func(EngineRequest) bool, what string) func(EngineRequest) []string {
	return func(r EngineRequest) []string {
		if asked(r) {
			return []string{what}
		}
		return nil
	}
}

func severalPlatforms(r EngineRequest) []string {
	if len(r.Platforms) < 2 || r.Call.Method != "" {
		return nil
	}
	return []string{strings.Join(platformNames(r.Platforms), " and ")}
}

func attestation(kind string) func(EngineRequest) []string {
	return when(func(r EngineRequest) bool { _, ok := r.Attests[kind]; return ok && r.Call.Method == "" }, "an attestation")
}

func annotationKeys(r EngineRequest) []string {
	var keys []string
	for _, a := range r.Annotations {
		if r.makesImage() && !slices.Contains(keys, a.Key) {
			keys = append(keys, a.Key)
		}
	}
	return keys
}

// makesImage is whether an image comes of the build.
func (r EngineRequest) makesImage() bool { return r.Push || slices.ContainsFunc(r.Outputs, isImage) }

// isImage is whether an output leaves an image in the store of the engine that
// builds it.
func isImage(o Output) bool {
	return o.Type == "image" || o.Type == "docker" && o.Dest == "" && o.Attrs["context"] == ""
}

func archives(r EngineRequest) []string {
	var asks []string
	for _, o := range r.Outputs {
		switch {
		case o.Type == "docker" && o.Attrs["context"] != "":
			asks = append(asks, "type=docker,context="+o.Attrs["context"])
		case o.Type == "docker" && o.Dest != "", o.Type == "oci":
			asks = append(asks, "type="+o.Type)
		}
	}
	return asks
}

// imageAttrs are attributes of the image that its store does not know.
func imageAttrs(r EngineRequest) []string {
	var asks []string
	add := func(attrs map[string]string) {
		for _, key := range slices.Sorted(maps.Keys(attrs)) {
			// Without attestations there is nothing that oci-artifact is about.
			ask := key + "=" + attrs[key]
			if key != "name" && key != "push" && ask != "oci-artifact=false" && !slices.Contains(asks, ask) {
				asks = append(asks, ask)
			}
		}
	}
	add(r.Image)
	for _, o := range r.Outputs {
		if isImage(o) {
			add(o.Attrs)
		}
	}
	return asks
}

func repositories(r EngineRequest) []string {
	var asks []string
	for _, repo := range r.Repositories {
		asks = append(asks, repo.String()+" by digest")
	}
	return asks
}

func cacheTypes(list func(EngineRequest) []Cache, known string) func(EngineRequest) []string {
	return func(r EngineRequest) []string {
		var asks []string
		for _, c := range list(r) {
			if ask := "type=" + c.Type; c.Type != known && !slices.Contains(asks, ask) {
				asks = append(asks, ask)
			}
		}
		return asks
	}
}

// engineExports are the exporters of a solve by an engine's own BuildKit: its
// store has an image once, by all its names, however many outputs ask for one.
// With the classic store the push is no exporter's: the engine does it after.
func engineExports(req Request, images setup.ImageStore) []Export {
	var list []Export
	stored := false
	store := func(o Output) {
		if !stored {
			e := exportOf(req, o)
			e.Type = mobyExport
			list = append(list, e)
		}
		stored = true
	}
	for _, o := range req.Outputs {
		if isImage(o) {
			store(o)
			continue
		}
		list = append(list, exportOf(req, o))
	}
	switch {
	case req.Push && images == setup.ClassicStore:
		store(Output{Type: "image"})
	case req.Push:
		for _, repo := range slices.Backward(req.Destinations()) {
			list = append(list, pushByDigest(req, repo.Name()))
		}
	}
	return list
}

// CheckEngine asks the engine's daemon, before anything is built, whether it is
// able to do what the request needs. What it is not is an errdefs.Environment,
// one for each input, joined; inputs in told are not looked at.
func CheckEngine(ctx context.Context, daemon *client.Client, node setup.Node, req Request, told []string) error {
	var list []need
	for _, n := range needs(newSolve(req, part{node: node, platforms: req.Platforms}, false)) {
		if !slices.Contains(told, n.input) {
			list = append(list, n)
		}
	}
	return (&request{}).check(ctx, daemon, list)
}

// KeepsHistory is whether a daemon keeps records of builds, in which provenance
// is. BuildKit's came with 0.11. It is an errdefs.Environment where the daemon does
// not answer.
func KeepsHistory(ctx context.Context, node *client.Client) (bool, error) {
	events, err := node.ControlClient().ListenBuildHistory(ctx, &controlapi.BuildHistoryRequest{
		ActiveOnly: true, EarlyExit: true, Ref: "hullwright-asks-for-history", // of no build
	})
	for err == nil {
		_, err = events.Recv()
	}
	switch grpcerrors.Code(err) {
	case codes.Unavailable, codes.Canceled, codes.DeadlineExceeded: // nobody said so
		return false, errdefs.New(errdefs.Environment, "ask the builder for its records: %w", err)
	}
	return errors.Is(err, io.EOF), nil
}
