package setup

import "golang.org/x/sys/unix"

// kernel is the release of the kernel that we run on.
func kernel() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}
