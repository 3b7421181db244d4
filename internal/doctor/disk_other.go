//go:build !linux && !darwin && !freebsd

package doctor

import "errors"

func spaceOf(string) (space, error) { return space{}, errors.ErrUnsupported }
