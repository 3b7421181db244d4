package policy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/moby/buildkit/util/grpcerrors"
	"google.golang.org/grpc/codes"

	"github.com/hullwright/hullwright/internal/policy/wire"
)

// host is what the program that evaluates may ask of this one.
type host struct{ rules *Rules }

// Say implements wire.Host.
func (h host) Say(_ context.Context, line string) error {
	h.rules.log(line)
	return nil
}

// Read implements wire.Host.
func (h host) Read(ctx context.Context, i wire.Import) ([]byte, error) {
	if i.Set < 0 || i.Set >= len(h.rules.sets) || h.rules.sets[i.Set].imports == nil {
		return nil, grpcerrors.WrapCode(fmt.Errorf("set %d imports nothing", i.Set), codes.NotFound)
	}
	data, err := h.rules.sets[i.Set].imports.read(ctx, i.Name)
	var path *os.PathError
	if errors.As(err, &path) {
		return nil, grpcerrors.WrapCode(path.Err, codes.NotFound)
	}
	return data, err
}

// Dial implements wire.Host.
func (h host) Dial(ctx context.Context) (net.Conn, error) {
	if h.rules.opt.Dial == nil {
		return nil, errors.New("no daemon to ask")
	}
	return h.rules.opt.Dial(ctx)
}
