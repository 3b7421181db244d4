//go:build !linux

package setup

import "os"

// self is the owner that this process is. Elsewhere than on Linux it can't be
// told from a later process of its number.
func self() *owner {
	host, _ := os.Hostname()
	return &owner{PID: os.Getpid(), Host: host}
}

func (o *owner) life() life {
	if here := self(); o.Host == here.Host && o.PID == here.PID {
		return lifeOn
	}
	return lifeUnknown
}

// mine is whether a file is no link: temporary directories are each user's own
// on the other systems.
func mine(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode()&os.ModeSymlink == 0
}
