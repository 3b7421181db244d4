//go:build !unix

package doctor

import "errors"

func spaceOf(string) (space, error) { return space{}, errors.ErrUnsupported }
