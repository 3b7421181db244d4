package registry

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// ErrNotFound is in the chain of every error that says that a manifest, blob or
// repository is not there.
var ErrNotFound = errors.New("not found")

const (
	errorBodyLimit = 64 << 10 // what is read of an error's body
	errorTextLimit = 500      // what is shown of it
)

// statusError is an answer whose status is not a success.
type statusError struct {
	status int
	words  string // the registry's own, one line; may be empty
}

func (e *statusError) Error() string {
	text := fmt.Sprintf("%d %s", e.status, http.StatusText(e.status))
	if e.status == http.StatusNotFound {
		text = ErrNotFound.Error()
	}
	if e.words != "" {
		text += ": " + e.words
	}
	return strings.TrimSpace(text)
}

func (e *statusError) Is(target error) bool {
	return target == ErrNotFound && e.status == http.StatusNotFound
}

// statusOf is the status in err's chain; 0 where no registry answered.
func statusOf(err error) int {
	var s *statusError
	if errors.As(err, &s) {
		return s.status
	}
	return 0
}

// gaveUpError is the end of a request that was tried as often as allowed.
type gaveUpError struct {
	faults []string
	took   time.Duration
	err    error // of the last try
}

func (e *gaveUpError) Error() string {
	text := fmt.Sprintf("gave up after %d tries in %s: %s", len(e.faults), round(e.took), strings.Join(e.faults, ", "))
	var s *statusError
	if errors.As(e.err, &s) && s.words != "" {
		text += "; registry says: " + s.words
	}
	return text
}

func (e *gaveUpError) Unwrap() error { return e.err }

// laterError is a registry that wants us back later than we can wait.
type laterError struct {
	after time.Duration
	at    time.Time
	err   error
}

func (e *laterError) Error() string {
	return fmt.Sprintf("%v; registry asks to come back in %s, at %s", e.err, round(e.after), e.at.UTC().Format("2006-01-02 15:04:05 MST"))
}

func (e *laterError) Unwrap() error { return e.err }

// unsentError is a request that ctx ended before it was sent.
type unsentError struct{ err error }

func (e *unsentError) Error() string { return "not sent: " + e.err.Error() }
func (e *unsentError) Unwrap() error { return e.err }

// readStatusError reads what an answer says went wrong, and closes its body.
func readStatusError(resp *http.Response) *statusError {
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, errorBodyLimit)) // words are a help, no more
	return &statusError{status: resp.StatusCode, words: errorWords(resp.Header.Get("Content-Type"), body)}
}

// errorWords are the messages of a registry's JSON, or a body's plain text. A
// page of HTML says nothing that a person could use.
func errorWords(contentType string, body []byte) string {
	var parsed struct {
		Errors []struct {
			Code    string
			Message string
		}
	}
	if json.Unmarshal(body, &parsed) == nil && len(parsed.Errors) > 0 {
		var parts []string
		for _, e := range parsed.Errors {
			parts = append(parts, strings.Trim(e.Code+": "+e.Message, ": "))
		}
		return oneLine(strings.Join(parts, "; "))
	}
	if strings.Contains(contentType, "html") || strings.HasPrefix(strings.TrimSpace(string(body)), "<") {
		return ""
	}
	return oneLine(string(body))
}

// oneLine is s without control characters, which could drive a CI system's log.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == unicode.ReplacementChar {
			return ' '
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > errorTextLimit {
		s = string(r[:errorTextLimit]) + "..."
	}
	return s
}

// wrongf is an answer that can't be used.
func wrongf(format string, args ...any) error {
	return errdefs.New(errdefs.Environment, format, args...)
}

// explain classifies err, the fault of what ("PUT host/repo:tag") at host.
// scope is what a token was asked for; it may be empty.
func explain(what, host, scope string, err error) error {
	if err == nil {
		return nil
	}
	err = bare(err)
	var done *errdefs.Error
	if errors.As(err, &done) {
		return err
	}
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("%s: %w", what, err)
	}
	switch status := statusOf(err); {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		if scope != "" {
			err = fmt.Errorf("%w (asked for %s)", err, scope)
		}
		return errdefs.New(errdefs.Denied, "%s: %w", what, err).WithHint("%s", loginHint(host))
	case status == http.StatusTooManyRequests:
		return errdefs.New(errdefs.Environment, "%s: %w", what, err).
			WithHint("%s limits requests; log in for a higher limit, or run again later", host)
	case status != 0:
		return errdefs.New(errdefs.Environment, "%s: %w", what, err).WithHint("%s", refusalHint(host, status, err))
	}
	return errdefs.New(errdefs.Environment, "%s: registry %s does not answer: %w", what, host, err).
		WithHint("%s", networkHint(host, err))
}

// refusalHint is the next move after a refusal that registries differ in; empty
// where there is none.
func refusalHint(host string, status int, err error) string {
	words := strings.ToUpper(err.Error())
	says := func(any ...string) bool {
		return slices.ContainsFunc(any, func(s string) bool { return strings.Contains(words, s) })
	}
	switch {
	case says("IMMUTABLE", "TAG_ALREADY_EXISTS", "CANNOT BE OVERWRITTEN"):
		return fmt.Sprintf("%s does not let this tag move; release under another version", host)
	case says("NAME_UNKNOWN"):
		return fmt.Sprintf("the repository is not there: %s may want it made, or its project, before the first push", host)
	case says("NAME_INVALID"):
		return fmt.Sprintf("%s does not take this repository's name; some registries allow only so many levels, or want a project first", host)
	case says("MANIFEST_BLOB_UNKNOWN"):
		return "what the manifest names is not in the repository any more; run again to push it"
	case status == http.StatusUnsupportedMediaType || says("UNSUPPORTED", "MANIFEST_INVALID"):
		return fmt.Sprintf("%s may not take OCI indexes: outputs with type=image,oci-mediatypes=false,push=true makes Docker's, without attestations (provenance=false)", host)
	}
	return ""
}

func loginHint(host string) string {
	hint := fmt.Sprintf("log in with `hullwright login` or `docker login %s`, with an account that may do this", host)
	if host == "ghcr.io" {
		hint += "; in a GitHub workflow the job needs `permissions: packages: write`"
	}
	return hint
}

func networkHint(host string, err error) string {
	var dns *net.DNSError
	if errors.As(err, &dns) && dns.IsNotFound {
		return fmt.Sprintf("check the registry's name: no such host as %q", dns.Name)
	}
	if errors.Is(err, http.ErrSchemeMismatch) {
		return fmt.Sprintf("%s speaks plain http, which is for registries named in insecure-registries, and for loopback without a line in registry-ca", host)
	}
	var unknown x509.UnknownAuthorityError
	if errors.As(err, &unknown) {
		host = dockerName(host)
		return fmt.Sprintf("give the certificate of its authority with registry-ca: %s=FILE, or put it into /etc/docker/certs.d/%s/ca.crt; insecure-registries takes any", host, host)
	}
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Reason == x509.Expired {
		return "renew the registry's certificate, unless this machine's clock is wrong"
	}
	return "check the registry's address, the network and any proxy, then run again"
}

// bare is err without net/http's wrapping, which repeats the method and shows a
// URL whose query may hold a signature, and with the words of a token server's
// refusal as a status of ours.
func bare(err error) error {
	var gaveUp *gaveUpError
	if errors.As(err, &gaveUp) {
		return gaveUp
	}
	var later *laterError
	if errors.As(err, &later) {
		return later
	}
	var refused *transport.Error
	if errors.As(err, &refused) {
		var words []string
		for _, d := range refused.Errors {
			words = append(words, strings.Trim(string(d.Code)+": "+d.Message, ": "))
		}
		return &statusError{status: refused.StatusCode, words: oneLine(strings.Join(words, "; "))}
	}
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// short is a network fault in few words, for a retry's line.
func short(err error) string {
	err = bare(err)
	var op *net.OpError
	if errors.As(err, &op) && !op.Timeout() {
		err = op.Err
	}
	return err.Error()
}
