// Command metadata is hullwright's metadata step as a program of its own.
package main

import (
	"os"
	_ "time/tzdata" // runners may have no zone data

	"github.com/hullwright/hullwright/internal/cli"
	"github.com/hullwright/hullwright/internal/cmd/metadata"
)

func main() { os.Exit(cli.MainOf(metadata.Verb())) }
