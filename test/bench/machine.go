package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// describe says on which machine, with which programs and how figures were
// made: without that they mean nothing. What can't be found out is a "?".
func describe(ctx context.Context, l *lab) string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	first := func(args ...string) string { return l.firstLine(ctx, args...) }
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, line := range [][2]string{
		{"machine", fmt.Sprintf("%d cores %s, %s, load %s", runtime.NumCPU(), field("/proc/cpuinfo", "model name"), memoryOf("/proc/meminfo"), word("/proc/loadavg"))},
		{"kernel", word("/proc/sys/kernel/osrelease")},
		{"hullwright", first(l.program("hullwright"), "--version")},
		{"buildx", first("buildx", "version")},
		{"buildctl", first("buildctl", "--version")},
		{"engine", first("docker", "version", "--format", "{{.Server.Version}}")},
		{"registry", first("registry", "--version")},
		{"runs", fmt.Sprintf("%d of each, in turn; medians, peaks of memory aside; provenance %s for all", l.n, provenance)},
	} {
		fmt.Fprintf(w, "%s\t%s\n", line[0], line[1])
	}
	w.Flush() // to memory
	return b.String()
}

// firstLine is the first line that a program prints.
func (l *lab) firstLine(ctx context.Context, args ...string) string {
	p := exec.CommandContext(ctx, args[0], args[1:]...)
	p.Env = l.env
	out, err := p.Output()
	line, _, _ := bytes.Cut(bytes.TrimSpace(out), []byte("\n"))
	if err != nil || len(line) == 0 {
		return "?"
	}
	return string(line)
}

// field is the first value of a key in a file of "key : value" lines.
func field(path, key string) string {
	raw, _ := os.ReadFile(path) // "?" says that it can't be read
	for line := range strings.Lines(string(raw)) {
		k, v, ok := strings.Cut(line, ":")
		if ok && strings.TrimSpace(k) == key {
			return strings.TrimSpace(v)
		}
	}
	return "?"
}

// memoryOf is the machine's memory, from a file as /proc/meminfo.
func memoryOf(path string) string {
	kib, err := strconv.ParseFloat(strings.TrimSuffix(field(path, "MemTotal"), " kB"), 64)
	if err != nil {
		return "? GiB"
	}
	return strconv.FormatFloat(kib/(1<<20), 'f', 1, 64) + " GiB"
}

// word is the first word of a file.
func word(path string) string {
	raw, _ := os.ReadFile(path) // "?" says that it can't be read
	if words := strings.Fields(string(raw)); len(words) > 0 {
		return words[0]
	}
	return "?"
}
