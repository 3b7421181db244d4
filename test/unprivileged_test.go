package test

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// box makes a program, $BOX_DIR/box, that runs a command in a container of the
// engine with the options before "--": a small Debian with this machine's
// programs, the network of the host and a user ci (1000) that has a range in
// /etc/subuid, as root has. newuidmap and newgidmap have capabilities there
// instead of setuid bits, but for a container with SETUID=1.
//
//	box
func box(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: box")
	}
	dir := publicDir(ts)
	for name, text := range map[string]string{
		"passwd": "root:x:0:0:root:/root:/bin/sh\nci:x:1000:1000::/nonexistent:/bin/sh\n",
		"group":  "root:x:0:\nci:x:1000:\n",
		"subuid": "ci:10000:65536\nroot:10000:65536\n",
		"subgid": "ci:10000:65536\nroot:10000:65536\n",
		"inside": inside,
	} {
		ts.Check(os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755))
	}
	ts.Check(asRoot("cp", os.Getenv("HULLWRIGHT_TEST_BUILDKITD_TOML"), filepath.Join(dir, "buildkitd.default.toml")))
	ts.Check(mappers(filepath.Join(dir, "mappers")))
	codename, err := exec.Command("sh", "-c", ". /etc/os-release && echo $VERSION_CODENAME").Output()
	ts.Check(err)
	image := fmt.Sprintf("%s/library/debian:%s-slim", ts.Getenv("REGISTRY_HOST"), strings.TrimSpace(string(codename)))
	name := "hullwright-box-" + ts.Getenv("RUN")
	ts.Defer(func() { exec.Command("docker", "rm", "--force", name).Run() }) // it is there after a failure alone
	ts.Check(os.WriteFile(filepath.Join(dir, "box"), []byte(fmt.Sprintf(outside, name, dir, image)), 0o755))
	ts.Setenv("BOX_DIR", dir)
}

// outside is the program box.
const outside = `#!/bin/sh
options=
while [ "$1" != -- ]; do options="$options $1"; shift; done
shift
exec docker run --rm --name %[1]s --network host -v /usr:/usr:ro -v %[2]s:/box:ro \
  -v %[2]s/passwd:/etc/passwd:ro -v %[2]s/group:/etc/group:ro -v %[2]s/subuid:/etc/subuid:ro -v %[2]s/subgid:/etc/subgid:ro \
  $options %[3]s /box/inside "$@"
`

// inside is what the container runs.
const inside = `#!/bin/sh
export PATH=/box/bin:/usr/sbin:/usr/bin:/sbin:/bin BUILDX_CONFIG=/tmp/buildx TMPDIR=/tmp
[ "$SETUID" = 1 ] || PATH=/box/mappers:$PATH
mkdir -p /tmp/buildx
cp /box/buildkitd.default.toml /tmp/buildx/
timeout 60 "$@"
code=$?
echo "left: $(ls /tmp | grep -v '^buildx$' | tr '\n' ' ')"
exit $code
`

// mappers puts newuidmap and newgidmap into a directory, each with the one
// capability that it needs.
func mappers(dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	for program, capability := range map[string]int{"newuidmap": unix.CAP_SETUID, "newgidmap": unix.CAP_SETGID} {
		from, err := exec.LookPath(program)
		if err != nil {
			return err
		}
		to := filepath.Join(dir, program)
		raw, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		if err := os.WriteFile(to, raw, 0o755); err != nil {
			return err
		}
		// VFS_CAP_REVISION_2 with the bit "effective", permitted and inheritable
		// https://man7.org/linux/man-pages/man7/capabilities.7.html
		value := make([]byte, 20)
		binary.LittleEndian.PutUint32(value, 0x02000001)
		binary.LittleEndian.PutUint32(value[4:], 1<<capability)
		if err := unix.Setxattr(to, "security.capability", value, 0); err != nil {
			return fmt.Errorf("give %s a capability: %w", to, err)
		}
	}
	return nil
}
