package setup

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/moby/sys/atomicwriter"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// machineFile is in buildx's directory:
// https://github.com/docker/buildx/blob/v0.37.0/util/confutil/config.go
const machineFile = ".buildNodeID"

// MachineID tells this machine from others that use the same builder. It is the
// one that buildx has for it, made where there is none; empty where there is no
// store of builders, or none that we may write to, as with buildx.
func (m *Manager) MachineID() (string, error) {
	path := filepath.Join(m.storeDir(), machineFile)
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		id := make([]byte, 8)
		rand.Read(id) // never fails
		if atomicwriter.WriteFile(path, []byte(hex.EncodeToString(id)), 0o600) != nil {
			return "", nil
		}
		raw, err = os.ReadFile(path) // another process may have been the last to write
	}
	if err != nil {
		return "", errdefs.New(errdefs.Environment, "builder store: %w", err)
	}
	return string(raw), nil
}
