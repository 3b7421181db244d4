package binfmt

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
)

// Line is a registration as the kernel takes it: :name:M:offset:magic:mask:interpreter:flags
type Line struct {
	Name        string
	Magic       []byte
	Mask        []byte
	Interpreter string
	// Flags are P, preserve argv[0]; O, hand over the open file; C, take the
	// credentials of the program; F, open the interpreter now, so that it works
	// in containers.
	Flags string
}

// String is the line with every byte of magic and mask escaped.
func (l Line) String() string {
	return fmt.Sprintf(":%s:M::%s:%s:%s:%s", l.Name, escape(l.Magic), escape(l.Mask), l.Interpreter, l.Flags)
}

func escape(b []byte) string {
	var s strings.Builder
	for _, c := range b {
		fmt.Fprintf(&s, `\x%02x`, c)
	}
	return s.String()
}

// ParseLine reads a line as files in binfmt.d have them.
func ParseLine(s string) (Line, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return Line{}, fmt.Errorf("an empty registration")
	}
	fields := strings.Split(s[1:], s[:1])
	if len(fields) != 7 {
		return Line{}, fmt.Errorf("registration has %d fields, expected 7", len(fields))
	}
	if fields[0] == "" || strings.ContainsAny(fields[0], "/ ") || fields[1] != "M" || fields[2] != "" && fields[2] != "0" || fields[5] == "" {
		return Line{}, fmt.Errorf("registration %q is none of an executable format by its first bytes", fields[0])
	}
	magic, err := unescape(fields[3])
	if err != nil {
		return Line{}, err
	}
	mask, err := unescape(fields[4])
	if err != nil {
		return Line{}, err
	}
	if len(magic) == 0 || len(mask) != 0 && len(mask) != len(magic) {
		return Line{}, fmt.Errorf("registration %q has %d bytes of magic and %d of mask", fields[0], len(magic), len(mask))
	}
	return Line{Name: fields[0], Magic: magic, Mask: mask, Interpreter: fields[5], Flags: fields[6]}, nil
}

func unescape(s string) ([]byte, error) {
	var out []byte
	for i := 0; i < len(s); i++ {
		if !strings.HasPrefix(s[i:], `\x`) {
			out = append(out, s[i])
			continue
		}
		if len(s) < i+4 {
			return nil, fmt.Errorf("escape %q is cut off", s[i:])
		}
		b, err := hex.DecodeString(s[i+2 : i+4])
		if err != nil {
			return nil, fmt.Errorf("escape %q: %w", s[i:i+4], err)
		}
		out = append(out, b[0])
		i += 3
	}
	return out, nil
}

// Entry is a registration as the kernel shows it.
type Entry struct {
	Line
	Enabled bool
	// Offset is where the magic is; a line is always at 0.
	Offset string
}

// Emulates is whether an entry is for programs in ELF, which is all that an
// emulator of processors runs: WSLInterop and the like are not.
func (e Entry) Emulates() bool {
	return bytes.HasPrefix(e.Magic, []byte(elf.ELFMAG)) && e.Offset == "0"
}

// ParseEntry reads what a file in binfmt_misc shows.
func ParseEntry(name, text string) (Entry, error) {
	e := Entry{Line: Line{Name: name}}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		var err error
		switch key {
		case "enabled":
			e.Enabled = true
		case "interpreter":
			e.Interpreter = value
		case "offset":
			e.Offset = value
		case "flags:":
			e.Flags = value
		case "magic":
			e.Magic, err = hex.DecodeString(value)
		case "mask":
			e.Mask, err = hex.DecodeString(value)
		}
		if err != nil {
			return Entry{}, fmt.Errorf("entry %s: %s: %w", name, key, err)
		}
	}
	return e, nil
}

// Same is whether an entry is what a line registered. The kernel shows flags
// in an order of its own, and adds the O that C implies.
func (e Entry) Same(l Line) bool {
	if e.Name != l.Name || e.Interpreter != l.Interpreter || !bytes.Equal(e.Magic, l.Magic) {
		return false
	}
	for _, f := range l.Flags {
		if !strings.ContainsRune(e.Flags, f) {
			return false
		}
	}
	return len(e.Mask) == 0 || bytes.Equal(e.Mask, l.Mask)
}

// handles is whether the kernel gives a program that begins with head to the
// entry's interpreter.
func (e Entry) handles(head []byte) bool {
	if !e.Enabled || len(e.Magic) == 0 || len(head) < len(e.Magic) {
		return false
	}
	for i, m := range e.Magic {
		mask := byte(0xff)
		if i < len(e.Mask) {
			mask = e.Mask[i]
		}
		if (head[i]^m)&mask != 0 {
			return false
		}
	}
	return true
}

// magic is what every program of an architecture begins with: identification,
// type and machine. Free are the ABI's name, and the lowest bit of the type,
// since a program is either at fixed addresses (2) or movable (3).
func (p program) magic() (magic, mask []byte) {
	magic = bytes.Clone(p.file(nil)[:20])
	mask = bytes.Repeat([]byte{0xff}, 20)
	mask[elf.EI_OSABI] = 0
	low := 16
	if p.order == binary.BigEndian {
		low = 17
	}
	mask[low] = 0xfe
	return magic, mask
}
