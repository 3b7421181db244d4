package registry

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// etagged makes a registry compare before it writes, as some do: it gives ETags,
// and refuses a write whose If-Match is another.
type etagged struct {
	mu sync.Mutex
	// wrong gives a new ETag every time, as a proxy may.
	wrong bool
	n     int
}

func (e *etagged) serve(w http.ResponseWriter, r *http.Request, next http.Handler) {
	e.mu.Lock()
	defer e.mu.Unlock()
	tag := func() string {
		e.n++
		if e.wrong {
			return `"` + strings.Repeat("x", e.n) + `"`
		}
		head := newRecorded(next, r, http.MethodHead)
		return `"` + head.Get("Docker-Content-Digest") + `"`
	}
	if want := r.Header.Get("If-Match"); want != "" && want != tag() {
		w.WriteHeader(http.StatusPreconditionFailed)
		return
	}
	if r.Method == http.MethodHead {
		w.Header().Set("ETag", tag())
	}
	next.ServeHTTP(w, r)
}

// lost is a registry that compares, does what was asked and gives no answer.
func (e *etagged) lost(w http.ResponseWriter, r *http.Request, next http.Handler) {
	lostAnswer(w, r, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { e.serve(w, r, next) }))
}

// A release that fails puts its tags back, and says of each what it has.
func TestRollback(t *testing.T) {
	t.Parallel()
	denied := func() *rule { // each registry counts in its own
		return &rule{method: "PUT", path: "/1.4$", action: status(403, `{"errors":[{"code":"DENIED"}]}`)}
	}
	for _, tt := range []struct {
		name  string
		rules []*rule
		moved bool // another run moves the tag 1.4.2 after our write
		off   bool
		rows  string
		has   [2]string // 1.4.2 and sha-abc1234 at the end: "old", "ours", "theirs" or ""
		err   string
	}{
		{name: "an old digest comes back, a new tag goes", rules: []*rule{denied()},
			rows: "latest:pending 1.4:failed 1.4.2:restored sha-abc1234:restored", has: [2]string{"old", ""}},
		{name: "switched off", rules: []*rule{denied()}, off: true,
			rows: "latest:pending 1.4:failed 1.4.2:written sha-abc1234:written", has: [2]string{"ours", "ours"}},
		{name: "a tag that another run moved stays", rules: []*rule{denied()}, moved: true,
			rows: "latest:pending 1.4:failed 1.4.2:failed sha-abc1234:restored", has: [2]string{"theirs", ""}},
		{name: "a registry that deletes no tag", rules: []*rule{denied(), {method: "DELETE", action: status(405, `{"errors":[{"code":"UNSUPPORTED"}]}`)}},
			rows: "latest:pending 1.4:failed 1.4.2:restored sha-abc1234:written", has: [2]string{"old", "ours"}, err: "sha-abc1234 back to no image: registry can't delete a tag"},
		{name: "a registry that says that it deleted", rules: []*rule{denied(), {method: "DELETE", action: status(202, "")}},
			rows: "latest:pending 1.4:failed 1.4.2:restored sha-abc1234:written", has: [2]string{"old", "ours"}, err: "which is still there"},
		{name: "the old manifest is gone", rules: []*rule{denied(), {method: "GET", path: "/manifests/sha256:", skip: 1, action: status(404, "")}},
			rows: "latest:pending 1.4:failed 1.4.2:written sha-abc1234:restored", has: [2]string{"ours", ""}, err: "1.4.2 back to sha256:"},
		{name: "a registry that compares", rules: []*rule{denied(), {action: (&etagged{}).serve}},
			rows: "latest:pending 1.4:failed 1.4.2:restored sha-abc1234:restored", has: [2]string{"old", ""}},
		{name: "ETags of another kind", rules: []*rule{denied(), {action: (&etagged{wrong: true}).serve}},
			rows: "latest:pending 1.4:failed 1.4.2:restored sha-abc1234:restored", has: [2]string{"old", ""}},
		{name: "a registry that compares, whose answer is lost", rules: []*rule{denied(), {method: "PUT", path: "/1.4.2$", skip: 1, count: 1, action: (&etagged{}).lost}, {action: (&etagged{}).serve}},
			rows: "latest:pending 1.4:failed 1.4.2:restored sha-abc1234:restored", has: [2]string{"old", ""}},
		{name: "other digest after PUT", rules: []*rule{{method: "PUT", path: "/1.4.2$", count: 1, action: with("Docker-Content-Digest", "sha256:"+strings.Repeat("0", 64))}},
			rows: "latest:pending 1.4:pending 1.4.2:restored sha-abc1234:restored", has: [2]string{"old", ""}},
		{name: "every answer lost", rules: []*rule{{method: "PUT", path: "/1.4$", action: lostAnswer}, {method: "HEAD", path: "/1.4$", skip: 2, count: 1, action: status(403, "")}},
			rows: "latest:pending 1.4:restored 1.4.2:restored sha-abc1234:restored", has: [2]string{"old", ""}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := newPeer(t, tt.rules...)
			ours, old, theirs := p.seed("app", testIndex(t, "linux/amd64")), p.seed("app", testIndex(t, "linux/arm64")), p.seed("app", testIndex(t, "linux/s390x"))
			full, commit := p.tag("app:1.4.2"), p.tag("app:sha-abc1234")
			p.point(full, old)
			r := tags(ours, p.tag("app:latest"), p.tag("app:1.4"), full, commit)
			r.Rollback = !tt.off
			var last []Written
			rows, err := newClient(t, WithRetry(Retry{Base: time.Millisecond, Tries: 2})).Release(deadline(t), r, func(rows []Written) error {
				last = slices.Clone(rows)
				if tt.moved && statuses(rows) == "latest:pending 1.4:pending 1.4.2:written sha-abc1234:written" {
					p.point(full, theirs)
				}
				return nil
			})
			if err == nil {
				t.Fatal("no error")
			}
			if tt.err != "" {
				checkError(t, err, tt.err)
			}
			if got := statuses(rows); got != tt.rows || statuses(last) != tt.rows {
				t.Errorf("rows\n got %s\nwant %s\nlast journal entry %s", got, tt.rows, statuses(last))
			}
			names := map[string]string{ours.String(): "ours", old.String(): "old", theirs.String(): "theirs"}
			for i, tag := range []name.Tag{full, commit} {
				if has := p.has(tag); names[has] != tt.has[i] || rows[i+2].After != has {
					t.Errorf("%s has %q (%s), want %q; its row says %s", tag, names[has], has, tt.has[i], rows[i+2].After)
				}
			}
		})
	}
}

// A tag that another run writes after we looked, before it is put back, stays in a
// registry that compares.
func TestMovedBeforePutBack(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		method string
		before bool // the tag had an image
	}{{"PUT", true}, {"DELETE", false}} {
		t.Run(tt.method, func(t *testing.T) {
			t.Parallel()
			compare := &etagged{}
			back := &rule{method: tt.method, path: "/1.4.2$"}
			p := newPeer(t, &rule{method: "PUT", path: "/1.4$", action: status(403, "")}, back, &rule{action: compare.serve})
			ours, old, theirs := p.seed("app", testIndex(t, "linux/amd64")), p.seed("app", testIndex(t, "linux/arm64")), p.seed("app", testIndex(t, "linux/s390x"))
			tag := p.tag("app:1.4.2")
			if tt.before {
				p.point(tag, old)
				back.skip = 1 // our own write
			}
			back.action = func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				p.point(tag, theirs)
				compare.serve(w, r, next)
			}
			r := tags(ours, tag, p.tag("app:1.4"))
			r.Rollback = true
			rows, err := newClient(t).Release(deadline(t), r, nil)
			checkError(t, err, "403 Forbidden")
			if p.has(tag) != theirs.String() || rows[0].After != theirs.String() || rows[0].Status != statusFailed || rows[0].Reason != "not put back: another run wrote it" {
				t.Errorf("the tag has %s, want %s; its row is %+v", p.has(tag), theirs, rows[0])
			}
		})
	}
}

// A release that is told to stop puts its tags back in the time that is left.
func TestRollbackCanceled(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		rules  []*rule
		rows   string
		atMost time.Duration
	}{
		{"between ranks", nil, "1.2.3:restored 1.2:pending", 5 * time.Second},
		{"of a registry that hangs", []*rule{{method: "DELETE", action: hang}}, "1.2.3:written 1.2:pending", 2 * cleanGrace},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(deadline(t))
			p := newPeer(t, append(tt.rules, &rule{method: "PUT", path: "/1.2.3$", action: then(cancel)})...)
			r := tags(p.seed("app", testIndex(t, "linux/amd64")), p.tag("app:1.2.3"), p.tag("app:1.2"))
			r.Rollback = true
			began := time.Now()
			rows, err := newClient(t).Release(ctx, r, nil)
			if errdefs.KindOf(err) != errdefs.Canceled || statuses(rows) != tt.rows || time.Since(began) > tt.atMost {
				t.Errorf("rows %s after %s, want %s; error %v", statuses(rows), time.Since(began), tt.rows, err)
			}
		})
	}
}

// A tag that another run moves between our read and our write.
func TestMovedBeforeWrite(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		rules  []*rule
		slow   bool // the check takes so long that the first rank is looked at again
		move   func(p *peer, tag name.Tag, ours, theirs v1.Hash)
		before bool // the tag has an image when we read it
		tag    string
		err    string
		rows   string
	}{
		{name: "to another image", slow: true, before: true, tag: "1.2.3", err: "1.2.3 moved since we read it: it had sha256:", rows: "1.2.3:failed 9:pending",
			move: func(p *peer, tag name.Tag, _, theirs v1.Hash) { p.point(tag, theirs) }},
		{name: "from nothing", slow: true, tag: "1.2.3", err: "1.2.3 moved since we read it: it had no image, it has sha256:", rows: "1.2.3:failed 9:pending",
			move: func(p *peer, tag name.Tag, _, theirs v1.Hash) { p.point(tag, theirs) }},
		{name: "to what we write", slow: true, before: true, tag: "1.2.3", rows: "1.2.3:unchanged 9:written",
			move: func(p *peer, tag name.Tag, ours, _ v1.Hash) { p.point(tag, ours) }},
		{name: "of a later rank", tag: "1.2", err: "1.2 moved since we read it", rows: "1.2:failed 0.0.9:written",
			move: func(p *peer, tag name.Tag, _, theirs v1.Hash) { p.point(tag, theirs) }},
		{name: "unseen, in a registry that compares", rules: []*rule{{action: (&etagged{}).serve}}, before: true, tag: "1.2.3", err: "1.2.3 moved since we read it", rows: "1.2.3:failed 9:pending",
			move: func(p *peer, tag name.Tag, _, theirs v1.Hash) { p.point(tag, theirs) }},
		{name: "not at all, in one with ETags of another kind", rules: []*rule{{action: (&etagged{wrong: true}).serve}}, before: true, tag: "1.2.3", rows: "1.2.3:written 9:written",
			move: func(*peer, name.Tag, v1.Hash, v1.Hash) {}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := newPeer(t, tt.rules...)
			ours, old, theirs := p.seed("app", testIndex(t, "linux/amd64")), p.seed("app", testIndex(t, "linux/arm64")), p.seed("app", testIndex(t, "linux/s390x"))
			tag, other := p.tag("app:"+tt.tag), p.tag("app:9")
			if tt.tag == "1.2" {
				other = p.tag("app:0.0.9")
			}
			if tt.before {
				p.point(tag, old)
			}
			r := tags(ours, tag, other)
			if tt.slow {
				r.Check = func(context.Context) error { time.Sleep(lookAge + time.Second); return nil }
			}
			calls := 0
			rows, err := newClient(t).Release(deadline(t), r, func([]Written) error {
				if calls++; calls == 1 {
					tt.move(p, tag, ours, theirs)
				}
				return nil
			})
			checkError(t, err, tt.err)
			if got := statuses(rows); got != tt.rows {
				t.Errorf("rows %s, want %s", got, tt.rows)
			}
			if has := p.has(tag); rows[0].After != has {
				t.Errorf("the tag has %s, its row says %s", has, rows[0].After)
			}
		})
	}
}

// A tag that may not move: it is an error only where it should have moved.
func TestImmutable(t *testing.T) {
	t.Parallel()
	for _, code := range []int{400, 409, 412} {
		for _, same := range []bool{false, true} {
			refuse := status(code, `{"errors":[{"code":"TAG_INVALID","message":"the tag already exists and cannot be overwritten because the repository is immutable"}]}`)
			var p *peer
			var ours, theirs v1.Hash
			p = newPeer(t, &rule{method: "PUT", action: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				has := theirs
				if same {
					has = ours
				}
				p.point(p.tag("app:1.2.3"), has) // the other run was quicker
				refuse(w, r, next)
			}})
			ours, theirs = p.seed("app", testIndex(t, "linux/amd64")), p.seed("app", testIndex(t, "linux/arm64"))
			rows, err := newClient(t).Release(deadline(t), tags(ours, p.tag("app:1.2.3")), nil)
			want, row := "immutable; the tag has "+theirs.String(), "1.2.3:failed"
			if same {
				want, row = "", "1.2.3:unchanged"
			}
			checkError(t, err, want)
			if got := statuses(rows); got != row {
				t.Errorf("%d: rows %s, want %s", code, got, row)
			}
			if err != nil && !strings.Contains(strings.Join(errdefs.Hints(err), " "), "does not let this tag move") {
				t.Errorf("%d: hints %q", code, errdefs.Hints(err))
			}
		}
	}
}
