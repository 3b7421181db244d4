package teardown

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/hullwright/hullwright/internal/cli"
	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/login"
	"github.com/hullwright/hullwright/internal/setup"
)

func needsOrphans(input string, given bool) error {
	if !given {
		return nil
	}
	return errdefs.BadInputf(input, 0, "applies to orphans only").WithHint("--orphans finds them")
}

// check gives all that contradicts a search for orphans.
func (o Options) check() error {
	var faults []error
	for _, other := range []struct{ input, value string }{{"state", o.State}, {"name", o.Name}} {
		if other.value != "" {
			faults = append(faults, errdefs.BadInputf(other.input, 0, "orphans is given too").WithHint("give one of them"))
		}
	}
	if o.OlderThan < 0 {
		faults = append(faults, errdefs.BadInputf("older-than", 0, "%s is less than nothing", o.OlderThan))
	}
	return errors.Join(faults...)
}

// orphans finds and removes what other runs left. The list is the result; what
// is done about it, line by line, goes beside it.
func orphans(ctx context.Context, env *cli.Env, m *setup.Manager, o Options) error {
	if err := o.check(); err != nil {
		return err
	}
	rule := setup.OrphanOptions{DryRun: o.DryRun, OlderThan: o.OlderThan}
	found, err := m.Orphans(ctx, rule)
	logins, loginErr := login.Orphans(ctx, host(env), rule)
	found = append(found, logins...)
	faults := []error{err, loginErr}
	for _, orphan := range found {
		fmt.Fprintln(env.Stdout, line(orphan, o.DryRun))
		if orphan.Err != nil {
			faults = append(faults, fmt.Errorf("%s %s: %w", orphan.Kind, orphan.ID, orphan.Err))
		}
	}
	if len(found) == 0 {
		fmt.Fprintln(env.Stderr, "teardown: no orphans")
	}
	return errors.Join(faults...)
}

// line is an orphan, what became of it, and why.
func line(o setup.Orphan, dry bool) string {
	done := "removed"
	switch {
	case dry:
		done = "found"
	case o.Err != nil:
		done = "left"
	}
	text := fmt.Sprintf("%s %s %s: %s", done, o.Kind, o.ID, o.Why)
	if len(o.Things) > 0 {
		text += ": " + strings.Join(o.Things, ", ")
	}
	return text
}
