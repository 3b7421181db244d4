//go:build !linux

package setup

import (
	"context"
	"errors"
	"net"
)

// dial is for containers that run on this machine itself, which none does.
func (r running) dial(context.Context) (net.Conn, error) { return nil, errors.ErrUnsupported }
