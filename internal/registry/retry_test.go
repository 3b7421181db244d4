package registry

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// dialing is a transport that dials one address whatever it is asked for; with
// none it is an ordinary one.
func dialing(t *testing.T, address string) *http.Transport {
	t.Helper()
	transport := Transport(nil)
	t.Cleanup(transport.CloseIdleConnections)
	if transport.TLSClientConfig == nil {
		transport.TLSClientConfig = newTLSConfig()
	}
	if address != "" {
		transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, address)
		}
	}
	return transport
}

// The waits grow, each is told before it begins, and none is longer than Max.
func TestRetryLog(t *testing.T) {
	t.Parallel()
	p := newPeer(t, &rule{method: "HEAD", count: 4, action: status(503, "")}, &rule{method: "HEAD", count: 2, action: reset}) // net/http itself tries once more on a connection that it had used before
	digest := p.seed("app", testIndex(t, "linux/amd64"))
	p.point(p.tag("app:1"), digest)
	whole := func(d time.Duration) time.Duration { return d }
	var lines retries
	c := newClient(t, WithRetryLog(lines.add), WithRetry(Retry{Base: 2 * time.Millisecond, Max: 10 * time.Millisecond, jitter: whole}))
	if _, err := c.Resolve(deadline(t), p.tag("app:1")); err != nil {
		t.Fatal(err)
	}
	what := "HEAD " + p.host() + "/app:1: "
	want := []string{what + "503, again in 2ms", what + "503, again in 4ms", what + "503, again in 8ms", what + "503, again in 10ms"}
	got := lines.all()
	if len(got) != 5 || strings.Join(got[:4], "\n") != strings.Join(want, "\n") || !strings.Contains(got[4], "connection reset by peer, again in 10ms") {
		t.Errorf("log\n%s\nwant\n%s\nand a reset", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestRetryDefaults(t *testing.T) {
	t.Parallel()
	r := Retry{}.withDefaults()
	p := &pacer{Retry: r, log: func(string) {}}
	for i := range 100 {
		p.faults = make([]string, i+1)
		ceiling := min(time.Second<<min(i, 10), 30*time.Second)
		if d := p.next(nil); d < 0 || d > ceiling {
			t.Errorf("wait %d is %s, more than %s", i+1, d, ceiling)
		}
	}
	if r.Tries != 10 || r.Total != 5*time.Minute || r.RetryAfter != 2*time.Minute {
		t.Errorf("defaults %+v", r)
	}
}

// A wait ends when its context does.
func TestRetryCanceled(t *testing.T) {
	t.Parallel()
	p := newPeer(t, &rule{method: "HEAD", action: status(429, "", "Retry-After", "60")})
	ctx, cancel := context.WithCancel(deadline(t))
	c := newClient(t, WithRetryLog(func(string) { cancel() }))
	began := time.Now()
	_, err := c.Resolve(ctx, p.tag("app:1"))
	if errdefs.KindOf(err) != errdefs.Canceled || time.Since(began) > 5*time.Second {
		t.Errorf("error %v after %s", err, time.Since(began))
	}
}

// A registry that takes connections and never answers.
func TestRetrySilence(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	transport := dialing(t, "")
	transport.ResponseHeaderTimeout = 50 * time.Millisecond
	transport.TLSHandshakeTimeout = 50 * time.Millisecond
	host := listener.Addr().String()
	_, err = newClient(t, WithTransport(transport), WithRetry(Retry{Base: time.Millisecond, Tries: 3})).
		Resolve(deadline(t), mustRepo(t, host+"/app").Tag("1"))
	checkError(t, err, "registry "+host+" does not answer: gave up after 3 tries in ")
	checkError(t, err, "timeout awaiting response headers")
}

func TestDNS(t *testing.T) {
	t.Parallel()
	var healthy atomic.Bool
	resolver := serveDNS(t, func(name string) (dnsmessage.RCode, netip.Addr) {
		if !strings.HasPrefix(name, "registry.test.") {
			return dnsmessage.RCodeNameError, netip.Addr{}
		}
		if !healthy.Load() {
			return dnsmessage.RCodeServerFailure, netip.Addr{}
		}
		return dnsmessage.RCodeSuccess, netip.MustParseAddr("127.0.0.1")
	})
	p := newPeer(t)
	_, port, _ := strings.Cut(p.host(), ":")
	transport := dialing(t, "")
	transport.DialContext = (&net.Dialer{Resolver: resolver}).DialContext
	var lines retries
	c := newClient(t, WithTransport(transport), WithInsecure("registry.test:"+port), WithRetryLog(func(line string) {
		lines.add(line)
		healthy.Store(len(lines.all()) >= 2)
	}))
	if _, err := c.Resolve(deadline(t), mustRepo(t, "registry.test:"+port+"/app").Tag("1")); !errors.Is(err, ErrNotFound) {
		t.Errorf("after two failures of the server: %v", err)
	}
	if n := len(lines.all()); n != 2 {
		t.Errorf("%d retries, want 2: %q", n, lines.all())
	}
	began := time.Now()
	_, err := c.Resolve(deadline(t), mustRepo(t, "no.such.test/app").Tag("1"))
	checkError(t, err, "registry no.such.test does not answer: ")
	if hint := strings.Join(errdefs.Hints(err), " "); !strings.Contains(hint, `no such host as "no.such.test"`) {
		t.Errorf("hint %q", hint)
	}
	if n := len(lines.all()); n != 2 || time.Since(began) > time.Second {
		t.Errorf("a name that does not exist was tried again: %q, %s", lines.all(), time.Since(began))
	}
}

// serveDNS is a resolver whose server answers by name, with an IPv4 address or none.
func serveDNS(t *testing.T, answer func(name string) (dnsmessage.RCode, netip.Addr)) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buf[:n]) != nil || len(m.Questions) == 0 {
				continue
			}
			q := m.Questions[0]
			code, at := answer(q.Name.String())
			reply := dnsmessage.Message{
				Header:    dnsmessage.Header{ID: m.ID, Response: true, RCode: code, RecursionAvailable: true},
				Questions: m.Questions,
			}
			if at.IsValid() && q.Type == dnsmessage.TypeA {
				reply.Answers = []dnsmessage.Resource{{
					Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1},
					Body:   &dnsmessage.AResource{A: at.As4()},
				}}
			}
			if raw, err := reply.Pack(); err == nil {
				conn.WriteTo(raw, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	const now = "Sat, 21 Nov 2026 10:00:00 GMT"
	for _, tt := range []struct {
		value string
		want  time.Duration // -1 is none
	}{
		{"", -1}, {"0", 0}, {"7", 7 * time.Second}, {" 7 ", 7 * time.Second}, {"99999", 99999 * time.Second},
		{"Sat, 21 Nov 2026 10:00:03 GMT", 3 * time.Second},
		{"Sat, 21 Nov 2026 09:00:00 GMT", 0}, // gone by
		{"-1", -1}, {"soon", -1}, {"1.5", -1}, {"99999999999999999999", -1},
	} {
		got := retryAfter(http.Header{"Retry-After": {tt.value}, "Date": {now}})
		if (got == nil) != (tt.want < 0) || (got != nil && *got != tt.want) {
			t.Errorf("Retry-After %q: %v, want %v", tt.value, got, tt.want)
		}
	}
}

func FuzzRetryAfter(f *testing.F) {
	f.Add("7", "")
	f.Add("Sat, 21 Nov 2026 10:00:03 GMT", "Sat, 21 Nov 2026 10:00:00 GMT")
	f.Fuzz(func(t *testing.T, value, date string) {
		if d := retryAfter(http.Header{"Retry-After": {value}, "Date": {date}}); d != nil && *d < 0 {
			t.Errorf("Retry-After %q at %q: %s", value, date, *d)
		}
	})
}

func TestTransient(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err  error
		want bool
	}{
		{io.EOF, true},
		{io.ErrUnexpectedEOF, true},
		{&net.DNSError{Name: "x", IsTemporary: true}, true},
		{&net.DNSError{Name: "x", IsTimeout: true}, true},
		{&net.DNSError{Name: "x", IsNotFound: true, IsTemporary: true}, false},
		{errors.New("http: server closed idle connection"), true},
		{errors.New("x509: certificate has expired"), false},
		{context.Canceled, false},
	} {
		if got := Transient(tt.err); got != tt.want {
			t.Errorf("Transient(%v) = %v", tt.err, got)
		}
	}
}

func TestErrorWords(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ contentType, body, want string }{
		{"application/json", `{"errors":[{"code":"DENIED","message":"no"},{"code":"X"}]}`, "DENIED: no; X"},
		{"", `{"errors":[{"code":"DENIED","message":"a\nb\u001b[31m"}]}`, "DENIED: a b [31m"},
		{"text/html", "<h1>hello</h1>", ""},
		{"", " <h1>hello</h1>", ""},
		{"text/plain", "disk\r\nfull\n", "disk full"},
		{"", `{"errors":[]}`, `{"errors":[]}`},
		{"", "", ""},
		{"", strings.Repeat("ä", 600), strings.Repeat("ä", errorTextLimit) + "..."},
	} {
		if got := errorWords(tt.contentType, []byte(tt.body)); got != tt.want {
			t.Errorf("words of %q: %q, want %q", tt.body, got, tt.want)
		}
	}
}

func FuzzErrorWords(f *testing.F) {
	f.Add("application/json", []byte(`{"errors":[{"code":"A","message":"b"}]}`))
	f.Add("text/plain", []byte("a\x1b]0;x\x07\u202e"))
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		words := errorWords(contentType, body)
		if len([]rune(words)) > errorTextLimit+3 || strings.ContainsFunc(words, unicode.IsControl) {
			t.Errorf("words %q", words)
		}
	})
}
