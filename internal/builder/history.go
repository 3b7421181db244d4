package builder

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/content/proxy"
	slsa1 "github.com/in-toto/in-toto-golang/in_toto/slsa_provenance/v1"
	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/client"
	provenance "github.com/moby/buildkit/solver/llbsolver/provenance/types"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// MetadataProvenance is how much of a build's provenance its metadata shows.
type MetadataProvenance string

// How much there is.
const (
	NoProvenance  MetadataProvenance = "false"
	MinProvenance MetadataProvenance = "min" // without steps and times
	MaxProvenance MetadataProvenance = "max"
)

// ParseMetadataProvenance reads the input metadata-provenance: min, max, disabled
// or a boolean, of which true is min.
func ParseMetadataProvenance(in string) (MetadataProvenance, error) {
	on, err := strconv.ParseBool(in)
	switch {
	case in == "", in == "min", err == nil && on:
		return MinProvenance, nil
	case in == "max":
		return MaxProvenance, nil
	case in == "disabled", err == nil && !on:
		return NoProvenance, nil
	}
	return "", errdefs.BadInputf("metadata-provenance", 0, "unknown value %q", in).WithHint("one of min, max, false")
}

// AskProvenance fills in the provenance of the result's parts from the nodes'
// histories, which have it whether or not it was attested.
func (r *Result) AskProvenance(ctx context.Context, nodes func(name string) (*client.Client, error), mode MetadataProvenance) error {
	if mode == NoProvenance {
		return nil
	}
	group, ctx := errgroup.WithContext(ctx)
	for i := range r.Parts {
		part := &r.Parts[i]
		group.Go(func() error {
			node, err := nodes(part.Node)
			if err != nil {
				return err
			}
			part.Provenance, err = askProvenance(ctx, node, part.Ref, mode)
			if err != nil {
				return errdefs.New(errdefs.Environment, "provenance of build %s: %w", part.Ref, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// askProvenance gives a build's provenance by platform, and by "" where the
// build had no more than one.
func askProvenance(ctx context.Context, node *client.Client, ref string, mode MetadataProvenance) (map[string]json.RawMessage, error) {
	record, err := historyRecord(ctx, node, ref)
	if err != nil {
		return nil, err
	}
	results := record.Results
	if len(results) == 0 && record.Result != nil {
		results = map[string]*controlapi.BuildResultInfo{"": record.Result}
	}
	store := proxy.NewContentStore(node.ContentClient())
	found := map[string]json.RawMessage{}
	for platform, result := range results {
		for _, a := range result.Attestations {
			predicate := a.Annotations["in-toto.io/predicate-type"]
			if a.MediaType != inTotoType || !strings.HasPrefix(predicate, "https://slsa.dev/provenance/") {
				continue
			}
			raw, err := content.ReadBlob(ctx, store, ocispecs.Descriptor{MediaType: a.MediaType, Digest: digest.Digest(a.Digest), Size: a.Size})
			if err != nil {
				return nil, err
			}
			if found[platform], err = metadataProvenance(raw, predicate, mode); err != nil {
				return nil, err
			}
			break
		}
	}
	return found, nil
}

const inTotoType = "application/vnd.in-toto+json"

// historyRecord is what a node recorded of a build that has ended.
func historyRecord(ctx context.Context, node *client.Client, ref string) (*controlapi.BuildHistoryRecord, error) {
	events, err := node.ControlClient().ListenBuildHistory(ctx, &controlapi.BuildHistoryRequest{Ref: ref, EarlyExit: true})
	if err != nil {
		return nil, err
	}
	var record *controlapi.BuildHistoryRecord
	for {
		event, err := events.Recv()
		switch {
		case errors.Is(err, io.EOF) && record == nil:
			return nil, fmt.Errorf("the node has no record of %s", ref)
		case errors.Is(err, io.EOF):
			return record, nil
		case err != nil:
			return nil, err
		case event.Record != nil:
			record = event.Record
		}
	}
}

// metadataProvenance is a predicate as buildx shows it in metadata: in SLSA's
// version 0.2, whatever the daemon wrote, since its readers know that.
func metadataProvenance(raw []byte, predicateType string, mode MetadataProvenance) (json.RawMessage, error) {
	var predicate *provenance.ProvenancePredicateSLSA02
	if predicateType == slsa1.PredicateSLSAProvenance {
		var v1 provenance.ProvenancePredicateSLSA1
		if err := json.Unmarshal(raw, &v1); err != nil {
			return nil, err
		}
		predicate = v1.ConvertToSLSA02()
	} else if err := json.Unmarshal(raw, &predicate); err != nil {
		return nil, err
	}
	if predicate == nil {
		return nil, errors.New("the predicate is null")
	}
	if mode == MinProvenance {
		predicate.BuildConfig, predicate.Metadata = nil, nil
	}
	return json.Marshal(predicate)
}
