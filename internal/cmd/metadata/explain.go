package metadata

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/hullwright/hullwright/internal/ci"
	"github.com/hullwright/hullwright/internal/cli"
	"github.com/hullwright/hullwright/internal/derive"
	"github.com/hullwright/hullwright/internal/meta"
)

// explain prints what becomes of each rule on this run's event, or on those
// that are described. It asks no network and gives no outputs.
func explain(ctx context.Context, env *cli.Env, o Options, rules meta.Rules) error {
	o.GitHubToken = nil
	if len(o.Described.given()) == 0 && !o.AllEvents {
		facts, err := gather(ctx, env, o, rules)
		if err != nil {
			return err
		}
		return explainOne(env, sample{title: "this run", event: facts.Event}, facts, rules)
	}
	base, err := env.CI.Event(ctx)
	if err != nil { // outside of a checkout rules can be tried as well
		note(env, "the repository is not known: %v", err)
	}
	base.Repository.DefaultBranch = cmp.Or(base.Repository.DefaultBranch, "main")
	described := []sample{{title: "as described", event: o.Described.of(base)}}
	if o.AllEvents {
		base.SHA = cmp.Or(o.SHA, base.SHA)
		described = samples(base)
	}
	for i, s := range described {
		if i > 0 {
			fmt.Fprintln(env.Stdout)
		}
		facts, err := factsOf(ctx, env, o, rules, s.event)
		if err != nil {
			return err
		}
		if err := explainOne(env, s, facts, rules); err != nil {
			return err
		}
	}
	return nil
}

// factsOf are the facts of an event that is only described. Its commit need not
// be there: what is asked of the history is asked of the one checked out.
func factsOf(ctx context.Context, env *cli.Env, o Options, rules meta.Rules, event ci.Event) (meta.Facts, error) {
	now, err := env.Clock()
	if err != nil {
		return meta.Facts{}, err
	}
	facts := meta.NewFacts(event, now)
	facts.Local = derive.Zone(env)
	sha := facts.SHA
	facts.SHA = "HEAD"
	err = o.Switches.History(ctx, env, rules, o.sources(), &facts)
	facts.SHA = sha
	return facts, err
}

func explainOne(env *cli.Env, s sample, facts meta.Facts, rules meta.Rules) error {
	result, err := rules.Tag(facts)
	if err != nil {
		return err
	}
	where := cmp.Or(string(facts.Ref), "no ref")
	fmt.Fprintf(env.Stdout, "%s: %s on %s\n\n", s.title, oneLine(s.event.Name), oneLine(where))
	if err := outcomes(env.Stdout, result.Outcomes); err != nil {
		return err
	}
	for _, w := range result.Warnings {
		fmt.Fprintf(env.Stdout, "warning: %s\n", oneLine(w))
	}
	return nil
}

// outcomes prints the table of rules, in the order in which they were applied.
func outcomes(w io.Writer, list []meta.Outcome) error {
	own := false
	for _, o := range list {
		own = own || o.Image != ""
	}
	var table bytes.Buffer
	tw := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "RULE\tTAG\tMOVES\tWHY")
	for _, o := range list {
		moves := ""
		if o.Tag != "" {
			moves = map[bool]string{true: "yes", false: "no"}[o.Moving]
		}
		rule := oneLine(o.Rule)
		if own {
			rule = oneLine(cmp.Or(o.Image, "all other images")) + ": " + rule
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\n", rule, cmp.Or(o.Tag, "-"), cmp.Or(moves, "-"), oneLine(o.Reason))
	}
	tw.Flush() // to memory
	for line := range strings.Lines(table.String()) {
		if _, err := fmt.Fprintln(w, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

// oneLine is foreign text as one cell of a table.
func oneLine(s string) string { return strings.Join(strings.Fields(ci.Clean(s)), " ") }
