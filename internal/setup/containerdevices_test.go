package setup

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/moby/api/types/mount"
)

func TestWSLMounts(t *testing.T) {
	dir := t.TempDir()
	wsl := map[string]string{"WSL_DISTRO_NAME": "Debian"}
	want := []mount.Mount{{Type: mount.TypeBind, Source: dir, Target: dir, ReadOnly: true}}
	for name, tt := range map[string]struct {
		environ   map[string]string
		host, dir string
		want      []mount.Mount
	}{
		"in WSL":          {wsl, "unix:///var/run/docker.sock", dir, want},
		"elsewhere":       {nil, "unix:///var/run/docker.sock", dir, nil},
		"an engine afar":  {wsl, "tcp://10.0.0.1:2376", dir, nil},
		"no libraries":    {wsl, "unix:///var/run/docker.sock", dir + "/none", nil},
		"of Windows side": {wsl, "npipe:////./pipe/docker_engine", dir, want},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, wslMounts(tt.environ, tt.host, tt.dir)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
