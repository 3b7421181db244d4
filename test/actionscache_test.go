package test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// actionsCache is the second version of GitHub's cache service, for which no
// package has a server: its methods keep account of entries and send clients to
// a blob store with a signed address. Here it is azurite. The messages are those
// of https://github.com/actions/toolkit/blob/main/packages/cache/src/generated/results/api/v1/cache.ts
//
// Its first version is act's own server: see [TestActCache].
type actionsCache struct {
	server    *httptest.Server
	token     string
	writes    bool // whether the token may
	container blobContainer

	mu      sync.Mutex
	entries []*cacheEntry // oldest first
}

type cacheEntry struct {
	Key      string `json:"key"`
	Version  string `json:"version"`
	complete bool
	blob     string
}

// startActionsCache starts a cache service and sets the variables by which a
// runner tells an action of it. With read its token may not write, as the token
// of a request from a fork.
//
//	actions-cache [read]
func startActionsCache(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 1 || len(args) == 1 && args[0] != "read" {
		ts.Fatalf("usage: actions-cache [read]")
	}
	c := &actionsCache{writes: len(args) == 0}
	permission := 1 // read
	if c.writes {
		permission = 3
	}
	var err error
	c.token, err = runtimeToken("refs/heads/main", permission, time.Now())
	ts.Check(err)
	c.container, err = newBlobContainer(unique())
	ts.Check(err)
	mux := http.NewServeMux()
	const service = "POST /twirp/github.actions.results.api.v1.CacheService/"
	mux.HandleFunc(service+"CreateCacheEntry", c.method(c.create))
	mux.HandleFunc(service+"FinalizeCacheEntryUpload", c.method(c.finalize))
	mux.HandleFunc(service+"GetCacheEntryDownloadURL", c.method(c.find))
	c.server = httptest.NewServer(mux)
	ts.Defer(func() {
		c.server.Close()
		ts.Check(c.container.remove())
	})
	ts.Setenv("ACTIONS_CACHE_SERVICE_V2", "true")
	ts.Setenv("ACTIONS_RESULTS_URL", c.server.URL+"/")
	ts.Setenv("ACTIONS_RUNTIME_TOKEN", c.token)
}

// runtimeToken is a token as runners get it: the claim ac says which scopes of
// the cache it may read (1) and write (2).
func runtimeToken(scope string, permission int, now time.Time) (string, error) {
	ac, err := json.Marshal([]map[string]any{{"Scope": scope, "Permission": permission}})
	if err != nil {
		return "", err
	}
	claims, err := json.Marshal(map[string]any{"ac": string(ac), "nbf": now.Add(-time.Minute).Unix(), "exp": now.Add(time.Hour).Unix()})
	if err != nil {
		return "", err
	}
	encode := base64.RawURLEncoding.EncodeToString
	text := encode([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + encode(claims)
	return text + "." + encode(sign([]byte("only the service knows"), text)), nil
}

func sign(key []byte, text string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

// cacheRequest has the fields of all requests.
type cacheRequest struct {
	Key         string   `json:"key"`
	Version     string   `json:"version"`
	RestoreKeys []string `json:"restore_keys"`
}

// twirpError is how the service refuses.
type twirpError struct {
	status        int
	Code, Message string
}

// method serves one method: who has no token is not let in.
func (c *actionsCache) method(answer func(cacheRequest) (any, *twirpError)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var req cacheRequest
		var reply any
		var refused *twirpError
		switch err := json.NewDecoder(r.Body).Decode(&req); {
		case r.Header.Get("Authorization") != "Bearer "+c.token:
			refused = &twirpError{http.StatusUnauthorized, "unauthenticated", "no token of this service"}
		case err != nil:
			refused = &twirpError{http.StatusBadRequest, "malformed", err.Error()}
		default:
			c.mu.Lock()
			reply, refused = answer(req)
			c.mu.Unlock()
		}
		w.Header().Set("Content-Type", "application/json")
		if refused != nil {
			w.WriteHeader(refused.status)
			reply = map[string]string{"code": refused.Code, "msg": refused.Message}
		}
		json.NewEncoder(w).Encode(reply) // the client is gone where this fails
	}
}

func (c *actionsCache) create(r cacheRequest) (any, *twirpError) {
	if !c.writes {
		return nil, &twirpError{http.StatusForbidden, "permission_denied", "cache write denied: token has no writable scopes"}
	}
	if c.entry(r) != nil {
		return nil, &twirpError{http.StatusConflict, "already_exists", "cache entry with the same key, version, and scope already exists"}
	}
	e := &cacheEntry{Key: r.Key, Version: r.Version, blob: fmt.Sprint(len(c.entries))}
	c.entries = append(c.entries, e)
	return map[string]any{"ok": true, "signed_upload_url": c.container.blob(e.blob)}, nil
}

func (c *actionsCache) finalize(r cacheRequest) (any, *twirpError) {
	e := c.entry(r)
	if e == nil {
		return nil, &twirpError{http.StatusNotFound, "not_found", "no such cache entry"}
	}
	e.complete = true
	return map[string]any{"ok": true, "entry_id": e.blob}, nil
}

// find gives the newest entry of a key, or else of one that begins with a
// restore key.
func (c *actionsCache) find(r cacheRequest) (any, *twirpError) {
	for _, match := range []func(*cacheEntry) bool{
		func(e *cacheEntry) bool { return e.Key == r.Key },
		func(e *cacheEntry) bool {
			return slices.ContainsFunc(r.RestoreKeys, func(prefix string) bool { return strings.HasPrefix(e.Key, prefix) })
		},
	} {
		for _, e := range slices.Backward(c.entries) {
			if e.complete && e.Version == r.Version && match(e) {
				return map[string]any{"ok": true, "signed_download_url": c.container.blob(e.blob), "matched_key": e.Key}, nil
			}
		}
	}
	return map[string]any{"ok": false}, nil
}

func (c *actionsCache) entry(r cacheRequest) *cacheEntry {
	for _, e := range c.entries {
		if e.Key == r.Key && e.Version == r.Version {
			return e
		}
	}
	return nil
}

// blobContainer is a container of the environment's Azure store, and a
// signature that lets whoever has it use the container for an hour.
type blobContainer struct{ address, signature string }

func newBlobContainer(name string) (blobContainer, error) {
	store := os.Getenv("HULLWRIGHT_TEST_AZURE")
	key, err := base64.StdEncoding.DecodeString(os.Getenv("HULLWRIGHT_TEST_AZURE_KEY"))
	if err != nil || store == "" {
		return blobContainer{}, fmt.Errorf("no Azure store (%v): go run ./test/env up", err)
	}
	u, err := url.Parse(store)
	if err != nil {
		return blobContainer{}, err
	}
	c := blobContainer{store + "/" + name, accountSignature(strings.Trim(u.Path, "/"), key, time.Now().Add(time.Hour))}
	return c, c.do(http.MethodPut, http.StatusCreated)
}

func (c blobContainer) blob(name string) string { return c.address + "/" + name + "?" + c.signature }

func (c blobContainer) remove() error { return c.do(http.MethodDelete, http.StatusAccepted) }

// do makes or removes the container.
func (c blobContainer) do(method string, want int) error {
	req, err := http.NewRequest(method, c.address+"?restype=container&"+c.signature, bytes.NewReader(nil))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != want {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
		return fmt.Errorf("%s %s: %s: %s", method, c.address, resp.Status, text)
	}
	return nil
}

// accountSignature is a shared access signature for an account's containers and
// blobs: https://learn.microsoft.com/rest/api/storageservices/create-account-sas
func accountSignature(account string, key []byte, until time.Time) string {
	const version, permissions, services, kinds = "2021-08-06", "rwdlc", "b", "co"
	expiry := until.UTC().Format(time.RFC3339)
	text := strings.Join([]string{
		account, permissions, services, kinds,
		"" /* start */, expiry, "" /* addresses */, "" /* protocol */, version, "" /* encryption scope */, "",
	}, "\n")
	return url.Values{
		"sv": {version}, "ss": {services}, "srt": {kinds}, "sp": {permissions}, "se": {expiry},
		"sig": {base64.StdEncoding.EncodeToString(sign(key, text))},
	}.Encode()
}
