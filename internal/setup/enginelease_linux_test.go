package setup

import (
	"context"
	"slices"
	"testing"

	"github.com/hullwright/hullwright/internal/setup/binfmt"
)

// TestRealLastTwoTogether has the last two runs that use what an image registered
// undone step by step together: neither leaves it to the other for ever.
func TestRealLastTwoTogether(t *testing.T) {
	m, ctx := real(t), limited(t)
	const arch = "s390x" // as in TestRealEmulateByImage, before or after this
	name := binfmt.Name(arch)
	if registered(t, name) {
		t.Fatalf("%s is registered on this machine: echo -1 > %s/%s", name, binfmt.Dir, name)
	}
	endpoint, err := m.currentEndpoint()
	check(t, err)
	maker, guest := newState(t, m), newState(t, m)
	registerAs(ctx, t, &imageRunner{m: m, endpoint: endpoint, image: DefaultBinfmtImage, state: maker}, arch)
	check(t, m.joinImages(ctx, endpoint, []string{arch}, guest))
	if !guest.has(kindBinfmtImage, name) {
		t.Fatal("the second run takes no part")
	}
	for first, second := maker.made(0), guest.made(0); len(first)+len(second) > 0; {
		first, second = undoLast(ctx, t, m, maker, first), undoLast(ctx, t, m, guest, second)
	}
	if registered(t, name) {
		t.Errorf("%s is registered still", name)
	}
}

// registerAs has the image register an architecture as for who is not root here.
func registerAs(ctx context.Context, t *testing.T, r *imageRunner, arch string) {
	t.Helper()
	check(t, r.pull(ctx))
	tried := entry{Kind: kindBinfmtImage, ID: binfmt.Name(arch), Where: r.endpoint, Detail: r.image}
	check(t, r.state.record(tried))
	after, err := r.run(ctx, "--install", arch)
	check(t, err)
	if !slices.Contains(after.Emulators, tried.ID) {
		t.Fatalf("the image registered %v", after.Emulators)
	}
	check(t, r.own(ctx, tried, after, nil))
}

// undoLast undoes the newest of what is left of a run.
func undoLast(ctx context.Context, t *testing.T, m *Manager, s *State, left []entry) []entry {
	t.Helper()
	if len(left) == 0 {
		return nil
	}
	e := left[len(left)-1]
	check(t, m.told(e, m.undoOne(ctx, e, s)))
	check(t, s.forget(e))
	return left[:len(left)-1]
}
