// Package derive stands between an event and metadata's rules: it reads the
// switches that commands have beside the rules and collects the facts that
// rules are applied to.
//
// Begin with [Switches], which a command's options embed, and its two methods
// [Switches.Rules] and [Switches.Facts]. It links no BuildKit and no registry:
// who can list a registry's tags hands in a [TagLister].
package derive

import (
	"context"
	"strings"

	"github.com/hullwright/hullwright/internal/cli"
	"github.com/hullwright/hullwright/internal/input"
	"github.com/hullwright/hullwright/internal/meta"
)

// Switches are what a person can set beside rules. Some were environment
// variables of docker/metadata-action, and still have those names too.
type Switches struct {
	PRHeadSHA string     `env:"PR-HEAD-SHA" also:"DOCKER_METADATA_PR_HEAD_SHA" placeholder:"true" help:"For a pull request take the commit that its author wrote, not the trial merge."`
	ShortSHA  input.Text `env:"SHORT-SHA-LENGTH" also:"DOCKER_METADATA_SHORT_SHA_LENGTH" placeholder:"N" help:"How many characters a short commit has; by default 7."`
	Levels    input.Text `env:"ANNOTATIONS-LEVELS" also:"DOCKER_METADATA_ANNOTATIONS_LEVELS" help:"Where annotations go, separated by commas: manifest, index, manifest-descriptor, index-descriptor; by default manifest."`

	GuardLatest string `env:"GUARD-LATEST" envDefault:"false" choices:"false git registry" help:"Let latest, 1 and 1.2 move only to a version that is the highest of those that get them, by the checkout's tags (git) or by those that the images have (registry)."`
	Extended    bool   `env:"EXTENDED" help:"Allow what docker/metadata-action refuses: lower, upper, replace, slice, split and default in expressions, and type=ref without an event."`
	LongTags    string `env:"LONG-TAGS" envDefault:"cut" choices:"cut hash" help:"What becomes of names over 128 characters: cut, or cut with a hash of the whole at the end (hash)."`
	Dockerfile  string `env:"KEEP-LABELS-OF" placeholder:"DOCKERFILE" help:"Leave out the generated labels that this Dockerfile sets itself."`
}

// Sources are where facts may come from beside the event.
type Sources struct {
	// Checkout is whether ref and commit are those of the checkout, whatever
	// the event says.
	Checkout bool
	Token    string    // of the forge's API; empty asks no API
	List     TagLister // nil where no registry can be asked
}

// TagLister lists the tags of a repository, as "ghcr.io/acme/app"; none where
// there is no such repository.
type TagLister func(ctx context.Context, env *cli.Env, repository string) ([]string, error)

// Rules reads rules with the switches in force. Faults are those of meta.Parse.
func (s Switches) Rules(o meta.Options) (meta.Rules, error) {
	o.Levels = string(s.Levels)
	o.ShortLength = string(s.ShortSHA)
	o.Extended = s.Extended
	o.Guard = s.GuardLatest != "false"
	o.HashLongTags = s.LongTags == "hash"
	return meta.Parse(o)
}

// wantsHead is whether a switch is on; any text that has "true" in it does.
func (s Switches) wantsHead() bool { return strings.Contains(strings.ToLower(s.PRHeadSHA), "true") }
