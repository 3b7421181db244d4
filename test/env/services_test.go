package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
)

// Whatever else listens at the address is not the service, though it answers.
func TestServiceProbe(t *testing.T) {
	for _, tt := range []struct {
		server string
		status int
		ok     bool
	}{
		{"VERSITYGW", http.StatusForbidden, true},
		{"VERSITYGW", http.StatusOK, true},
		{"nginx", http.StatusOK, false},
		{"", http.StatusForbidden, false},
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Server", tt.server)
			w.WriteHeader(tt.status)
		}))
		err := s3.probe(t.Context(), strings.TrimPrefix(srv.URL, "http://"))
		srv.Close()
		if (err == nil) != tt.ok {
			t.Errorf("probe of %q with %d: %v, want content %v", tt.server, tt.status, err, tt.ok)
		}
	}
}

// The key stays the same, since what is stored is read with it, and is nobody
// else's to read.
func TestServiceKey(t *testing.T) {
	w := testWorld(t)
	first, err := w.key(azure)
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^[0-9a-f]{40}$`).MatchString(first) {
		t.Errorf("key %q is not 40 hexadecimal digits", first)
	}
	if second, err := w.key(azure); err != nil || second != first {
		t.Errorf("the second key is %q, %v, want the first, %q", second, err, first)
	}
	if other, err := w.key(s3); err != nil || other == first {
		t.Errorf("the key of another service is %q, %v, want another", other, err)
	}
	info, err := os.Stat(w.state("azure.key"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's file is %v, %v, want 0600", info.Mode(), err)
	}
}

// A service that is not up has no variables.
func TestStore(t *testing.T) {
	w := testWorld(t)
	if got, err := w.store(s3); err != nil || got != (store{}) {
		t.Errorf("nothing is up, and yet %+v, %v", got, err)
	}
	key, err := w.key(azure)
	if err != nil {
		t.Fatal(err)
	}
	if err := (daemon{Address: "127.0.0.1:10000"}).write(w.state("azure.json")); err != nil {
		t.Fatal(err)
	}
	want := store{"http://127.0.0.1:10000/hullwright", key}
	if got, err := w.store(azure); err != nil || got != want {
		t.Errorf("store = %+v, %v, want %+v", got, err, want)
	}
}
