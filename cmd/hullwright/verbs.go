package main

import (
	"github.com/hullwright/hullwright/internal/cli"
	"github.com/hullwright/hullwright/internal/cmd/buildpush"
	"github.com/hullwright/hullwright/internal/cmd/doctor"
	"github.com/hullwright/hullwright/internal/cmd/login"
	"github.com/hullwright/hullwright/internal/cmd/logout"
	"github.com/hullwright/hullwright/internal/cmd/metadata"
	"github.com/hullwright/hullwright/internal/cmd/setup"
	"github.com/hullwright/hullwright/internal/cmd/teardown"
	"github.com/hullwright/hullwright/internal/derive/published"
)

// verbs are the commands, in the order of their use.
func verbs() []cli.Verb {
	return []cli.Verb{
		setup.Verb(),
		login.Verb(),
		metadata.VerbWith(published.Tags),
		buildpush.Verb(),
		doctor.Verb(),
		logout.Verb(),
		teardown.Verb(),
	}
}
