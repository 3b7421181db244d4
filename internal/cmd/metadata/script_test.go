package metadata_test

import (
	"flag"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/hullwright/hullwright/internal/cli"
	"github.com/hullwright/hullwright/internal/cmd/metadata"
)

var update = flag.Bool("update", false, "write what scripts print into their golden files")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"metadata": func() { os.Exit(cli.MainOf(metadata.Verb())) },
	})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       *update,
		Setup: func(env *testscript.Env) error {
			env.Setenv("SOURCE_DATE_EPOCH", "1578616200")
			env.Setenv("GIT_CONFIG_NOSYSTEM", "1")
			for _, role := range []string{"AUTHOR", "COMMITTER"} {
				env.Setenv("GIT_"+role+"_NAME", "t")
				env.Setenv("GIT_"+role+"_EMAIL", "t@t")
				env.Setenv("GIT_"+role+"_DATE", "2021-03-04T05:06:07+0200")
			}
			return nil
		},
	})
}
