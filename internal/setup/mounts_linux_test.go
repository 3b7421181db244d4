package setup

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

const mountinfo = `22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
90 22 254:0 /tmp/b/base/x /tmp/b/base/x rw - ext4 /dev/vda rw
91 90 0:50 / /tmp/b/base/x/with\040space rw - overlay overlay rw,upperdir=/tmp/other/fs
92 22 0:51 / /tmp/bb/base rw - tmpfs tmpfs rw
`

func TestMountsBelow(t *testing.T) {
	want := []string{"/tmp/b/base/x", "/tmp/b/base/x/with space"}
	if diff := cmp.Diff(want, mountsBelow(mountinfo, "/tmp/b")); diff != "" {
		t.Error(diff)
	}
	if got := mountsBelow(mountinfo, "/tmp/c"); len(got) > 0 {
		t.Errorf("got %v", got)
	}
}

func TestRootedIn(t *testing.T) {
	for name, tt := range map[string]struct {
		mountinfo string
		want      bool
	}{
		"the machine's": {mountinfo, false},
		"an overlay":    {"1 0 0:9 / / rw - overlay overlay rw,lowerdir=/x,upperdir=/tmp/b/base/1/fs\n", true},
		"a bind mount":  {"1 0 254:0 /tmp/b/base/1 / rw - ext4 /dev/vda rw\n", true},
		"another's":     {"1 0 254:0 /tmp/bb/base/1 / rw - ext4 /dev/vda rw\n", false},
	} {
		if got := rootedIn(tt.mountinfo, "/tmp/b"); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
