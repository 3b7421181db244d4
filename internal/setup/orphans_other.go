//go:build !linux

package setup

import "context"

// inProcesses finds nothing: process builders run on Linux only.
func (s *sweep) inProcesses(context.Context) error { return nil }
