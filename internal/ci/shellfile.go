package ci

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// shellFile is a file of `export key='value'` lines that later commands read
// with "." in a POSIX shell. Every value arrives whole but one that holds NUL.
//
// A name's hyphens become underscores and its case stays, as in a dotenv file.
// Names are in lower case: those in upper case steer programs.
type shellFile struct{ path string }

var (
	shellName    = regexp.MustCompile(`^[a-z][a-z0-9_-]*$`)
	shellExports = regexp.MustCompile(`^(?:export [A-Za-z_][A-Za-z0-9_]*='(?:[^']|'\\'')*'\n)*$`)
)

// set adds a line; a later one beats an older one of that name.
func (f shellFile) set(name, value string) error {
	if !shellName.MatchString(name) {
		return fmt.Errorf("output name %q: must match %s", name, shellName)
	}
	return f.export(dotenvKey(name), value)
}

func (f shellFile) export(variable, value string) error {
	if strings.ContainsRune(value, 0) {
		return &Inexpressible{Name: variable, Reason: "holds NUL, which a shell can't carry"}
	}
	if err := appendFile(f.path, "export "+variable+"="+shellQuote(value)+"\n"); err != nil {
		return errdefs.New(errdefs.Environment, "output %s: %w", variable, err)
	}
	return nil
}

// shellQuote is a value that no POSIX shell reads anything into.
func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// inCheckout is set for a file that lies in the checkout, where a stranger's
// commit may have put a link that leads out of it, or commands to be run: such
// a file is refused.
func (f shellFile) inCheckout(name, value string) error {
	if err := f.ours(); err != nil {
		return errdefs.New(errdefs.Environment, "output %s: %w", name, err).WithHint("remove it from the repository: its place is needed for outputs")
	}
	return f.set(name, value)
}

func (f shellFile) ours() error {
	info, err := os.Lstat(f.path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", f.path)
	}
	file, err := os.Open(f.path)
	if err != nil {
		return err
	}
	defer file.Close()
	raw, err := io.ReadAll(io.LimitReader(file, payloadCap))
	if err != nil {
		return err
	}
	if !shellExports.Match(raw) {
		return fmt.Errorf("%s holds what hullwright did not write", f.path)
	}
	return nil
}

// workspace is a system whose steps share nothing but the checkout: outputs go
// to hullwright.sh in it.
type workspace struct{ system }

func newWorkspace(name string, h Host) workspace { return workspace{system{name: name, host: h}} }

// Output writes to hullwright.sh in the working directory, for later commands
// to read with ". ./hullwright.sh".
func (w workspace) Output(name, value string) error {
	f := shellFile{path: within(w.host.Dir, "hullwright.sh")}
	if err := f.inCheckout(name, value); err != nil {
		return err
	}
	return w.alsoDotenv(name, value)
}
