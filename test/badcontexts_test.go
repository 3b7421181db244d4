package test

import (
	"archive/tar"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// badtar writes a tar of entries: file:NAME, hard:NAME:TARGET, sym:NAME:TARGET,
// fifo:NAME, empty:COUNT for so many empty files, and huge:NAME for a header of
// 10^12 bytes with none after it. A file has the content of the script's file
// of that name, else "x".
//
//	badtar FILE ENTRY...
func badtar(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: badtar FILE ENTRY...")
	}
	f, err := os.Create(ts.MkAbs(args[0]))
	ts.Check(err)
	defer f.Close()
	w := tar.NewWriter(f)
	for _, entry := range args[1:] {
		kind, rest, _ := strings.Cut(entry, ":")
		name, target, _ := strings.Cut(rest, ":")
		h := &tar.Header{Name: name, Linkname: target, Mode: 0o644, ModTime: time.Unix(1, 0)}
		switch kind {
		case "file":
			content, err := os.ReadFile(ts.MkAbs(name))
			if err != nil {
				content = []byte("x")
			}
			h.Size = int64(len(content))
			ts.Check(w.WriteHeader(h))
			_, err = w.Write(content)
			ts.Check(err)
		case "hard", "sym", "fifo":
			h.Typeflag = map[string]byte{"hard": tar.TypeLink, "sym": tar.TypeSymlink, "fifo": tar.TypeFifo}[kind]
			ts.Check(w.WriteHeader(h))
		case "empty":
			count, err := strconv.Atoi(name)
			ts.Check(err)
			for i := range count {
				h.Name = fmt.Sprintf("many/%d/%d", i/1000, i)
				ts.Check(w.WriteHeader(h))
			}
		case "huge": // must be the last: the tar has no end
			h.Size = 1_000_000_000_000
			ts.Check(w.WriteHeader(h))
			return
		default:
			ts.Fatalf("no entry is called %s", kind)
		}
	}
	ts.Check(w.Close())
}

// manyFiles makes a folder with so many empty files, a thousand in each of its own.
//
//	manyfiles COUNT DIR
func manyFiles(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: manyfiles COUNT DIR")
	}
	count, err := strconv.Atoi(args[0])
	ts.Check(err)
	for i := range count {
		dir := filepath.Join(ts.MkAbs(args[1]), itoa(i/1000))
		if i%1000 == 0 {
			ts.Check(os.MkdirAll(dir, 0o755))
		}
		ts.Check(os.WriteFile(filepath.Join(dir, itoa(i)), nil, 0o644))
	}
}

// memory runs one of our programs with a file as standard input. It must end with
// a code, and never have more resident memory than so many MiB. What it says on
// standard error is in the file memory.err.
//
//	memory MIB CODE STDIN PROGRAM [ARG...]
func memory(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 4 {
		ts.Fatalf("usage: memory MIB CODE STDIN PROGRAM [ARG...]")
	}
	limit, err := strconv.Atoi(args[0])
	ts.Check(err)
	stdin, err := os.Open(ts.MkAbs(args[2]))
	ts.Check(err)
	defer stdin.Close()
	var said bytes.Buffer
	cmd := exec.Command(filepath.Join(programs, args[3]), args[4:]...)
	cmd.Dir, cmd.Env, cmd.Stdin, cmd.Stderr = ts.Getenv("WORK"), environOf(ts), stdin, &said
	ts.Check(cmd.Start())
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	peak, kill := 0, time.After(2*time.Minute)
	for running := true; running; {
		select {
		case <-done:
			running = false
		case <-kill:
			cmd.Process.Kill()
		case <-time.After(5 * time.Millisecond):
			peak = max(peak, highWater(cmd.Process.Pid))
		}
	}
	ts.Check(os.WriteFile(ts.MkAbs("memory.err"), said.Bytes(), 0o644))
	ts.Logf("%s: at most %d MiB of memory\n%s", args[3], peak>>10, said.Bytes())
	if code := cmd.ProcessState.ExitCode(); itoa(code) != args[1] {
		ts.Fatalf("exit code %d, want %s", code, args[1])
	}
	if peak == 0 || peak>>10 > limit {
		ts.Fatalf("%d KiB of memory, want at most %d MiB", peak, limit)
	}
}

// highWater is the most memory that a process had, in KiB, itself and not who
// started it; 0 where it is no more.
func highWater(pid int) int {
	raw, err := os.ReadFile(filepath.Join("/proc", itoa(pid), "status"))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(raw), "\nVmHWM:")
	var kib int
	fmt.Sscan(rest, &kib) // none in a process that ends
	return kib
}
