package test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

// tokenServer is a registry's door: only who has a token comes in, and no token
// lives long.
type tokenServer struct {
	lives time.Duration

	mu     sync.Mutex
	asked  int
	issued map[string]time.Time
}

func (s *tokenServer) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/token" {
			s.issue(w, r)
			return
		}
		token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		s.mu.Lock()
		at, ok := s.issued[token]
		s.mu.Unlock()
		if !ok || time.Since(at) > s.lives {
			scheme := "http"
			if r.TLS != nil {
				scheme = "https"
			}
			w.Header().Set("WWW-Authenticate", fmt.Sprintf("Bearer realm=%q,service=%q", scheme+"://"+r.Host+"/token", r.Host))
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		r.Header.Del("Authorization")
		next.ServeHTTP(w, r)
	})
}

func (s *tokenServer) issue(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	if s.asked == 1 {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	if user, pass, _ := r.BasicAuth(); user != "ci" || pass != "pass" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if s.issued == nil {
		s.issued = map[string]time.Time{}
	}
	token := fmt.Sprintf("t%d", s.asked)
	s.issued[token] = time.Now()
	// It says that tokens live longer than they do, as a clock that is wrong would.
	json.NewEncoder(w).Encode(map[string]any{"token": token, "expires_in": 300})
}
