package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Retry is how a request is sent again. A zero field is its default.
type Retry struct {
	Base       time.Duration // the first wait is at most this; doubled each time; 1 s
	Max        time.Duration // no wait that we choose is longer; 30 s
	Total      time.Duration // from the first try to the end of the last wait; 5 min
	Tries      int           // 10
	RetryAfter time.Duration // the longest wait that a registry may ask for; 120 s
	Stall      time.Duration // how long a body may stand still, either way; 60 s

	jitter func(time.Duration) time.Duration // in [0, d]; tests make it d
}

func (r Retry) withDefaults() Retry {
	set := func(d *time.Duration, def time.Duration) {
		if *d == 0 {
			*d = def
		}
	}
	set(&r.Base, time.Second)
	set(&r.Max, 30*time.Second)
	set(&r.Total, 5*time.Minute)
	set(&r.RetryAfter, 2*time.Minute)
	set(&r.Stall, time.Minute)
	if r.Tries == 0 {
		r.Tries = 10
	}
	if r.jitter == nil {
		r.jitter = func(d time.Duration) time.Duration { return rand.N(d + 1) }
	}
	return r
}

// retryTransport sends a request again while the answer, by its status, or the
// fault, by its nature, says that another try may do. The JSON code in a body
// has no say: registries send codes of their own with a 503, and a library that
// believes the code over the status gives up there.
type retryTransport struct {
	base  http.RoundTripper
	retry Retry
	log   func(string)
}

// RoundTrip implements http.RoundTripper. A response that is worth another try
// is never returned: after the last one it is an error with all that was tried.
func (t *retryTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	p := t.pace(req.Method + " " + operand(req.URL))
	for try := req; ; {
		if err := stopped(req.Context()); err != nil {
			if try.Body != nil {
				try.Body.Close() // as a RoundTripper must, also of what it does not send
			}
			if len(p.faults) == 0 {
				err = &unsentError{err}
			}
			return nil, err
		}
		resp, err := t.send(try)
		if !rewindable(req) || req.Context().Err() != nil || req.Context().Value(onceKey{}) != nil {
			return resp, err
		}
		f, worth := judge(resp, err)
		if !worth {
			return resp, err
		}
		if err := p.wait(req.Context(), f); err != nil {
			return nil, err
		}
		// A body is opened again only now: it may be another registry's answer,
		// of which only so many are open at one time.
		if try, err = rewound(req); err != nil {
			return nil, err
		}
	}
}

// rewindable is whether req can be sent twice. What a PATCH appends, it would
// append twice.
func rewindable(req *http.Request) bool {
	return req.Method != http.MethodPatch && (req.Body == nil || req.Body == http.NoBody || req.GetBody != nil)
}

// rewound is req with its body from the start.
func rewound(req *http.Request) (*http.Request, error) {
	if req.GetBody == nil {
		return req, nil
	}
	body, err := req.GetBody()
	if err != nil {
		return nil, err
	}
	again := *req
	again.Body = body
	return &again, nil
}

// fault is what was wrong with one try.
type fault struct {
	text  string // "503", "connection reset by peer"
	err   error  // a *statusError where the registry answered
	after *time.Duration
}

// judge is the fault of a try, and whether another try is worth it.
func judge(resp *http.Response, err error) (fault, bool) {
	if err != nil {
		return fault{text: short(err), err: bare(err)}, Transient(err)
	}
	if !transientStatus(resp.StatusCode) {
		return fault{}, false
	}
	f := fault{text: strconv.Itoa(resp.StatusCode), after: retryAfter(resp.Header)}
	f.err = readStatusError(resp) // drains and closes, so that the connection lives
	return f, true
}

func transientStatus(code int) bool {
	switch code {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests,
		http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout,
		520, 521, 522, 523, 524, // Cloudflare's own, https://developers.cloudflare.com/support/troubleshooting/http-status-codes/cloudflare-5xx-errors/
		599: // some proxies' time-out
		return true
	}
	return false
}

// Transient is whether a fault below HTTP may be gone at the next try. A name
// that does not exist, a refused connection and a bad certificate are final.
func Transient(err error) bool {
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return !dns.IsNotFound && (dns.IsTemporary || dns.IsTimeout)
	}
	// net/http closes a connection that was reset while a body is written to it.
	for _, e := range []error{syscall.ECONNRESET, syscall.EPIPE, net.ErrClosed, io.EOF, io.ErrUnexpectedEOF} {
		if errors.Is(err, e) {
			return true
		}
	}
	// These faults have no exported types in net/http. A connection that was kept is
	// closed just as it is used again; a body that can't be rewound is not sent again there.
	if text := err.Error(); strings.Contains(text, "http2: ") || strings.Contains(text, "stream error: ") ||
		strings.Contains(text, "server closed idle connection") {
		return true
	}
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// retryAfter reads Retry-After in both of its forms. A date is held against the
// registry's own clock where it shows one; ours may be wrong by hours.
func retryAfter(h http.Header) *time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if v == "" {
		return nil
	}
	if seconds, err := strconv.ParseUint(v, 10, 31); err == nil {
		d := time.Duration(seconds) * time.Second
		return &d
	}
	at, err := http.ParseTime(v)
	if err != nil {
		return nil
	}
	now, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		now = time.Now()
	}
	d := max(at.Sub(now), 0)
	return &d
}

// pacer counts the tries of one piece of work and waits between them.
type pacer struct {
	Retry
	what   string
	log    func(string)
	began  time.Time
	faults []string
}

func (t *retryTransport) pace(what string) *pacer {
	return &pacer{Retry: t.retry, what: what, log: t.log, began: time.Now()}
}

// wait sleeps until the next try, or says why there is none.
func (p *pacer) wait(ctx context.Context, f fault) error {
	p.faults = append(p.faults, f.text)
	if f.after != nil && *f.after > p.RetryAfter {
		return &laterError{after: *f.after, at: time.Now().Add(*f.after), err: f.err}
	}
	d := p.next(f.after)
	if len(p.faults) >= p.Tries || time.Since(p.began)+d > p.Total {
		return &gaveUpError{faults: p.faults, took: time.Since(p.began), err: f.err}
	}
	p.log(fmt.Sprintf("%s: %s, again in %s", p.what, f.text, round(d)))
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-stopOf(ctx):
		return context.Canceled
	}
}

// next is full jitter under a doubling ceiling. Where the registry named a time
// the jitter comes on top, so that tags that failed together do not come back
// together.
func (p *pacer) next(after *time.Duration) time.Duration {
	if after != nil {
		return *after + p.jitter(p.Base/2)
	}
	ceiling := p.Base << min(len(p.faults)-1, 30)
	if ceiling <= 0 || ceiling > p.Max {
		ceiling = p.Max
	}
	return p.jitter(ceiling)
}

func round(d time.Duration) time.Duration {
	if d < 100*time.Millisecond {
		return d.Round(time.Millisecond)
	}
	return d.Round(100 * time.Millisecond)
}

type onceKey struct{}

// onlyOnce is ctx for a request that is not sent again.
func onlyOnce(ctx context.Context) context.Context { return context.WithValue(ctx, onceKey{}, true) }

// stopKey carries a channel whose closing forbids new tries, while the one
// under way may end. See [withStop].
type stopKey struct{}

// withStop is ctx for a request that must not be started or sent again once
// stop is closed, but may outlive it.
func withStop(ctx context.Context, stop <-chan struct{}) context.Context {
	return context.WithValue(ctx, stopKey{}, stop)
}

func stopOf(ctx context.Context) <-chan struct{} {
	stop, _ := ctx.Value(stopKey{}).(<-chan struct{})
	return stop // nil blocks for ever, as it should
}

func stopped(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case <-stopOf(ctx):
		return context.Canceled
	default:
		return nil
	}
}

// operand is a request's object as a person names it: host/repo:tag. Queries
// are left out: they hold signatures.
func operand(u *url.URL) string {
	path := strings.TrimPrefix(u.Path, "/v2")
	for _, kind := range []string{manifests, blobs} {
		if repo, id, ok := strings.Cut(path, "/"+kind+"/"); ok {
			return u.Host + repo + separator(id) + id
		}
	}
	return u.Host + path
}

// separator stands between a repository and a tag or digest.
func separator(id string) string {
	if strings.Contains(id, ":") {
		return "@"
	}
	return ":"
}
