package registry

import (
	"context"
	"errors"

	"net/http"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hullwright/hullwright/internal/errdefs"
)

func TestReleaseOrder(t *testing.T) {
	t.Parallel()
	a, b := newPeer(t), newPeer(t)
	index := testIndex(t, "linux/amd64", "linux/arm64")
	digest := a.seed("team/app", index)
	b.seed("mirror", index)
	var list []name.Tag
	for _, tag := range []string{"latest", "1", "1.4", "1.4.2", "sha-abc1234"} {
		list = append(list, a.tag("team/app:"+tag), b.tag("mirror:"+tag))
	}
	a.point(list[4], digest) // team/app:1.4 is there already
	var journal [][]Written
	rows, err := newClient(t).Release(deadline(t), tags(digest, list...), func(rows []Written) error {
		journal = append(journal, rows)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := "latest:written latest:written 1:written 1:written 1.4:unchanged 1.4:written 1.4.2:written 1.4.2:written sha-abc1234:written sha-abc1234:written"
	if got := statuses(rows); got != want {
		t.Errorf("rows\n got %s\nwant %s", got, want)
	}
	for i, tag := range list {
		if host := []*peer{a, b}[i%2]; host.has(tag) != digest.String() || rows[i].After != digest.String() {
			t.Errorf("%s has %q, row says %q", tag, host.has(tag), rows[i].After)
		}
	}
	if rows[4].Before != digest.String() || rows[0].Before != "" {
		t.Errorf("before: %q of a tag that was there, %q of one that was not", rows[4].Before, rows[0].Before)
	}
	if len(journal) != 5 { // before, and after each of four ranks
		t.Errorf("journal was written %d times, want 5", len(journal))
	}
	if got := statuses(journal[0]); strings.Contains(got, "written") {
		t.Errorf("first journal entry: %s", got)
	}
	for _, p := range []*peer{a, b} {
		var order []int
		for _, put := range p.requests("^PUT") {
			order = append(order, Rank(put[strings.LastIndex(put, "/")+1:]))
		}
		if !slices.IsSorted(order) {
			t.Errorf("ranks were written in order %v", order)
		}
	}
	if puts := a.requests("^PUT .*/1.4$"); len(puts) != 0 {
		t.Errorf("a tag that stood was written: %v", puts)
	}
	if gets := a.requests("^GET /v2/team/app/manifests/"); len(gets) != 1 {
		t.Errorf("manifest was read %d times", len(gets))
	}
}

// What a registry or the way to it may do to one tag.
func TestReleaseFaults(t *testing.T) {
	t.Parallel()
	const put = "PUT"
	const html = "<html><h1>503 Service Temporarily Unavailable</h1></html>"
	for _, tt := range []struct {
		name    string
		rules   []*rule
		retry   Retry
		err     string // none is success
		kind    errdefs.Kind
		row     string // "1.2.3:written" unless given
		hint    string
		tries   int // PUTs
		atLeast time.Duration
		atMost  time.Duration
	}{
		{name: "503 with HTML", rules: []*rule{{method: put, count: 1, action: status(503, html, "Content-Type", "text/html")}}, tries: 2},
		{name: "503 with a JSON code of its own", rules: []*rule{{method: put, count: 1, action: status(503, `{"errors":[{"code":"INJECTED"}]}`)}}, tries: 2},
		{name: "500 and 502 and 504", rules: []*rule{
			{method: put, count: 1, action: status(500, "")}, {method: put, skip: 0, count: 1, action: status(502, "")}, {method: put, count: 1, action: status(504, "")},
		}, tries: 4},
		{name: "522", rules: []*rule{{method: put, count: 2, action: status(522, "")}}, tries: 3},
		{name: "503 for ever", rules: []*rule{{method: put, action: status(503, `{"errors":[{"code":"UNAVAILABLE","message":"maintenance"}]}`)}}, retry: Retry{Tries: 4},
			err: "gave up after 4 tries in ", kind: errdefs.Environment, row: "1.2.3:failed", tries: 4},
		{name: "503 beyond the total", rules: []*rule{{method: put, action: status(503, "")}}, retry: Retry{Total: 300 * time.Millisecond, Tries: 1000},
			err: "503, 503", kind: errdefs.Environment, row: "1.2.3:failed", atMost: 5 * time.Second},
		{name: "429 with seconds", rules: []*rule{{method: put, count: 2, action: status(429, "", "Retry-After", "1")}}, tries: 3, atLeast: 2 * time.Second},
		{name: "429 with a date", rules: []*rule{{method: put, count: 1, action: retryDate(429, 3*time.Second)}}, tries: 2, atLeast: 2 * time.Second},
		{name: "429 for a day", rules: []*rule{{method: put, action: status(429, "", "Retry-After", "99999")}},
			err: "registry asks to come back in 27h46m39s, at 20", kind: errdefs.Environment, row: "1.2.3:failed", tries: 1, atMost: 5 * time.Second},
		{name: "429 without a time", rules: []*rule{{method: put, count: 4, action: status(429, "")}}, tries: 5},
		{name: "reset", rules: []*rule{{method: put, count: 3, action: reset}}, tries: 4},
		{name: "answer lost", rules: []*rule{{method: put, count: 1, action: lostAnswer}}, tries: 2},
		{name: "every answer lost", rules: []*rule{{method: put, action: lostAnswer}}, retry: Retry{Tries: 2}, tries: 2}, // the tag stands: that is what counts
		{name: "every try reset", rules: []*rule{{method: put, action: reset}}, retry: Retry{Tries: 2}, err: "connection reset", kind: errdefs.Environment, row: "1.2.3:unknown"},
		{name: "denied", rules: []*rule{{method: put, action: status(403, `{"errors":[{"code":"DENIED","message":"no write here"}]}`)}},
			err: "DENIED: no write here (asked for repository:app:pull,push)", kind: errdefs.Denied, row: "1.2.3:failed", tries: 1},
		{name: "unsupported", rules: []*rule{{method: put, action: status(415, `{"errors":[{"code":"UNSUPPORTED","message":"no index"}]}`)}},
			err: "415 Unsupported Media Type: UNSUPPORTED: no index", kind: errdefs.Environment, row: "1.2.3:failed", hint: "oci-mediatypes=false", tries: 1},
		{name: "OCI index refused", rules: []*rule{{method: put, action: status(400, `{"errors":[{"code":"MANIFEST_INVALID","message":"manifest invalid"}]}`)}},
			err: "MANIFEST_INVALID", kind: errdefs.Environment, row: "1.2.3:failed", hint: "oci-mediatypes=false", tries: 1},
		{name: "no such repository", rules: []*rule{{method: put, action: status(404, `{"errors":[{"code":"NAME_UNKNOWN","message":"the repository does not exist"}]}`)}},
			err: "not found: NAME_UNKNOWN", kind: errdefs.Environment, row: "1.2.3:failed", hint: "may want it made, or its project, before the first push", tries: 1},
		{name: "too many levels", rules: []*rule{{method: put, action: status(400, `{"errors":[{"code":"NAME_INVALID","message":"invalid repository name"}]}`)}},
			err: "NAME_INVALID", kind: errdefs.Environment, row: "1.2.3:failed", hint: "only so many levels", tries: 1},
		{name: "blob unknown", rules: []*rule{{method: put, action: status(400, `{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN"}]}`)}},
			err: "MANIFEST_BLOB_UNKNOWN", kind: errdefs.Environment, row: "1.2.3:failed", hint: "run again", tries: 1},
		{name: "manifest that drips", rules: []*rule{{method: "GET", path: "manifests", count: 1, action: drip}}, retry: Retry{Stall: time.Second}, tries: 1, atLeast: time.Second},
		{name: "HEAD 200 without length and digest", rules: []*rule{{method: "HEAD", path: "manifests", action: status(200, "")}}, tries: 1},
		{name: "immutable", rules: []*rule{{method: put, action: status(400, `{"errors":[{"code":"TAG_INVALID","message":"the repository is immutable"}]}`)}},
			err: "immutable", kind: errdefs.Environment, row: "1.2.3:failed", tries: 1},
		{name: "HEAD is not allowed", rules: []*rule{{method: "HEAD", action: status(405, "")}}, tries: 1},
		{name: "HEAD without digest", rules: []*rule{{method: "HEAD", path: "manifests", action: without("Docker-Content-Digest")}}, tries: 1},
		{name: "other digest after PUT", rules: []*rule{{method: put, action: with("Docker-Content-Digest", "sha256:"+strings.Repeat("0", 64))}},
			err: "registry returned another digest: sent sha256:", kind: errdefs.Environment, row: "1.2.3:failed", tries: 1},
		{name: "no digest after PUT", rules: []*rule{{method: put, action: without("Docker-Content-Digest")}}, tries: 1},
		{name: "manifest corrupted", rules: []*rule{{method: "GET", path: "manifests", action: edit(corrupt)}},
			err: "registry sent a manifest with digest", kind: errdefs.Environment, row: "1.2.3:pending"},
		{name: "manifest truncated", rules: []*rule{{method: "GET", path: "manifests", count: 2, action: edit(truncate)}}, tries: 1},
		{name: "manifest too long", rules: []*rule{{method: "GET", path: "manifests", action: edit(func(h http.Header, _ []byte) []byte { h.Del("Content-Length"); return make([]byte, bodyLimit+1) })}},
			err: "answer is longer than 8 MiB", kind: errdefs.Environment, row: "1.2.3:pending"},
		{name: "ping 503", rules: []*rule{{path: "^/v2/$", count: 2, action: status(503, "")}}, tries: 1},
		{name: "ping reset", rules: []*rule{{path: "^/v2/$", count: 1, action: reset}}, tries: 1},
		{name: "no registry", rules: []*rule{{action: status(404, "<html>nothing here</html>")}},
			err: "does not speak the registry protocol", kind: errdefs.Environment, row: "1.2.3:pending"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := newPeer(t, tt.rules...)
			digest := p.seed("app", testIndex(t, "linux/amd64"))
			tag := p.tag("app:1.2.3")
			retry := tt.retry
			retry.Base, retry.Max = quick.Base, quick.Max
			began := time.Now()
			rows, err := newClient(t, WithRetry(retry)).Release(deadline(t), tags(digest, tag), nil)
			took := time.Since(began)
			checkError(t, err, tt.err)
			if err != nil && errdefs.KindOf(err) != tt.kind {
				t.Errorf("kind %v, want %v", errdefs.KindOf(err), tt.kind)
			}
			want := tt.row
			if want == "" {
				want = "1.2.3:written"
			}
			if got := statuses(rows); got != want {
				t.Errorf("row %s, want %s", got, want)
			}
			if tt.err == "" && p.has(tag) != digest.String() {
				t.Errorf("tag has %q", p.has(tag))
			}
			if hints := strings.Join(errdefs.Hints(err), " "); !strings.Contains(hints, tt.hint) {
				t.Errorf("hints %q do not say %q", hints, tt.hint)
			}
			if got := len(p.requests("^PUT")); tt.tries != 0 && got != tt.tries {
				t.Errorf("%d PUTs, want %d", got, tt.tries)
			}
			if took < tt.atLeast || (tt.atMost != 0 && took > tt.atMost) {
				t.Errorf("took %s, want %s to %s", took, tt.atLeast, tt.atMost)
			}
		})
	}
}

func TestReleaseStopsAtFailure(t *testing.T) {
	t.Parallel()
	p := newPeer(t, &rule{method: "PUT", path: "/1.2$", action: status(403, "")})
	digest := p.seed("app", testIndex(t, "linux/amd64"))
	var last []Written
	rows, err := newClient(t).Release(deadline(t), tags(digest, p.tag("app:latest"), p.tag("app:1.2"), p.tag("app:1.2.3")),
		func(rows []Written) error { last = rows; return nil })
	checkError(t, err, "PUT "+p.host()+"/app:1.2: 403 Forbidden (asked for repository:app:pull,push)")
	const want = "latest:pending 1.2:failed 1.2.3:written"
	if got := statuses(rows); got != want {
		t.Errorf("rows %s, want %s", got, want)
	}
	if got := statuses(last); got != want {
		t.Errorf("last journal entry %s, want %s", got, want)
	}
	if p.has(p.tag("app:latest")) != "" || p.has(p.tag("app:1.2.3")) == "" {
		t.Error("the registry has not what the rows say")
	}
	// The same release again, once the fault is gone, writes what is left.
	p.mu.Lock()
	p.rules = nil
	p.mu.Unlock()
	rows, err = newClient(t).Release(deadline(t), tags(digest, p.tag("app:latest"), p.tag("app:1.2"), p.tag("app:1.2.3")), nil)
	if got, want := statuses(rows), "latest:written 1.2:written 1.2.3:unchanged"; err != nil || got != want {
		t.Errorf("again: rows %s, want %s; error %v", got, want, err)
	}
}

func TestReleaseJournalFails(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	digest := p.seed("app", testIndex(t, "linux/amd64"))
	full := errors.New("disk is full")
	rows, err := newClient(t).Release(deadline(t), tags(digest, p.tag("app:1.2.3")), func([]Written) error { return full })
	if !errors.Is(err, full) || statuses(rows) != "1.2.3:pending" || len(p.requests("^PUT")) != 0 {
		t.Errorf("error %v, rows %s, PUTs %v", err, statuses(rows), p.requests("^PUT"))
	}
}

func TestReleaseOfNothing(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	digest := p.seed("app", testIndex(t, "linux/amd64"))
	_, err := newClient(t).Release(deadline(t), tags(digest, p.tag("other:1.2.3")), nil)
	if !errors.Is(err, ErrNotFound) || len(p.requests("^PUT")) != 0 {
		t.Errorf("release of a digest that is not there: %v, PUTs %v", err, p.requests("^PUT"))
	}
}

// Two jobs race for a tag: each succeeds or says that the other moved it, and
// the tag has one of the two whole.
func TestReleaseRace(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	one, two := p.seed("app", testIndex(t, "linux/amd64")), p.seed("app", testIndex(t, "linux/arm64"))
	var wg sync.WaitGroup
	errs := make([]error, 2)
	wg.Go(func() { _, errs[0] = newClient(t).Release(deadline(t), tags(one, p.tag("app:edge")), nil) })
	wg.Go(func() { _, errs[1] = newClient(t).Release(deadline(t), tags(two, p.tag("app:edge")), nil) })
	wg.Wait()
	moved := regexp.MustCompile("moved since (it was written|we read it)")
	for _, err := range errs {
		if err != nil && !moved.MatchString(err.Error()) {
			t.Error(err)
		}
	}
	if errs[0] != nil && errs[1] != nil {
		t.Error("both lost")
	}
	if has := p.has(p.tag("app:edge")); has != one.String() && has != two.String() {
		t.Errorf("tag has %s", has)
	}
}

func TestReleaseMoved(t *testing.T) {
	t.Parallel()
	p := newPeer(t)
	ours, theirs := p.seed("app", testIndex(t, "linux/amd64")), p.seed("app", testIndex(t, "linux/arm64"))
	tag := p.tag("app:edge")
	p.rules = []*rule{{method: "PUT", action: then(func() { p.point(tag, theirs) })}}
	rows, err := newClient(t).Release(deadline(t), tags(ours, tag), nil)
	checkError(t, err, "moved since it was written: it has "+theirs.String())
	if rows[0].Status != statusFailed || rows[0].After != theirs.String() {
		t.Errorf("row %+v", rows[0])
	}
}

func TestReleaseCanceledBetweenRanks(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(deadline(t))
	p := newPeer(t, &rule{method: "PUT", path: "/1.2.3$", action: then(cancel)})
	digest := p.seed("app", testIndex(t, "linux/amd64"))
	var last []Written
	rows, err := newClient(t).Release(ctx, tags(digest, p.tag("app:1.2.3"), p.tag("app:1.2")), func(rows []Written) error {
		last = rows
		return nil
	})
	checkError(t, err, "stopped, 1 of 2 tags stand")
	if errdefs.KindOf(err) != errdefs.Canceled {
		t.Errorf("kind %v", errdefs.KindOf(err))
	}
	if got, want := statuses(rows), "1.2.3:written 1.2:pending"; got != want || statuses(last) != want {
		t.Errorf("rows %s, last journal entry %s, want %s", got, statuses(last), want)
	}
	if puts := p.requests("^PUT"); len(puts) != 1 {
		t.Errorf("PUTs: %v", puts)
	}
}

// A write that is under way when the run is told to stop.
func TestReleaseCanceledInWrite(t *testing.T) {
	for _, tt := range []struct {
		name   string
		action action
		rows   string
		atMost time.Duration
	}{
		{"that ends in time", hold(time.Second), "1.2.3:written 1.2:pending", putGrace},
		{"that does not", hold(6 * time.Second), "1.2.3:unknown 1.2:pending", 5500 * time.Millisecond},
		{"that would be tried again", func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			time.Sleep(300 * time.Millisecond)
			w.WriteHeader(503)
		}, "1.2.3:unknown 1.2:pending", 4 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPeer(t, &rule{method: "PUT", action: tt.action})
			digest := p.seed("app", testIndex(t, "linux/amd64"))
			ctx, cancel := context.WithCancel(deadline(t))
			before := runtime.NumGoroutine()
			transport := Transport(nil)
			go func() {
				for len(p.requests("^PUT")) == 0 && ctx.Err() == nil {
					time.Sleep(5 * time.Millisecond)
				}
				cancel()
			}()
			var last []Written
			began := time.Now()
			rows, err := newClient(t, WithTransport(transport)).Release(ctx, tags(digest, p.tag("app:1.2.3"), p.tag("app:1.2")),
				func(rows []Written) error { last = rows; return nil })
			took := time.Since(began)
			if errdefs.KindOf(err) != errdefs.Canceled {
				t.Errorf("error %v", err)
			}
			if got := statuses(rows); got != tt.rows || statuses(last) != tt.rows {
				t.Errorf("rows %s, last journal entry %s, want %s", got, statuses(last), tt.rows)
			}
			if took > tt.atMost {
				t.Errorf("took %s, want at most %s", took, tt.atMost)
			}
			if puts := p.requests("^PUT"); len(puts) != 1 {
				t.Errorf("PUTs: %v", puts)
			}
			p.server.CloseClientConnections()
			transport.CloseIdleConnections()
			checkGoroutines(t, before)
		})
	}
}

// checkGoroutines waits until no more goroutines run than before.
func checkGoroutines(t *testing.T, before int) {
	t.Helper()
	var now int
	for end := time.Now().Add(8 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if now = runtime.NumGoroutine(); now <= before {
			return
		}
	}
	stacks := make([]byte, 1<<20)
	t.Errorf("%d goroutines, %d before:\n%s", now, before, stacks[:runtime.Stack(stacks, true)])
}

func TestRank(t *testing.T) {
	t.Parallel()
	for tag, want := range map[string]int{
		"1.2.3": 0, "v1.2.3": 0, "1.2.3-rc.1": 0, "1.2.3-alpine": 0, "1.2.3-alpine3.19": 0, "alpine-1.2.3": 0, "1.2.3.4": 0, "V1.2.3": 0, "1.2.3_build.5": 0, "2026.1.2": 0,
		"sha-abc1234": 0, "abc1234": 0, "sha-deadbee": 0, "sha-abc1234-alpine": 0, "main-abc1234": 0, "pr-12-abc1234": 0,
		"860c1904a1ce19322e91ac35af1ab07466440c37": 0,
		"20260102": 0, "nightly-20260102": 0, "2026-01-02": 0, "nightly-2026-01-02": 0, "20260102T150405": 0,
		"1.2": 1, "v1.2": 1, "1.2-alpine": 1, "alpine-1.2": 1, "2026.01": 1, "1.2-alpine-3": 1,
		"1": 2, "v1": 2, "1-alpine": 2, "alpine-1": 2, "1-alpine3.19": 2,
		"latest": 3, "latest-alpine": 3, "alpine-latest": 3, "latest-1.2.3": 3, "edge": 3, "main": 3, "nightly": 3, "pr-12": 3, "mr-7": 3, "pr-1234567": 3, "pr-12-alpine": 3,
		"feature-x": 3, "deadbeef": 3, "": 3, "-": 3, "facade": 3, "3rd-party": 3,
	} {
		if got := Rank(tag); got != want {
			t.Errorf("Rank(%q) = %d, want %d", tag, got, want)
		}
	}
}

func FuzzRank(f *testing.F) {
	for _, s := range []string{"1.2.3", "latest-alpine", "pr", "pr-", "sha-", "2026-01-02", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, tag string) {
		if r := Rank(tag); r < rankFixed || r > rankMoving {
			t.Errorf("Rank(%q) = %d", tag, r)
		}
		if r := Rank(tag + "-latest"); r != rankMoving {
			t.Errorf("Rank(%q) = %d", tag+"-latest", r)
		}
	})
}

// What the check refuses gets no tag.
func TestReleaseChecksBeforeItWrites(t *testing.T) {
	t.Parallel()
	a := newPeer(t)
	digest := a.seed("team/app", testIndex(t, "linux/amd64"))
	release := tags(digest, a.tag("team/app:1.4.2"))
	refused := errors.New("a layer is missing")
	release.Check = func(context.Context) error { return refused }
	rows, err := newClient(t).Release(deadline(t), release, nil)
	if !errors.Is(err, refused) || statuses(rows) != "1.4.2:pending" {
		t.Errorf("%s, error %v", statuses(rows), err)
	}
	if _, err := newClient(t).Resolve(deadline(t), a.tag("team/app:1.4.2")); !errors.Is(err, ErrNotFound) {
		t.Errorf("the tag was written: %v", err)
	}
}
