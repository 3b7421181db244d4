package builder

import (
	"context"
	"errors"
	"maps"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/identity"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/secrets/secretsprovider"
	"github.com/moby/buildkit/util/apicaps"
	"github.com/tonistiigi/fsutil"

	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/policy"
)

// request is a solve made ready: what it needs of this machine is open.
type request struct {
	opt     client.SolveOpt
	call    string   // what the frontend is asked instead; empty builds
	outputs []output // files and loads that the build writes
	tell    func(*client.SolveStatus)
	rules   *policy.Rules
	able    *apicaps.CapSet // what the daemon is able to do, once it was asked
	finish  []func(error)
}

// prepare opens what a solve needs of this machine, and asks the daemon at node
// whether it is able to do it. The caller ends the request; until then tell gets
// what is to be shown besides what the daemon says.
func (in *inputs) prepare(ctx context.Context, node *client.Client, solve Solve, tell func(*client.SolveStatus)) (_ *request, err error) {
	r := &request{
		call: solve.Call,
		tell: tell,
		opt: client.SolveOpt{
			Ref:                  identity.NewID(),
			Frontend:             solve.Frontend,
			FrontendAttrs:        in.machineAttrs(solve.FrontendAttrs),
			LocalMounts:          map[string]fsutil.FS{},
			SharedKey:            in.machineKey(solve.SharedKey),
			AllowedEntitlements:  solve.Entitlements,
			CompatibilityVersion: solve.Compatibility,
			Internal:             solve.Call != "",
			Session: []session.Attachable{
				secretsprovider.FromMap(in.session.Secrets),
				newAuthorizer(in.session),
			},
		},
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.end(err))
		}
	}()
	if err := r.check(ctx, node, needs(solve)); err != nil {
		return nil, err
	}
	for _, open := range []func(context.Context, *request, Solve) error{
		in.mountDirs, in.mountStdin, in.mountLayouts, in.forwardAgents, in.addCaches, in.openOutputs,
	} {
		if err := open(ctx, r, solve); err != nil {
			return nil, err
		}
	}
	return r, in.applyPolicies(ctx, node, r, solve)
}

// end closes what is open: outputs come into being where the build went well,
// and there is nothing of them where err is what it failed with.
func (r *request) end(err error) error {
	var faults []error
	for _, o := range r.outputs {
		faults = append(faults, o.end(err))
	}
	for _, f := range r.finish {
		f(err)
	}
	return errors.Join(faults...)
}

// run does the solve. It closes status.
func (r *request) run(ctx context.Context, node *client.Client, status chan *client.SolveStatus) (map[string]string, error) {
	var response map[string]string
	var err error
	if r.call != "" {
		response, err = r.ask(ctx, node, status)
	} else {
		var resp *client.SolveResponse
		resp, err = node.Solve(ctx, nil, r.opt, status)
		if resp != nil {
			response = resp.ExporterResponse
		}
	}
	if err == nil {
		return response, nil
	}
	for _, o := range r.outputs {
		// The daemon repeats our own fault as text; at its source it has a place.
		if fault := o.fault(); fault != nil && ctx.Err() == nil {
			return nil, fault
		}
	}
	return nil, r.explain(err)
}

// mountDirs gives the daemon leave to read the local directories.
func (in *inputs) mountDirs(_ context.Context, r *request, solve Solve) error {
	for name, dir := range solve.LocalMounts {
		if err := r.mount(name, dir); err != nil {
			return err
		}
	}
	return nil
}

func (r *request) mount(name, dir string) error {
	fs, err := fsutil.NewFS(dir)
	if err != nil {
		return errdefs.BadInputf(mountInput(name), 0, "read %s: %w", dir, err)
	}
	r.opt.LocalMounts[name] = fs
	return nil
}

// mountInput is the input to blame for a local directory.
func mountInput(name string) string {
	switch name {
	case "context":
		return "context"
	case "dockerfile":
		return "file"
	}
	return "build-contexts"
}

// addCaches adds caches, each with the secrets that no plan shows.
func (in *inputs) addCaches(ctx context.Context, r *request, solve Solve) (err error) {
	if r.opt.CacheImports, err = in.cacheEntries(ctx, "cache-from", solve.CacheImports); err != nil {
		return err
	}
	r.opt.CacheExports, err = in.cacheEntries(ctx, "cache-to", solve.CacheExports)
	return err
}

func (in *inputs) cacheEntries(ctx context.Context, input string, caches []Cache) ([]client.CacheOptionsEntry, error) {
	var entries []client.CacheOptionsEntry
	for _, c := range caches {
		attrs := maps.Clone(c.Attrs)
		if in.session.CacheSecrets != nil {
			secrets, err := in.session.CacheSecrets(ctx, c)
			if err != nil {
				return nil, blame(input, err)
			}
			if attrs == nil {
				attrs = map[string]string{}
			}
			maps.Copy(attrs, secrets)
		}
		entries = append(entries, client.CacheOptionsEntry{Type: c.Type, Attrs: attrs})
	}
	return entries, nil
}

// blame names the input of an error that has none.
func blame(input string, err error) error {
	var known *errdefs.Error
	if errors.As(err, &known) {
		if known.Input != "" {
			return err
		}
		named := *known
		named.Input = input
		return &named
	}
	return &errdefs.Error{Kind: errdefs.Environment, Input: input, Err: err}
}

// toldOr is err where it is in a person's terms already, else what say makes of
// it.
func toldOr(err error, say func() error) error {
	var told *errdefs.Error
	if errors.As(err, &told) {
		return err
	}
	return say()
}
