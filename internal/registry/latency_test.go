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
// compared has as many ranks on both sides; the test logs the others too. What
// else the machine does makes some rounds dear, but none cheap.
func TestLatency(t *testing.T) {
	const roundTrip = 100 * time.Millisecond
	d := &door{}
	p := newPeer(t, &rule{action: d.serve})
	digest := p.seed("app", testIndex(t, "linux/amd64", "linux/arm64"))
	host := farAway(t, p.host(), roundTrip)
	repo := mustRepo(t, host+"/app")

	n := 0
	release := func(texts ...string) time.Duration {
		n++
		var list []name.Tag
		for _, text := range texts {
			list = append(list, repo.Tag(fmt.Sprintf(text, n)))
		}
		c := newClient(t, WithKeychain(loginAs(authn.AuthConfig{Username: "ci", Password: password})))
		began := time.Now()
		rows, err := c.Release(deadline(t), tags(digest, list...), nil)
		took := time.Since(began)
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(rows, func(w Written) bool { return w.Status != statusWritten }) {
			t.Fatalf("rows %s", statuses(rows))
		}
		return took
	}
	var twenty, ranked []string
	for i := range 20 {
		twenty = append(twenty, fmt.Sprintf("1.%d.%%d", i))
	}
	ranked = append(slices.Clone(twenty[:17]), "%d.1", "%d", "edge%d")
	var one, all, oneOrdered, ordered time.Duration
	for round := range 6 {
		took := []time.Duration{release("1.2.%d"), release(twenty...), release("1.2.%d", "%d.2", "1%d", "main%d"), release(ranked...)}
		for i, least := range []*time.Duration{&one, &all, &oneOrdered, &ordered} {
			if round == 0 || took[i] < *least {
				*least = took[i]
			}
		}
		t.Logf("at %s: one tag %s; twenty tags of one rank %s (%.2f); four tags of four ranks %s; twenty of four ranks %s (%.2f)",
			roundTrip, one, all, ratio(all, one), oneOrdered, ordered, ratio(ordered, oneOrdered))
		if ratio(all, one) <= 1.5 && ratio(ordered, oneOrdered) <= 1.5 {
			return
		}
	}
	t.Error("twenty tags cost more than one and a half times what one costs")
}

func ratio(a, b time.Duration) float64 { return float64(a) / float64(b) }
