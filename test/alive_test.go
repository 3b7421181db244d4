package test

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// alive waits until as many processes of a program run as are wanted. It counts
// those that have the script's own HOME.
//
//	alive PROGRAM COUNT WITHIN
func alive(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: alive PROGRAM COUNT WITHIN")
	}
	want, err := strconv.Atoi(args[1])
	ts.Check(err)
	within, err := time.ParseDuration(args[2])
	ts.Check(err)
	for deadline := time.Now().Add(within); ; time.Sleep(20 * time.Millisecond) {
		got := countAlive(args[0], ts.Getenv("HOME"))
		if got == want {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%d processes %s, want %d", got, args[0], want)
		}
	}
}

func countAlive(program, home string) (count int) {
	dirs, _ := filepath.Glob("/proc/[0-9]*") // the pattern is well formed
	for _, dir := range dirs {
		argv, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err != nil {
			continue // it ended
		}
		path, _, _ := bytes.Cut(argv, []byte{0})
		if filepath.Base(string(path)) != program {
			continue
		}
		environ, err := os.ReadFile(filepath.Join(dir, "environ"))
		if err == nil && bytes.Contains(append([]byte{0}, environ...), []byte("\x00HOME="+home+"\x00")) {
			count++
		}
	}
	return count
}
