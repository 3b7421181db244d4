package main

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

// What env writes for the programs that it starts, as a whole.
func TestFiles(t *testing.T) {
	l := layout{dir: "/env"}
	engine := func(withheld bool) []byte {
		raw, err := json.MarshalIndent(newEngineConfig(l, "127.0.0.1:5000", withheld), "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		return append(raw, '\n')
	}
	w := &world{layout: l, environ: map[string]string{"PATH": "/bin"}}
	vars, err := json.MarshalIndent(w.varsOf(facts{
		registry: "127.0.0.1:5000", engine: l.socket(),
		s3: store{"http://127.0.0.1:7070", "k3"}, azure: store{"http://127.0.0.1:10000/hullwright", "ka"},
	}), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string][]byte{
		"config.yml":           registryFile(registryYAML, l.registry("data"), "127.0.0.1:5000"),
		"buildkitd.toml":       registryFile(buildkitdTOML, "", "127.0.0.1:5000"),
		"daemon.json":          engine(false),
		"daemon-withheld.json": engine(true),
		"apt.conf":             []byte(aptConf("/env/cache/apt", debianArchs())),
		"sources.list":         []byte(source{"http://mirror.example/debian", "/k.gpg"}.list("bookworm")),
		"vars.json":            append(vars, '\n'),
	} {
		path := filepath.Join("testdata", name)
		if *update {
			if err := writeFile(path, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestPrintVars(t *testing.T) {
	w := testWorld(t)
	var out strings.Builder
	if err := printVars(w, &out); err == nil || out.Len() > 0 {
		t.Errorf("nothing is up, and yet %q, %v", &out, err)
	}
	if err := (daemon{Address: "127.0.0.1:5001"}).write(w.state("registry.json")); err != nil {
		t.Fatal(err)
	}
	if err := printVars(w, &out); err != nil || strings.Contains(out.String(), "HULLWRIGHT_TEST_ENV") {
		t.Errorf("without an engine the environment is not whole: %q, %v", &out, err)
	}
	if err := writeFile(w.state("engine.host"), []byte("unix:///x\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := printVars(w, &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"export DOCKER_HOST='unix:///x'\n", "export HULLWRIGHT_TEST_REGISTRY='127.0.0.1:5001'\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
}
