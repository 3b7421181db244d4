package doctor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/docker/go-units"
	"github.com/moby/buildkit/frontend/dockerfile/command"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/patternmatcher/ignorefile"
	"github.com/tonistiigi/fsutil"
	fstypes "github.com/tonistiigi/fsutil/types"

	"github.com/hullwright/hullwright/internal/errdefs"
)

const (
	dockerfileCap = 1 << 20   // bytes of a Dockerfile that are read
	contextLarge  = 500 << 20 // bytes
	contextFiles  = 200_000   // that are counted
)

func checkDockerfile(_ context.Context, r *run) []Finding {
	var list []Finding
	for input, id := range map[string]string{"context": "context-missing", "file": "dockerfile-missing"} {
		for _, fault := range r.faults(func(in string) bool { return in == input }) {
			list = append(list, because(id, "", fault))
		}
	}
	path := r.Source.Dockerfile
	switch {
	case len(list) > 0:
		return list
	case path == "":
		return leftOut("it is not on this machine")
	}
	f, err := os.Open(path)
	if err != nil {
		return []Finding{find("dockerfile-missing", "", "%v", err)}
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, dockerfileCap))
	if err != nil {
		return []Finding{find("dockerfile-missing", "", "%v", err)}
	}
	return []Finding{judgeDockerfile(path, raw)}
}

// ownSyntax are the frontends that read what BuildKit's own parser does.
var ownSyntax = regexp.MustCompile(`^(docker\.io/)?docker/dockerfile(:|@|$)`)

func judgeDockerfile(path string, raw []byte) Finding {
	if syntax, _, _, set := parser.DetectSyntax(raw); set && !ownSyntax.MatchString(syntax) {
		return find("left-out", path, "it is read by the frontend %s", syntax)
	}
	parsed, err := parser.Parse(bytes.NewReader(raw))
	if err != nil {
		var at *parser.LocationError
		if errors.As(err, &at) && len(at.Locations) > 0 && len(at.Locations[0]) > 0 && at.Locations[0][0].Start.Line > 0 {
			return find("dockerfile-invalid", path, "line %d: %v", at.Locations[0][0].Start.Line, err)
		}
		return find("dockerfile-invalid", path, "%v", err)
	}
	return judgeInstructions(path, parsed.AST.Children)
}

// judgeInstructions holds the instructions against those that there are. What
// follows them the build itself says.
func judgeInstructions(path string, list []*parser.Node) Finding {
	stages := 0
	for _, node := range list {
		word := strings.ToLower(node.Value)
		_, known := command.Commands[word]
		switch {
		case !known:
			f := find("dockerfile-invalid", path, "line %d: unknown instruction %s", node.StartLine, strings.ToUpper(word))
			if near := errdefs.Nearest(word, slices.Sorted(maps.Keys(command.Commands))); near != "" {
				f = f.then("did you mean " + strings.ToUpper(near) + "?")
			}
			return f
		case word == command.From && node.Next == nil:
			return find("dockerfile-invalid", path, "line %d: FROM names no image", node.StartLine)
		case word == command.From:
			stages++
		case stages == 0 && word != command.Arg:
			return find("dockerfile-invalid", path, "line %d: %s comes before the first FROM", node.StartLine, strings.ToUpper(word))
		}
	}
	if stages == 0 {
		return find("dockerfile-invalid", path, "it has no FROM")
	}
	return ok(path, "parses, %s", count(stages, "stage"))
}

// count is "1 stage" or "2 stages".
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func checkContext(ctx context.Context, r *run) []Finding {
	dir := r.Source.Dir
	if dir == "" {
		return leftOut("it is not a directory of this machine")
	}
	patterns, has, err := ignored(r.Source)
	if err != nil {
		return []Finding{find("ignore-invalid", dir, "%v", err)}
	}
	size, files, err := measure(ctx, dir, patterns)
	shown := units.BytesSize(float64(size))
	switch {
	case errors.Is(err, errManyFiles):
		return []Finding{find("context-unbounded", dir, "over %d files, %s so far", files, shown)}
	case err != nil:
		return []Finding{find("ignore-invalid", dir, "%v", err)}
	case size > contextLarge:
		return []Finding{find("context-large", dir, "%s in %s", shown, count(files, "file"))}
	}
	if _, err := os.Stat(filepath.Join(dir, ".git")); err == nil && !has {
		return []Finding{find("ignore-missing", dir, "%s in %s, .git among them", shown, count(files, "file"))}
	}
	return []Finding{ok(dir, "%s in %s", shown, count(files, "file"))}
}

// ignored are the patterns of what a builder is not sent: those beside the
// Dockerfile before those of the context, as BuildKit's frontend reads them.
func ignored(s Source) (patterns []string, has bool, err error) {
	for _, path := range []string{s.Dockerfile + ".dockerignore", filepath.Join(s.Dir, ".dockerignore")} {
		raw, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, false, err
		}
		patterns, err := ignorefile.ReadAll(bytes.NewReader(raw))
		return patterns, true, err
	}
	return nil, false, nil
}

var errManyFiles = errors.New("more files than are counted")

// measure adds up what would be sent.
func measure(ctx context.Context, dir string, excluded []string) (size int64, files int, err error) {
	root, err := fsutil.NewFS(dir)
	if err != nil {
		return 0, 0, err
	}
	sent, err := fsutil.NewFilterFS(root, &fsutil.FilterOpt{ExcludePatterns: excluded})
	if err != nil {
		return 0, 0, err
	}
	err = sent.Walk(ctx, "", func(_ string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if files >= contextFiles || ctx.Err() != nil {
			return errManyFiles
		}
		info, err := entry.Info()
		if err != nil {
			return nil // it is gone by now
		}
		if stat, ok := info.Sys().(*fstypes.Stat); ok && info.Mode().IsRegular() {
			files++
			size += stat.Size
		}
		return nil
	})
	return size, files, err
}
