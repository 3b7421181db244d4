package policy

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/hullwright/hullwright/internal/policy/rego"
	"github.com/hullwright/hullwright/internal/policy/wire"
)

// evaluatorFor is the program beside which hullwright-policy is found: this
// test's own, under that name.
var evaluatorFor string

func TestMain(m *testing.M) {
	switch filepath.Base(os.Args[0]) {
	case programName:
		os.Exit(atOnce(evaluate))
	case ownerName:
		os.Exit(own(os.Args[1], os.Args[2]))
	}
	os.Exit(run(m))
}

// ownerName is a program that has policies evaluated, and waits to be killed.
const ownerName = "owner"

func own(executable, dir string) int {
	opt := Options{Build: Build{Filename: "Dockerfile"}, DockerfileDir: dir, Executable: executable}
	rules, err := Load(context.Background(), nil, nil, opt)
	if err == nil {
		_, err = rules.Enforce(context.Background(), nil)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println(rules.evaluator.cmd.Process.Pid)
	time.Sleep(time.Minute)
	return 1
}

// atOnce runs a program that does not wait for a second before it ends, as the
// race detector has one do that ended well: https://go.dev/doc/articles/race_detector.
// Close measures how long the end takes.
func atOnce(program func() int) int {
	const waits = "atexit_sleep_ms=0"
	if os.Getenv("GORACE") == waits {
		return program()
	}
	own, err := os.Executable()
	if err == nil {
		err = syscall.Exec(own, os.Args, append(os.Environ(), "GORACE="+waits))
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

func evaluate() int {
	serves, calls, err := wire.Inherited()
	if err == nil {
		err = rego.Serve(serves, calls)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "policy-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	own, err := os.Executable()
	for _, name := range []string{programName, ownerName} {
		if err == nil {
			err = os.Symlink(own, filepath.Join(dir, name))
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	evaluatorFor = filepath.Join(dir, "hullwright")
	return m.Run()
}
