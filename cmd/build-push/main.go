// Build-push is hullwright's build-push command as a program of its own, as the
// action runs it.
package main

import (
	"os"

	"github.com/hullwright/hullwright/internal/cli"
	"github.com/hullwright/hullwright/internal/cmd/buildpush"
)

func main() { os.Exit(cli.MainOf(buildpush.Verb())) }
