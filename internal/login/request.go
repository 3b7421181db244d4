package login

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/registry"
)

const (
	answerLimit = 1 << 20 // bytes of a provider's answer
	tries       = 4
)

// ask sends what make gives until it is answered with anything but 429 and 5xx, or
// fails in a way that another try does not mend, and gives an answer of 200. who
// names the provider for errors: Denied where it refuses, Environment where it does
// not answer. refused says whether an answer of another status than 401 and 403 is
// a refusal, and its reason; it may be nil.
func (s *Source) ask(ctx context.Context, who string, make func() (*http.Request, error), refused func(body []byte) (bool, string)) ([]byte, error) {
	client := *s.HTTP
	// A redirect would take a token to another server.
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for try := 1; ; try++ {
		req, err := make()
		if err != nil {
			return nil, err
		}
		status, body, err := exchange(&client, req.WithContext(ctx))
		if err == nil && status == http.StatusOK {
			return body, nil
		}
		again := err != nil && registry.Transient(err) || status == http.StatusTooManyRequests || status >= 500
		if again && try < tries && ctx.Err() == nil {
			if err := s.pause(ctx, time.Second<<(try-1)); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, errdefs.New(errdefs.Environment, "%s does not answer: %w", who, bare(err)).
				WithHint("check the network and any proxy, then run again")
		}
		return nil, answerFault(who, status, body, refused)
	}
}

func answerFault(who string, status int, body []byte, refused func([]byte) (bool, string)) error {
	denied, reason := status == http.StatusUnauthorized || status == http.StatusForbidden, ""
	if refused != nil {
		said, why := refused(body)
		denied, reason = denied || said, why
	}
	if reason != "" {
		reason = ": " + oneLine(reason)
	}
	kind := errdefs.Environment
	if denied {
		kind = errdefs.Denied
	}
	return errdefs.New(kind, "%s: status %d%s", who, status, reason)
}

func exchange(client *http.Client, req *http.Request) (int, []byte, error) {
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, answerLimit))
	return resp.StatusCode, body, err
}

func (s *Source) pause(ctx context.Context, d time.Duration) error {
	if s.Pause != nil {
		return s.Pause(ctx, d)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// form is a POST of values.
func form(address string, values url.Values) func() (*http.Request, error) {
	return func() (*http.Request, error) {
		req, err := http.NewRequest(http.MethodPost, address, strings.NewReader(values.Encode()))
		if err != nil {
			return nil, err
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Accept", "application/json")
		return req, nil
	}
}

// oauthFault is the reason in a refusal as RFC 6749 has it, section 5.2.
func oauthFault(body []byte) (bool, string) {
	var said struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	if json.Unmarshal(body, &said) != nil || said.Error == "" {
		return false, ""
	}
	return true, strings.Trim(said.Error+": "+said.Description, ": ")
}

// read decodes a provider's answer.
func read(who string, body []byte, answer any) error {
	if err := json.Unmarshal(body, answer); err != nil {
		return errdefs.New(errdefs.Environment, "%s: its answer is no JSON", who) // the cause may quote a token
	}
	return nil
}

// idToken is a token that says who the job is, for audience.
func (s *Source) idToken(ctx context.Context, audience string) (string, error) {
	if s.IDToken != "" {
		return s.IDToken, nil
	}
	address, bearer := s.Environ["ACTIONS_ID_TOKEN_REQUEST_URL"], s.Environ["ACTIONS_ID_TOKEN_REQUEST_TOKEN"]
	if address == "" || bearer == "" {
		return "", errdefs.New(errdefs.Environment, "the job has no OpenID Connect token").
			WithHint("on GitHub give the job `permissions: id-token: write`; on GitLab give it id_tokens and set HULLWRIGHT_ID_TOKEN to it")
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "https" && !isLoopback(u.Host) {
		return "", errdefs.New(errdefs.Environment, "ACTIONS_ID_TOKEN_REQUEST_URL is no https address")
	}
	query := u.Query()
	query.Set("audience", audience)
	u.RawQuery = query.Encode()
	body, err := s.ask(ctx, "the runner's token service", func() (*http.Request, error) {
		req, err := http.NewRequest(http.MethodGet, u.String(), nil)
		if err == nil {
			req.Header.Set("Authorization", "Bearer "+bearer)
			req.Header.Set("Accept", "application/json")
		}
		return req, err
	}, nil)
	if err != nil {
		return "", err
	}
	var answer struct{ Value string }
	if err := read("the runner's token service", body, &answer); err != nil {
		return "", err
	}
	if answer.Value == "" {
		return "", errdefs.New(errdefs.Environment, "the runner's token service gave no token")
	}
	s.hide(answer.Value)
	return answer.Value, nil
}

// bare is err without net/http's wrapping, whose address may hold a token.
func bare(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// oneLine is a stranger's text, shortened, for an error.
func oneLine(text string) string {
	text = strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text)), " ")
	if r := []rune(text); len(r) > 300 {
		text = fmt.Sprintf("%s...", string(r[:300]))
	}
	return text
}

// isLoopback is whether a host, "name" or "name:port", is this machine by its name.
func isLoopback(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return ip != nil && ip.IsLoopback() || strings.EqualFold(host, "localhost")
}
