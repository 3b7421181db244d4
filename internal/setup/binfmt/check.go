package binfmt

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// Args are the arguments that the check expects after its own name.
var Args = []string{"a", "b c", "d"}

// Check is a static program of a few instructions for an architecture, named as
// in a platform. It exits with 0 when it got [Args], could start itself again in
// a child, and handled a signal; [Explain] says what its other exit codes mean.
// It is false where there is no check for the architecture.
func Check(arch string) ([]byte, bool) {
	p, ok := programs[arch]
	if !ok {
		return nil, false
	}
	code, err := hex.DecodeString(p.code)
	if err != nil {
		panic(err) // a slip in the table; its test finds it
	}
	return p.file(code), true
}

// Explain says what an exit code of the check means.
func Explain(code int) string {
	switch code {
	case 0:
		return "the program ran"
	case 21:
		return "the program ran with other arguments than were given: the registration's flags do not suit the emulator"
	case 22:
		return "the program ran, and could not start itself again"
	case 23:
		return "the program ran, and the child that it forked crashed or was never there"
	case 24:
		return "the program ran, and a signal did not reach its handler"
	}
	// What starts programs in a build gives 1 or 255 for "exec format error".
	return fmt.Sprintf("nothing runs such programs (exit code %d)", code)
}

// base is the address at which the program lies. A page may be 64 KiB.
const base = 0x10000

// file wraps code in the smallest file that Linux starts: a header, one
// segment, no sections.
func (p program) file(code []byte) []byte {
	var head any
	ident := [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(p.class), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)}
	if p.order == binary.BigEndian {
		ident[elf.EI_DATA] = byte(elf.ELFDATA2MSB)
	}
	const size64, size32 = 64 + 56, 52 + 32
	if p.class == elf.ELFCLASS64 {
		total := uint64(size64 + len(code))
		head = struct {
			elf.Header64
			elf.Prog64
		}{
			elf.Header64{
				Ident: ident, Type: uint16(elf.ET_EXEC), Machine: uint16(p.machine), Version: uint32(elf.EV_CURRENT),
				Entry: base + size64, Phoff: 64, Flags: p.flags, Ehsize: 64, Phentsize: 56, Phnum: 1,
			},
			elf.Prog64{
				Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X),
				Vaddr: base, Paddr: base, Filesz: total, Memsz: total, Align: base,
			},
		}
	} else {
		total := uint32(size32 + len(code))
		head = struct {
			elf.Header32
			elf.Prog32
		}{
			elf.Header32{
				Ident: ident, Type: uint16(elf.ET_EXEC), Machine: uint16(p.machine), Version: uint32(elf.EV_CURRENT),
				Entry: base + size32, Phoff: 52, Flags: p.flags, Ehsize: 52, Phentsize: 32, Phnum: 1,
			},
			elf.Prog32{
				Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X),
				Vaddr: base, Paddr: base, Filesz: total, Memsz: total, Align: base,
			},
		}
	}
	var buf bytes.Buffer
	binary.Write(&buf, p.order, head) // into memory, of fixed sizes: no error
	buf.Write(code)
	return buf.Bytes()
}

// Run runs the check for an architecture on this machine, from dir, which holds
// nothing else that matters. Root runs it with that directory as its whole file system,
// as in a container: an emulator that the kernel opens only then is not found. A
// nil error is a proof; [ErrUnproved] is in the error's tree where the check
// could not even be tried.
func Run(ctx context.Context, dir, arch string) error {
	file, ok := Check(arch)
	if !ok {
		return fmt.Errorf("%w: no check for architecture %s", ErrUnproved, arch)
	}
	path := filepath.Join(dir, "check")
	defer os.Remove(path) // what stays goes with dir
	if err := os.WriteFile(path, file, 0o700); err != nil {
		return fmt.Errorf("%w: %w", ErrUnproved, err)
	}
	err := runIn(ctx, dir, path, true)
	if errors.Is(err, os.ErrPermission) { // even root may not everywhere
		err = runIn(ctx, dir, path, false)
	}
	if errors.Is(err, os.ErrPermission) { // dir is mounted noexec
		return fmt.Errorf("%w: %w", ErrUnproved, err)
	}
	return err
}

func runIn(ctx context.Context, dir, path string, contained bool) error {
	ctx, cancel := context.WithTimeout(ctx, runLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, Args...)
	endWithChildren(cmd)
	if contained {
		contain(cmd, dir)
	}
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("the program did not end: %w", ctx.Err())
	case errors.As(err, &exit) && exit.Exited():
		return errors.New(Explain(exit.ExitCode()))
	}
	return err
}

// runLimit is how long the check may run, which takes milliseconds.
const runLimit = 20 * time.Second

// ErrUnproved is that the check could not be tried, which says nothing of the
// emulator.
var ErrUnproved = errors.New("not proved")
