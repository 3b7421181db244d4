// Hullwright takes a repository from a git ref to a pushed, verified,
// multi-platform image.
package main

import (
	"os"

	"github.com/hullwright/hullwright/internal/cli"
)

//go:generate go test -run TestGenerated -update .

func main() { os.Exit(cli.Main("hullwright", verbs())) }
