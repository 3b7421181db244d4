package login

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// TestAskAgain shows which faults are worth another try.
func TestAskAgain(t *testing.T) {
	var broken atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if broken.Add(-1) >= 0 {
			panic(http.ErrAbortHandler)
		}
		io.WriteString(w, "answer")
	}))
	defer server.Close()
	untrusted := httptest.NewUnstartedServer(http.NotFoundHandler())
	untrusted.Config.ErrorLog = log.New(io.Discard, "", 0)
	untrusted.StartTLS()
	defer untrusted.Close()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	nowhere := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "nowhere.test", IsNotFound: true}}
	}}
	for _, tt := range []struct {
		name      string
		address   string
		transport *http.Transport
		broken    int32 // so many connections end without an answer
		pauses    int
		err       string
	}{
		{name: "well", address: server.URL},
		{name: "cut off at first", address: server.URL, broken: 2, pauses: 2},
		{name: "cut off each time", address: server.URL, broken: tries, pauses: tries - 1, err: "the provider does not answer: "},
		{name: "a certificate of nobody's", address: untrusted.URL, err: "certificate signed by unknown authority"},
		{name: "nobody there", address: gone.URL, err: "connection refused"},
		{name: "no such host", address: "http://nowhere.test", transport: nowhere, err: "no such host"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, _ := newSource(nil)
			transport := tt.transport
			if transport == nil {
				transport = &http.Transport{DisableKeepAlives: true}
			}
			s.HTTP = &http.Client{Transport: transport}
			pauses := 0
			s.Pause = func(context.Context, time.Duration) error { pauses++; return nil }
			broken.Store(tt.broken)
			body, err := s.ask(deadline(t), "the provider", form(tt.address, url.Values{}), nil)
			checkFault(t, err, tt.err, errdefs.Environment)
			if err == nil && string(body) != "answer" {
				t.Errorf("body %q", body)
			}
			if pauses != tt.pauses {
				t.Errorf("waited %d times, want %d", pauses, tt.pauses)
			}
			if err != nil && strings.Contains(err.Error(), tt.address) {
				t.Errorf("%v: it shows the address, which may hold a token", err)
			}
		})
	}
}
