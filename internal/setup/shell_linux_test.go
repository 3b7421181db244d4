package setup

import (
	"os"
	"path/filepath"
	"testing"
)

// TestRealEmulatedShell builds with a shell under emulation, which is where
// registrations with the wrong flags show: the arguments of sh -c shift.
func TestRealEmulatedShell(t *testing.T) {
	for _, driver := range []string{DockerContainer, Process} {
		t.Run(driver, func(t *testing.T) {
			m, ctx := real(t), limited(t)
			state := newState(t, m)
			b, err := m.Ensure(ctx, Spec{Driver: driver, DriverOpts: map[string]string{"network": "host"}}, state)
			check(t, err)
			_, err = m.Emulate(ctx, b, platforms3(t), "", state)
			check(t, err)
			dir := t.TempDir()
			const file = "FROM alpine:3\nRUN echo \"$(uname -m) $(sh -c 'echo $0 $1' 'x y' z)\" > /proof\n"
			check(t, os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(file), 0o600))
			buildx(ctx, t, m, "build", "--builder", b.Name, "--platform", "linux/amd64,linux/arm64,linux/arm/v7",
				"--output", "type=local,dest="+filepath.Join(dir, "out"), dir)
			for platform, want := range map[string]string{
				"linux_amd64": "x86_64 x y z\n", "linux_arm64": "aarch64 x y z\n", "linux_arm_v7": "armv7l x y z\n",
			} {
				got, err := os.ReadFile(filepath.Join(dir, "out", platform, "proof"))
				if err != nil || string(got) != want {
					t.Errorf("%s: %q (%v), want %q", platform, got, err, want)
				}
			}
			check(t, m.Teardown(ctx, state.Path()))
		})
	}
}
