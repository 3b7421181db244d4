package progress

import (
	"context"
	"encoding/json"
	"io"
	"strings"
	"unicode/utf16"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/util/progress/progressui"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// Mode is how a build is shown while it runs. The zero value is [Plain].
type Mode string

// The modes, named as buildx's --progress names them.
const (
	Plain   Mode = "plain"   // lines, as logs keep them
	TTY     Mode = "tty"     // live, on a terminal
	Quiet   Mode = "quiet"   // nothing
	RawJSON Mode = "rawjson" // BuildKit's own news, one JSON object a line
)

// ParseMode reads the input progress. auto, and nothing, is [TTY] where a person
// watches a terminal, else [Plain]. An error is an errdefs.BadInput.
func ParseMode(text string, terminal bool) (Mode, error) {
	switch mode := Mode(text); mode {
	case "", "auto":
		if terminal {
			return TTY, nil
		}
		return Plain, nil
	case TTY:
		if !terminal {
			return "", errdefs.BadInputf("progress", 0, "tty needs a terminal, and standard error is none that a person watches").
				WithHint("auto is live on a terminal, and plain elsewhere")
		}
		return mode, nil
	case Plain, Quiet, RawJSON:
		return mode, nil
	}
	return "", errdefs.BadInputf("progress", 0, "unknown display %q", text).WithHint("one of auto, tty, plain, quiet, rawjson")
}

// display gives what shows a stream until it ends.
func display(w io.Writer, mode Mode) (func(context.Context, chan *client.SolveStatus) error, error) {
	if mode == RawJSON {
		return func(_ context.Context, status chan *client.SolveStatus) error { return writeJSON(w, status) }, nil
	}
	if mode == "" {
		mode = Plain
	}
	d, err := progressui.NewDisplay(w, progressui.DisplayMode(mode))
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, status chan *client.SolveStatus) error {
		_, err := d.UpdateFrom(ctx, status)
		return err
	}, nil
}

// writeJSON writes what progressui's rawjson does, in letters that no terminal
// and no CI system obeys: what is not ASCII is escaped, and so is "#", with
// which commands of the old form begin in the middle of a line.
func writeJSON(w io.Writer, status <-chan *client.SolveStatus) error {
	var failed error
	for s := range status { // to the end, whatever happens
		raw, err := json.Marshal(s)
		if err == nil && failed == nil {
			_, err = io.WriteString(w, inert(raw)+"\n")
		}
		if failed == nil {
			failed = err
		}
	}
	return failed
}

func inert(raw []byte) string {
	const hex = "0123456789abcdef"
	var b strings.Builder
	unit := func(u uint16) {
		b.WriteString(`\u`)
		for shift := 12; shift >= 0; shift -= 4 {
			b.WriteByte(hex[u>>shift&0xf])
		}
	}
	for _, r := range string(raw) {
		switch {
		case r == '#', r == 0x7f, r > 0x7f && r <= 0xffff:
			unit(uint16(r))
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			unit(uint16(high))
			unit(uint16(low))
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
