package login

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hullwright/hullwright/internal/errdefs"
)

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

const ecrToken64 = "QVdTOmVjci1wYXNzd29yZA==" // AWS:ecr-password

// answersECR are answers of Amazon's services in the form that its documentation gives, their
// tokens replaced.
var answersECR = map[string]string{
	"one":     `{"authorizationData":[{"authorizationToken":"` + ecrToken64 + `","expiresAt":1.777939200123E9,"proxyEndpoint":"https://012345678910.dkr.ecr.us-east-1.amazonaws.com"}]}`,
	"two":     `{"authorizationData":[{"authorizationToken":"` + ecrToken64 + `","expiresAt":1.777939200123E9,"proxyEndpoint":"https://012345678910.dkr.ecr.us-east-1.amazonaws.com"},{"authorizationToken":"` + ecrToken64 + `","expiresAt":1.777939200123E9,"proxyEndpoint":"https://109876543210.dkr.ecr.us-east-1.amazonaws.com"}]}`,
	"public":  `{"authorizationData":{"authorizationToken":"` + ecrToken64 + `","expiresAt":1.777939200123E9}}`,
	"denied":  `{"__type":"AccessDeniedException","Message":"x","message":"User: arn:aws:iam::012345678910:user/ci is not authorized to perform: ecr:GetAuthorizationToken on resource: *"}`,
	"expired": `{"__type":"com.amazon.coral.service#ExpiredTokenException","message":"The security token included in the request is expired"}`,
	"strange": `{"authorizationData":[{"authorizationToken":"` + ecrToken64 + `","proxyEndpoint":"https://012345678910.dkr.ecr.us-east-1.amazonaws.com.evil.test"}]}`,
	"empty":   `{"authorizationData":[]}`,
	"junk":    `<html>` + ecrToken64,
}

// amazon is an endpoint of Amazon's that gives these answers.
type amazon struct {
	status   int
	answer   string
	failures int // answered with 503 before

	mu       sync.Mutex
	requests []*http.Request
	bodies   []string
}

func (a *amazon) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	a.requests, a.bodies = append(a.requests, r), append(a.bodies, string(body))
	if a.failures > 0 {
		a.failures--
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	if a.status != 0 {
		w.WriteHeader(a.status)
	}
	io.WriteString(w, answersECR[a.answer])
}

// newSource is a source whose clock is noon and that does not wait.
func newSource(environ map[string]string) (*Source, *[]string) {
	hidden := &[]string{}
	return &Source{
		Environ: environ, HTTP: http.DefaultClient, Now: func() time.Time { return noon },
		Hide:  func(secret string) { *hidden = append(*hidden, secret) },
		Pause: func(context.Context, time.Duration) error { return nil },
	}, hidden
}

func account(t *testing.T, registry string) Account {
	t.Helper()
	reg, err := ParseRegistry("registry", 0, registry)
	if err != nil {
		t.Fatal(err)
	}
	return Account{Registry: reg, Input: "registry"}
}

func TestECR(t *testing.T) {
	for _, tt := range []struct {
		name     string
		registry string
		accounts string
		server   *amazon
		want     []string // registries that are logged in to
		body     string
		scope    string // of the signature
		err      string
		kind     errdefs.Kind
	}{
		{name: "one account", registry: "012345678910.dkr.ecr.us-east-1.amazonaws.com", server: &amazon{answer: "one"},
			want: []string{"012345678910.dkr.ecr.us-east-1.amazonaws.com"}, body: `{"registryIds":["012345678910"]}`, scope: "/us-east-1/ecr/aws4_request"},
		{name: "several accounts", registry: "012345678910.dkr.ecr.us-east-1.amazonaws.com", accounts: "109876543210, 012345678910", server: &amazon{answer: "two"},
			want: []string{"012345678910.dkr.ecr.us-east-1.amazonaws.com", "109876543210.dkr.ecr.us-east-1.amazonaws.com"},
			body: `{"registryIds":["012345678910","109876543210"]}`},
		{name: "both stacks of the internet", registry: "012345678910.dkr-ecr.us-east-1.on.aws", server: &amazon{answer: "one"},
			want: []string{"012345678910.dkr-ecr.us-east-1.on.aws", "012345678910.dkr.ecr.us-east-1.amazonaws.com"}},
		{name: "China", registry: "012345678910.dkr.ecr.cn-north-1.amazonaws.com.cn", server: &amazon{answer: "one"}, scope: "/cn-north-1/ecr/aws4_request",
			want: []string{"012345678910.dkr.ecr.cn-north-1.amazonaws.com.cn", "012345678910.dkr.ecr.us-east-1.amazonaws.com"}},
		{name: "public", registry: "public.ecr.aws", server: &amazon{answer: "public"},
			want: []string{"public.ecr.aws"}, body: `{}`, scope: "/us-east-1/ecr-public/aws4_request"},
		{name: "a server that fails at first", registry: "public.ecr.aws", server: &amazon{answer: "public", failures: 3}, want: []string{"public.ecr.aws"}},
		{name: "a server that fails", registry: "public.ecr.aws", server: &amazon{failures: 9}, err: "Amazon ecr-public: status 503", kind: errdefs.Environment},
		{name: "denied", registry: "public.ecr.aws", server: &amazon{status: 400, answer: "denied"}, err: "AccessDeniedException: User: arn:aws:iam::", kind: errdefs.Denied},
		{name: "keys that ended", registry: "public.ecr.aws", server: &amazon{status: 400, answer: "expired"}, err: "ExpiredTokenException: The security token", kind: errdefs.Denied},
		{name: "an answer with a look-alike", registry: "012345678910.dkr.ecr.us-east-1.amazonaws.com", server: &amazon{answer: "strange"}, err: "no registry of Amazon's", kind: errdefs.Environment},
		{name: "an answer without a token", registry: "012345678910.dkr.ecr.us-east-1.amazonaws.com", server: &amazon{answer: "empty"}, err: "has no token", kind: errdefs.Environment},
		{name: "an answer of another kind", registry: "public.ecr.aws", server: &amazon{answer: "junk"}, err: "is no JSON", kind: errdefs.Environment},
		{name: "an account of the wrong length", registry: "012345678910.dkr.ecr.us-east-1.amazonaws.com", accounts: "12", server: &amazon{}, err: `"12" is no account`, kind: errdefs.BadInput},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := httptest.NewServer(tt.server)
			defer server.Close()
			s, hidden := newSource(map[string]string{"AWS_ENDPOINT_URL": server.URL, "AWS_ACCOUNT_IDS": tt.accounts})
			a := account(t, tt.registry)
			a.Username, a.Password = "AKIDEXAMPLE", "wJalrXUtnFEMI"
			got, err := s.Credentials(deadline(t), a)
			checkFault(t, err, tt.err, tt.kind)
			var registries []string
			for _, c := range got {
				registries = append(registries, c.Registry.RegistryStr())
				if c.Username != "AWS" || c.Password != "ecr-password" || c.Renewal != nil {
					t.Errorf("credentials %+v", c)
				}
				if !c.Expires.Equal(time.Unix(1777939200, 0)) {
					t.Errorf("they end at %s", c.Expires)
				}
			}
			if diff := cmp.Diff(tt.want, registries); diff != "" {
				t.Errorf("registries (-want +got):\n%s", diff)
			}
			if len(got) > 0 && !slices.Contains(*hidden, "ecr-password") {
				t.Error("the password is not hidden")
			}
			tt.server.check(t, tt.body, tt.scope)
		})
	}
}

func (a *amazon) check(t *testing.T, body, scope string) {
	t.Helper()
	for i, r := range a.requests {
		if got := r.Header.Get("Authorization"); !strings.HasPrefix(got, "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260504") || !strings.Contains(got, scope) {
			t.Errorf("signature %q, want one of scope %s", got, scope)
		}
		if r.Header.Get("X-Amz-Target") == "" || r.Header.Get("Content-Type") != "application/x-amz-json-1.1" {
			t.Errorf("headers %v", r.Header)
		}
		if body != "" && a.bodies[i] != body {
			t.Errorf("body %s, want %s", a.bodies[i], body)
		}
	}
}

// TestECRChain takes keys from where Amazon's own programs do: the SDK reads the
// process's environment.
func TestECRChain(t *testing.T) {
	server := &amazon{answer: "one"}
	listener := httptest.NewServer(server)
	defer listener.Close()
	for key, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI", "AWS_SESSION_TOKEN": "session",
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/nowhere", "AWS_SHARED_CREDENTIALS_FILE": "/nowhere",
	} {
		t.Setenv(key, value)
	}
	s, _ := newSource(map[string]string{"AWS_ENDPOINT_URL_ECR": listener.URL})
	got, err := s.Credentials(deadline(t), account(t, "012345678910.dkr.ecr.us-east-1.amazonaws.com"))
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0].Renewal == nil || got[0].Renewal.Provider != "ecr" {
		t.Errorf("got %+v", got)
	}
	if server.requests[0].Header.Get("X-Amz-Security-Token") != "session" {
		t.Error("the session's token is not sent")
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	_, err = s.Credentials(deadline(t), account(t, "012345678910.dkr.ecr.us-east-1.amazonaws.com"))
	checkFault(t, err, "credentials of Amazon's", errdefs.Environment)
}

// TestWhoIsServed holds registries' names against what each provider takes for
// its own: look-alikes get nothing.
func TestWhoIsServed(t *testing.T) {
	environ := map[string]string{
		"DOCKERHUB_OIDC_CONNECTIONID": "c", "AZURE_CLIENT_ID": "c", "AZURE_TENANT_ID": "t",
		"CI_REGISTRY": "registry.gitlab.test", "CI_REGISTRY_USER": "robot", "CI_REGISTRY_PASSWORD": "gl", "GITHUB_ACTOR": "ada",
	}
	for host, want := range map[string]string{
		"012345678910.dkr.ecr.us-east-1.amazonaws.com":          "ecr",
		"012345678910.dkr.ecr-fips.us-gov-west-1.amazonaws.com": "ecr",
		"012345678910.dkr.ecr.eusc-de-east-1.amazonaws.eu":      "ecr",
		"public.ecr.aws": "ecr",
		"012345678910.dkr.ecr.us-east-1.amazonaws.com.evil.test":      "",
		"evil-012345678910.dkr.ecr.us-east-1.amazonaws.com":           "",
		"012345678910.dkr.ecr.evil.test.us-east-1.amazonaws.com.test": "",
		"public.ecr.aws.evil.test":                                    "",
		"docker.io":                                                   "dockerhub",
		"registry-1.docker.io":                                        "dockerhub",
		"dhi.io":                                                      "dockerhub",
		"docker.io.evil.com":                                          "",
		"team.azurecr.io":                                             "acr",
		"evil.azurecr.io.attacker.com":                                "",
		"evil.test.azurecr.io":                                        "",
		"ghcr.io":                                                     "ada",
		"ghcr.io.evil.com":                                            "",
		"registry.gitlab.test":                                        "robot",
		"registry.gitlab.test.evil.com":                               "",
	} {
		s, _ := newSource(environ)
		s.GitHubToken = "ghs"
		a := s.complete(account(t, host))
		got := a.Username
		for _, p := range providers() {
			if got == "" && p.serves(s, a) {
				got = p.name
			}
		}
		if got != want {
			t.Errorf("%s is served by %q, want %q", host, got, want)
		}
		if want == "" && a.Password != "" {
			t.Errorf("%s gets a password", host)
		}
	}
}

func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func checkFault(t *testing.T, err error, text string, kind errdefs.Kind) {
	t.Helper()
	switch {
	case text == "" && err != nil:
		t.Fatal(err)
	case text == "":
	case err == nil || !strings.Contains(err.Error(), text):
		t.Fatalf("error %v, want %q", err, text)
	case errdefs.KindOf(err) != kind:
		t.Errorf("%v is of kind %v, want %v", err, errdefs.KindOf(err), kind)
	case strings.Contains(err.Error(), ecrToken64) || strings.Contains(err.Error(), "hunter2"):
		t.Errorf("the error shows a secret: %v", err)
	}
}

// jwt is text as a token's middle part.
func jwt(text string) string {
	raw, _ := json.Marshal(text)
	return "h." + base64.RawURLEncoding.EncodeToString(raw) + ".s"
}
