package registry

import (
	"fmt"

	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
)

// farAway is a listener before target whose every byte comes half of a round
// trip later, each way; connecting costs a whole one.
func farAway(t *testing.T, target string, roundTrip time.Duration) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer near.Close()
				time.Sleep(roundTrip) // SYN and SYN-ACK
				far, err := net.Dial("tcp", target)
				if err != nil {
					return
				}
				defer far.Close()
				var both sync.WaitGroup
				both.Go(func() { late(far, near, roundTrip/2) })
				both.Go(func() { late(near, far, roundTrip/2) })
				both.Wait()
			})
		}
	})
	t.Cleanup(func() { listener.Close(); wg.Wait() })
	return listener.Addr().String()
}

// late copies what comes in from src to dst, each piece by at the time that it
// came plus by; pieces do not wait for one another.
func late(dst, src net.Conn, by time.Duration) {
	type piece struct {
		at   time.Time
		data []byte
	}
	pieces := make(chan piece, 1024)
	go func() {
		defer close(pieces)
		for {
			buf := make([]byte, 32<<10)
			n, err := src.Read(buf)
			if n > 0 {
				pieces <- piece{time.Now().Add(by), buf[:n]}
			}
			if err != nil {
				return
			}
		}
	}()
	for p := range pieces {
		time.Sleep(time.Until(p.at))
		if _, err := dst.Write(p.data); err != nil {
			src.Close() // ends the reader
			for range pieces {
			}
			return
		}
	}
	if half, ok := dst.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
	}
}

// Twenty tags cost what one costs, since all are read, written and read again
// at the same time. Ranks are written one after the other, so that what is
// compared has as many ranks on both sides; the test logs the others too.
func TestLatency(t *testing.T) {
	const roundTrip = 40 * time.Millisecond
	d := &door{}
	p := newPeer(t, &rule{action: d.serve})
	digest := p.seed("app", testIndex(t, "linux/amd64", "linux/arm64"))
	host := farAway(t, p.host(), roundTrip)
	repo := mustRepo(t, host+"/app")

	n := 0
	release := func(texts ...string) time.Duration {
		var took []time.Duration
		for range 3 {
			n++
			var list []name.Tag
			for _, text := range texts {
				list = append(list, repo.Tag(fmt.Sprintf(text, n)))
			}
			c := newClient(t, WithKeychain(loginAs(authn.AuthConfig{Username: "ci", Password: password})))
			began := time.Now()
			rows, err := c.Release(deadline(t), tags(digest, list...), nil)
			if err != nil {
				t.Fatal(err)
			}
			took = append(took, time.Since(began))
			if slices.ContainsFunc(rows, func(w Written) bool { return w.Status != statusWritten }) {
				t.Fatalf("rows %s", statuses(rows))
			}
		}
		return slices.Min(took) // the rest is what else the machine does
	}
	var twenty, ranked []string
	for i := range 20 {
		twenty = append(twenty, fmt.Sprintf("1.%d.%%d", i))
	}
	ranked = append(slices.Clone(twenty[:17]), "%d.1", "%d", "edge%d")
	one, all, ordered := release("1.2.%d"), release(twenty...), release(ranked...)
	oneOrdered := release("1.2.%d", "%d.2", "1%d", "main%d")
	t.Logf("at %s: one tag %s; twenty tags of one rank %s (%.2f); four tags of four ranks %s; twenty of four ranks %s (%.2f)",
		roundTrip, one, all, ratio(all, one), oneOrdered, ordered, ratio(ordered, oneOrdered))
	if r := ratio(all, one); r > 1.5 {
		t.Errorf("twenty tags cost %.2f of one", r)
	}
	if r := ratio(ordered, oneOrdered); r > 1.5 {
		t.Errorf("twenty tags in four ranks cost %.2f of four", r)
	}
}

func ratio(a, b time.Duration) float64 { return float64(a) / float64(b) }
