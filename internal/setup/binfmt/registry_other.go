//go:build !linux

package binfmt

import "errors"

// Mount needs Linux.
func (r Registry) Mount() error { return errors.ErrUnsupported }

// Unmount needs Linux.
func (r Registry) Unmount() error { return errors.ErrUnsupported }
