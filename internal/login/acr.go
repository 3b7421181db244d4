package login

import (
	"cmp"
	"context"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// acrHost is a registry of Azure's, whole: look-alikes that go on after the
// domain, or before it, have got tokens from others.
var acrHost = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*\.azurecr\.(io|cn|us)$`)

// acrUser is the user with whom a registry's own token goes:
// https://learn.microsoft.com/azure/container-registry/container-registry-authentication
const acrUser = "00000000-0000-0000-0000-000000000000"

// acrLifetime is how long such a token lives, as the same page says.
const acrLifetime = 3 * time.Hour

// authorities are where the clouds of Azure give tokens.
var authorities = map[string]string{
	"io": "https://login.microsoftonline.com",
	"cn": "https://login.partner.microsoftonline.cn",
	"us": "https://login.microsoftonline.us",
}

func (s *Source) servesACR(a Account) bool {
	return a.Password == "" && (a.Username == "" || a.Username == acrUser) && acrHost.MatchString(a.Registry.RegistryStr()) &&
		s.Environ["AZURE_CLIENT_ID"] != "" && s.Environ["AZURE_TENANT_ID"] != ""
}

// acr exchanges the job's OpenID Connect token for one of Azure's, and that for
// one of the registry's.
func (s *Source) acr(ctx context.Context, a Account) ([]Credentials, error) {
	host := a.Registry.RegistryStr()
	now := s.Now()
	access, err := s.azureToken(ctx, host)
	if err != nil {
		return nil, err
	}
	body, err := s.ask(ctx, host+"/oauth2/exchange", form("https://"+host+"/oauth2/exchange", url.Values{
		"grant_type":   {"access_token"},
		"service":      {host},
		"tenant":       {s.Environ["AZURE_TENANT_ID"]},
		"access_token": {access},
	}), oauthFault)
	if err != nil {
		return nil, err
	}
	var answer struct {
		RefreshToken string `json:"refresh_token"`
	}
	if err := read(host+"/oauth2/exchange", body, &answer); err != nil {
		return nil, err
	}
	if answer.RefreshToken == "" {
		return nil, errdefs.New(errdefs.Environment, "%s/oauth2/exchange gave no token", host)
	}
	s.hide(answer.RefreshToken)
	return []Credentials{{
		Registry: a.Registry, Username: acrUser, Password: answer.RefreshToken, Expires: now.Add(acrLifetime),
		Renewal: &Renewal{Provider: "acr", Issued: now, Parameters: map[string]string{
			"client": s.Environ["AZURE_CLIENT_ID"], "tenant": s.Environ["AZURE_TENANT_ID"],
		}},
	}}, nil
}

func (s *Source) renewACR(ctx context.Context, a Account, r Renewal) ([]Credentials, error) {
	again := *s
	again.Environ = cloned(s.Environ, "AZURE_CLIENT_ID", r.Parameters["client"], "AZURE_TENANT_ID", r.Parameters["tenant"])
	return again.acr(ctx, a)
}

// azureToken is a token of Azure's for registries, for the job's own:
// https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow
func (s *Source) azureToken(ctx context.Context, host string) (string, error) {
	assertion, err := s.azureAssertion(ctx)
	if err != nil {
		return "", err
	}
	authority := strings.TrimSuffix(cmp.Or(s.Environ["AZURE_AUTHORITY_HOST"], authorities[host[strings.LastIndex(host, ".")+1:]]), "/")
	if u, err := url.Parse(authority); err != nil || u.Scheme != "https" && !isLoopback(u.Host) {
		return "", errdefs.New(errdefs.Environment, "AZURE_AUTHORITY_HOST is no https address")
	}
	body, err := s.ask(ctx, "Azure's token service", form(authority+"/"+url.PathEscape(s.Environ["AZURE_TENANT_ID"])+"/oauth2/v2.0/token", url.Values{
		"grant_type":            {"client_credentials"},
		"client_id":             {s.Environ["AZURE_CLIENT_ID"]},
		"scope":                 {"https://containerregistry.azure.net/.default"},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		"client_assertion":      {assertion},
	}), oauthFault)
	if err != nil {
		return "", err
	}
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	if err := read("Azure's token service", body, &answer); err != nil {
		return "", err
	}
	if answer.AccessToken == "" {
		return "", errdefs.New(errdefs.Environment, "Azure's token service gave no token")
	}
	s.hide(answer.AccessToken)
	return answer.AccessToken, nil
}

// azureAssertion is the job's token: a file's, as Kubernetes gives it, or the CI
// system's.
func (s *Source) azureAssertion(ctx context.Context) (string, error) {
	path := s.Environ["AZURE_FEDERATED_TOKEN_FILE"]
	if path == "" || s.IDToken != "" {
		return s.idToken(ctx, "api://AzureADTokenExchange")
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return "", errdefs.New(errdefs.Environment, "AZURE_FEDERATED_TOKEN_FILE: %w", err)
	}
	token := strings.TrimSpace(string(raw))
	s.hide(token)
	return token, nil
}
