// Hullwright-policy evaluates source policies for hullwright, which starts it
// where a build has any. It stands beside hullwright, or in PATH.
package main

import (
	"fmt"
	"os"

	"github.com/hullwright/hullwright/internal/cli"
	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/policy/rego"
	"github.com/hullwright/hullwright/internal/policy/wire"
)

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	if len(args) > 0 && (args[0] == "--version" || args[0] == "version") {
		fmt.Println("hullwright-policy", cli.Version())
		return errdefs.ExitDone
	}
	serves, calls, err := wire.Inherited()
	if err != nil || len(args) > 0 {
		fmt.Fprintln(os.Stderr, "hullwright-policy: error: it is no command: hullwright starts it where a build has source policies")
		return errdefs.ExitBadInput
	}
	if err := rego.Serve(serves, calls); err != nil {
		fmt.Fprintln(os.Stderr, "hullwright-policy: error:", err)
		return errdefs.ExitEnvironment
	}
	return errdefs.ExitDone
}
