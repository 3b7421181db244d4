package ci

import (
	"io"
)

// Host is what a provider may touch: its job's environment and streams.
type Host struct {
	Environ map[string]string
	Stdout  io.Writer // where workflow commands go
	Stderr  io.Writer
	Dir     string // working directory, absolute
	// DotenvFile receives outputs as KEY=value lines, on any system where it
	// is set. The default is empty, on GitLab hullwright.env in Dir.
	DotenvFile string
}

// Detect finds the provider of a host. name, where not empty, beats what the
// environment says; an unknown one is an errdefs.BadInput of input "provider".
func Detect(h Host, name string) (Provider, error) { panic("not yet") }
