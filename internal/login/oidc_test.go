package login

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// services stand for Docker's identity service, Azure's token service, a registry
// of Azure's and the runner's token service, at their own names.
type services struct {
	t        *testing.T
	refuse   string // the path that answers 400
	redirect string // the path that answers 307
	given    int    // tokens of Docker Hub's
}

func (s *services) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		s.t.Error(err)
	}
	want := func(pairs ...string) {
		for i := 0; i < len(pairs); i += 2 {
			if got := r.Form.Get(pairs[i]); got != pairs[i+1] {
				s.t.Errorf("%s%s: %s is %q, want %q", r.Host, r.URL.Path, pairs[i], got, pairs[i+1])
			}
		}
	}
	switch r.URL.Path {
	case s.refuse:
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"error":"invalid_grant","error_description":"no rule matches the subject"}`)
		return
	case s.redirect:
		http.Redirect(w, r, "https://evil.test/", http.StatusTemporaryRedirect)
		return
	}
	switch r.Host + r.URL.Path {
	case "token.actions.test/id":
		if r.Header.Get("Authorization") != "Bearer runner" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprintf(w, `{"value":%q}`, jwt(r.Form.Get("audience")))
	case "identity.docker.com/oauth/token":
		want("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange", "subject_token", jwt("https://identity.docker.com"),
			"connection_id", connection, "expires_in", "600")
		s.given++
		fmt.Fprintf(w, `{"access_token":"hub-token-%d"}`, s.given)
	case "login.microsoftonline.com/tenant/oauth2/v2.0/token":
		want("client_id", "client", "client_assertion", jwt("api://AzureADTokenExchange"), "scope", "https://containerregistry.azure.net/.default")
		fmt.Fprint(w, `{"access_token":"azure-token"}`)
	case "team.azurecr.io/oauth2/exchange":
		want("grant_type", "access_token", "service", "team.azurecr.io", "access_token", "azure-token", "tenant", "tenant")
		fmt.Fprint(w, `{"refresh_token":"acr-token"}`)
	default:
		s.t.Errorf("request to %s%s", r.Host, r.URL.Path)
		w.WriteHeader(http.StatusNotFound)
	}
}

const connection = "0f8fad5b-d9cb-469f-a165-70867728950e"

// reach is a client for which every name is the server's.
func reach(t *testing.T, handler http.Handler) *http.Client {
	t.Helper()
	server := httptest.NewTLSServer(handler)
	t.Cleanup(server.Close)
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // the names are not this server's
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, server.Listener.Addr().String())
		},
	}}
}

func runner(more ...string) map[string]string {
	return cloned(map[string]string{
		"ACTIONS_ID_TOKEN_REQUEST_URL": "https://token.actions.test/id?api-version=2", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "runner",
	}, more...)
}

func TestOpenIDConnect(t *testing.T) {
	hub := []string{hubConnection, connection, hubLifetime, "600"}
	azure := []string{"AZURE_CLIENT_ID", "client", "AZURE_TENANT_ID", "tenant"}
	for _, tt := range []struct {
		name, registry, username string
		environ                  map[string]string
		services                 services
		want                     string // user:password
		life                     time.Duration
		err                      string
		kind                     errdefs.Kind
	}{
		{name: "Docker Hub", registry: "docker.io", username: "acme", environ: runner(hub...), want: "acme:hub-token-1", life: 10 * time.Minute},
		{name: "Docker's hardened images", registry: "dhi.io", username: "acme", environ: runner(hub...), want: "acme:hub-token-1", life: 10 * time.Minute},
		{name: "Azure", registry: "team.azurecr.io", environ: runner(azure...), want: acrUser + ":acr-token", life: 3 * time.Hour},
		{name: "no organization", registry: "docker.io", environ: runner(hub...), err: "the username is missing", kind: errdefs.BadInput},
		{name: "a connection that is none", registry: "docker.io", username: "acme", environ: runner(hubConnection, "x"), err: `"x" is no connection's id`, kind: errdefs.BadInput},
		{name: "a life that is too long", registry: "docker.io", username: "acme", environ: runner(hubConnection, connection, hubLifetime, "7200"), err: `"7200" is no number of seconds`, kind: errdefs.BadInput},
		{name: "a job without the permission", registry: "docker.io", username: "acme", environ: cloned(nil, hub...), err: "no OpenID Connect token", kind: errdefs.Environment},
		{name: "a token service by plain http", registry: "docker.io", username: "acme",
			environ: cloned(runner(hub...), "ACTIONS_ID_TOKEN_REQUEST_URL", "http://token.actions.test/id"), err: "no https address", kind: errdefs.Environment},
		{name: "refused by Docker", registry: "docker.io", username: "acme", environ: runner(hub...), services: services{refuse: "/oauth/token"},
			err: "invalid_grant: no rule matches the subject", kind: errdefs.Denied},
		{name: "refused by the registry", registry: "team.azurecr.io", environ: runner(azure...), services: services{refuse: "/oauth2/exchange"},
			err: "team.azurecr.io/oauth2/exchange: status 400: invalid_grant", kind: errdefs.Denied},
		{name: "redirected with a token", registry: "team.azurecr.io", environ: runner(azure...), services: services{redirect: "/oauth2/exchange"},
			err: "status 307", kind: errdefs.Environment},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, hidden := newSource(tt.environ)
			tt.services.t = t
			s.HTTP = reach(t, &tt.services)
			a := account(t, tt.registry)
			a.Username = tt.username
			got, err := s.Credentials(deadline(t), a)
			checkFault(t, err, tt.err, tt.kind)
			if err != nil {
				return
			}
			c := got[0]
			if c.Username+":"+c.Password != tt.want || c.Expires.Sub(noon) != tt.life || c.Renewal == nil {
				t.Errorf("got %+v", c)
			}
			if all := strings.Join(*hidden, " "); !strings.Contains(all, c.Password) || !strings.Contains(all, "h.") {
				t.Errorf("hidden is %q", all)
			}
		})
	}
}
