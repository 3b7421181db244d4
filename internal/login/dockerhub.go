package login

import (
	"cmp"
	"context"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// Docker Hub's tokens for a job: its own action documents the variables.
// https://docs.docker.com/enterprise/security/oidc-connections/create-manage/
const (
	hubConnection = "DOCKERHUB_OIDC_CONNECTIONID"
	hubLifetime   = "DOCKERHUB_OIDC_EXPIREIN"
	hubIdentity   = "https://identity.docker.com"
)

var uuid = regexp.MustCompile(`(?i)^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

func (s *Source) servesHub(a Account) bool {
	return a.Password == "" && s.Environ[hubConnection] != "" && slices.Contains([]string{name.DefaultRegistry, "dhi.io"}, a.Registry.RegistryStr())
}

func (s *Source) hub(ctx context.Context, a Account) ([]Credentials, error) {
	connection := s.Environ[hubConnection]
	if !uuid.MatchString(connection) {
		return nil, errdefs.BadInputf(hubConnection, 0, "%q is no connection's id", connection).
			WithHint("the id is a UUID, which Docker Home shows with the connection")
	}
	if a.Username == "" {
		return nil, a.faultf("%s: the username is missing", a.Registry).WithHint("it is the organization that the connection belongs to")
	}
	seconds, err := strconv.Atoi(cmp.Or(s.Environ[hubLifetime], "300"))
	if err != nil || seconds < 300 || seconds > 3600 {
		return nil, errdefs.BadInputf(hubLifetime, 0, "%q is no number of seconds from 300 to 3600", s.Environ[hubLifetime])
	}
	subject, err := s.idToken(ctx, hubIdentity)
	if err != nil {
		return nil, err
	}
	now := s.Now()
	body, err := s.ask(ctx, "Docker's identity service", form(hubIdentity+"/oauth/token", url.Values{
		"grant_type":         {"urn:ietf:params:oauth:grant-type:token-exchange"},
		"subject_token_type": {"urn:ietf:params:oauth:token-type:id_token"},
		"subject_token":      {subject},
		"connection_id":      {connection},
		"expires_in":         {strconv.Itoa(seconds)},
	}), oauthFault)
	if err != nil {
		return nil, err
	}
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	if err := read("Docker's identity service", body, &answer); err != nil {
		return nil, err
	}
	if answer.AccessToken == "" {
		return nil, errdefs.New(errdefs.Environment, "Docker's identity service gave no token")
	}
	s.hide(answer.AccessToken)
	return []Credentials{{
		Registry: a.Registry, Username: a.Username, Password: answer.AccessToken,
		Expires: now.Add(time.Duration(seconds) * time.Second),
		Renewal: &Renewal{Provider: "dockerhub", Username: a.Username, Issued: now, Parameters: map[string]string{
			"connection": connection, "seconds": strconv.Itoa(seconds),
		}},
	}}, nil
}

func (s *Source) renewHub(ctx context.Context, a Account, r Renewal) ([]Credentials, error) {
	again := *s
	again.Environ = cloned(s.Environ, hubConnection, r.Parameters["connection"], hubLifetime, r.Parameters["seconds"])
	a.Username = r.Username
	return again.hub(ctx, a)
}
