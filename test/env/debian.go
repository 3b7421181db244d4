package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// treePackages are what a BuildKit image needs beside a minimal Debian: git
// for git contexts, ssh for their remotes, runc to run steps.
var treePackages = []string{"ca-certificates", "git", "openssh-client", "runc"}

// treeOmits are left out of the tree's layer: nothing in a build reads them,
// and they are half of its size.
var treeOmits = []string{
	"./dev/*", "./proc/*", "./sys/*", "./var/cache/apt/*", "./var/lib/apt/lists/*", "./var/log/*",
	"./usr/share/doc/*", "./usr/share/info/*", "./usr/share/locale/*", "./usr/share/man/*",
}

// source is where the machine's own apt gets Debian from.
type source struct {
	uri      string
	signedBy string // a key ring's path; empty is apt's default
}

// parseSources finds the entry of a release's main component in the text of
// apt's sources, in either of their formats.
func parseSources(text, codename string) (source, bool) {
	for paragraph := range strings.SplitSeq(text, "\n\n") {
		if s, ok := parseDeb822(paragraph, codename); ok {
			return s, true
		}
		for line := range strings.Lines(paragraph) {
			if s, ok := parseOneLine(line, codename); ok {
				return s, true
			}
		}
	}
	return source{}, false
}

// parseDeb822 reads one paragraph of a .sources file.
func parseDeb822(paragraph, codename string) (source, bool) {
	fields := map[string]string{}
	for line := range strings.Lines(paragraph) {
		k, v, ok := strings.Cut(line, ":")
		if !ok || strings.HasPrefix(line, "#") || strings.HasPrefix(line, " ") {
			continue
		}
		fields[strings.ToLower(k)] = strings.TrimSpace(v)
	}
	uris := strings.Fields(fields["uris"])
	ok := len(uris) > 0 &&
		slices.Contains(strings.Fields(fields["types"]), "deb") &&
		slices.Contains(strings.Fields(fields["suites"]), codename) &&
		slices.Contains(strings.Fields(fields["components"]), "main")
	if !ok {
		return source{}, false
	}
	s := source{uri: uris[0]}
	if strings.HasPrefix(fields["signed-by"], "/") {
		s.signedBy = fields["signed-by"]
	}
	return s, true
}

// parseOneLine reads a line of a sources.list: deb [options] uri suite component...
func parseOneLine(line, codename string) (source, bool) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(line), "deb ")
	if !ok {
		return source{}, false
	}
	var s source
	rest = strings.TrimSpace(rest)
	if options, after, ok := strings.Cut(rest, "]"); ok && strings.HasPrefix(rest, "[") {
		for _, option := range strings.Fields(options[1:]) {
			if path, ok := strings.CutPrefix(option, "signed-by="); ok {
				s.signedBy = path
			}
		}
		rest = after
	}
	fields := strings.Fields(rest)
	if len(fields) < 3 || fields[1] != codename || !slices.Contains(fields[2:], "main") {
		return source{}, false
	}
	s.uri = fields[0]
	return s, true
}

// list is the source as a sources.list.
func (s source) list(codename string) string {
	option := ""
	if s.signedBy != "" {
		option = "[signed-by=" + s.signedBy + "] "
	}
	return "deb " + option + s.uri + " " + codename + " main\n"
}

// debianSource is the machine's own source of its own release.
func (w *world) debianSource() (source, error) {
	if !w.host.debian || !w.host.root {
		return source{}, errdefs.New(errdefs.Environment, "base images are made of Debian's packages, as root on Debian")
	}
	files := []string{"/etc/apt/sources.list"}
	for _, pattern := range []string{"/etc/apt/sources.list.d/*.sources", "/etc/apt/sources.list.d/*.list"} {
		more, err := filepath.Glob(pattern)
		if err != nil {
			return source{}, err
		}
		files = append(files, more...)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return source{}, err
		}
		if s, ok := parseSources(string(text), w.host.codename); ok {
			return s, nil
		}
	}
	return source{}, errdefs.New(errdefs.Environment, "no source of %s main in /etc/apt", w.host.codename)
}

// debianTree gives the layer of a small Debian, as a .tar.gz in the cache.
func (w *world) debianTree(ctx context.Context) (string, error) {
	layer := w.cache("debian.tar.gz")
	recipe := recipeOf([]byte(w.host.codename), []byte(strings.Join(treePackages, ",")), []byte(strings.Join(treeOmits, ",")))
	if _, err := os.Stat(layer); err == nil && w.stamped("debian", recipe) {
		return layer, nil
	}
	s, err := w.debianSource()
	if err != nil {
		return "", err
	}
	root := w.cache("debian.root")
	remove := func() error { // what debootstrap mounted in it first
		return errors.Join(unmountBelow(root), os.RemoveAll(root))
	}
	if err := remove(); err != nil {
		return "", err
	}
	defer remove()
	_, err = w.run(w.cmd(ctx, nil, "debootstrap", "--variant=minbase", "--include="+strings.Join(treePackages, ","), w.host.codename, root, s.uri))
	if err != nil {
		return "", err
	}
	if err := unmountBelow(root); err != nil {
		return "", err
	}
	if err := w.tarGz(ctx, root, layer, "", treeOmits); err != nil {
		return "", err
	}
	return layer, w.stamp("debian", recipe)
}

// goTree gives the layer of the Go toolchain that runs env, below /usr/local/go.
func (w *world) goTree(ctx context.Context) (string, error) {
	out, err := w.run(w.cmd(ctx, nil, "go", "env", "GOROOT", "GOVERSION"))
	if err != nil {
		return "", err
	}
	root, _, _ := strings.Cut(string(out), "\n")
	layer, recipe := w.cache("go.tar.gz"), recipeOf(out)
	if _, err := os.Stat(layer); err == nil && w.stamped("go", recipe) {
		return layer, nil
	}
	if err := w.tarGz(ctx, root, layer, "usr/local/go", []string{"./api", "./doc", "./misc", "./test"}); err != nil {
		return "", err
	}
	return layer, w.stamp("go", recipe)
}

// tarGz packs a tree, at a place in the image. It follows links out of the tree
// only where it is moved: Debian's Go is such a tree.
func (w *world) tarGz(ctx context.Context, root, to, at string, omit []string) error {
	args := []string{"--numeric-owner", "--one-file-system", "--sort=name", "-C", root, "-I", "gzip -1 -n", "-cf", to + ".next"}
	if at != "" {
		args = append(args, "--owner=0", "--group=0", "--dereference", "--transform", "s,^\\.,"+at+",")
	}
	for _, o := range omit {
		args = append(args, "--exclude="+o)
	}
	if _, err := w.run(w.cmd(ctx, nil, "tar", append(args, ".")...)); err != nil {
		return err
	}
	return os.Rename(to+".next", to)
}

// busyboxes gives Debian's static busybox for each of Debian's architectures.
// It asks apt in a directory of its own, so that the machine's apt does not
// learn foreign architectures.
func (w *world) busyboxes(ctx context.Context, archs []string) (map[string][]byte, error) {
	binaries := map[string][]byte{}
	recipe := recipeOf([]byte(w.host.codename), []byte(strings.Join(archs, ",")))
	if !w.stamped("busybox", recipe) {
		if err := w.downloadBusyboxes(ctx, archs); err != nil {
			return nil, err
		}
		if err := w.stamp("busybox", recipe); err != nil {
			return nil, err
		}
	}
	for _, arch := range archs {
		raw, err := os.ReadFile(w.cache("busybox-" + arch))
		if err != nil {
			return nil, err
		}
		binaries[arch] = raw
	}
	return binaries, nil
}

func (w *world) downloadBusyboxes(ctx context.Context, archs []string) error {
	s, err := w.debianSource()
	if err != nil {
		return err
	}
	dir := w.cache("apt")
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for _, sub := range []string{"state/lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return err
		}
	}
	for name, text := range map[string]string{"sources.list": s.list(w.host.codename), "status": "", "apt.conf": aptConf(dir, archs)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	apt := func(args ...string) error {
		c := w.cmd(ctx, []string{"APT_CONFIG=" + filepath.Join(dir, "apt.conf")}, "apt-get", args...)
		c.Dir = dir
		_, err := w.run(c)
		return err
	}
	if err := apt("update", "-q"); err != nil {
		return err
	}
	for _, arch := range archs {
		if err := apt("download", "-q", "busybox-static:"+arch); err != nil {
			return err
		}
		if err := w.unpackBusybox(ctx, dir, arch); err != nil {
			return err
		}
	}
	return nil
}

// aptConf is an apt.conf that keeps apt in dir and knows these architectures.
func aptConf(dir string, archs []string) string {
	return fmt.Sprintf(`Dir::Etc::SourceList %[1]q;
Dir::Etc::SourceParts "/dev/null";
Dir::State %[2]q;
Dir::State::status %[3]q;
Dir::Cache %[4]q;
Acquire::Languages "none";
APT::Sandbox::User "root";
#clear APT::Architectures;
APT::Architectures { "%[5]s"; };
`, dir+"/sources.list", dir+"/state", dir+"/status", dir+"/cache", strings.Join(archs, `"; "`))
}

func (w *world) unpackBusybox(ctx context.Context, dir, arch string) error {
	debs, err := filepath.Glob(filepath.Join(dir, "busybox-static_*_"+arch+".deb"))
	if err != nil {
		return err
	}
	if len(debs) != 1 {
		return fmt.Errorf("apt gave %d packages busybox-static of %s, not one", len(debs), arch)
	}
	root := filepath.Join(dir, arch)
	if _, err := w.run(w.cmd(ctx, nil, "dpkg-deb", "-x", debs[0], root)); err != nil {
		return err
	}
	for _, path := range []string{"bin/busybox", "usr/bin/busybox"} { // the second since Debian 13
		if err := os.Rename(filepath.Join(root, path), w.cache("busybox-"+arch)); err == nil {
			return nil
		}
	}
	return fmt.Errorf("no busybox in %s", filepath.Base(debs[0]))
}
