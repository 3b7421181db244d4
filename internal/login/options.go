package login

import (
	"maps"
	"strconv"
	"strings"

	"github.com/hullwright/hullwright/internal/input"
)

// Options are what providers of credentials take besides an account, for every
// command that logs in.
type Options struct {
	IDToken      input.Secret `env:"ID-TOKEN" help:"OpenID Connect token of the job, as of GitLab's id_tokens, for Docker Hub and Azure; on GitHub the runner is asked for one."`
	Connection   string       `env:"DOCKERHUB-OIDC-CONNECTIONID" also:"DOCKERHUB_OIDC_CONNECTIONID" placeholder:"UUID" help:"Connection of the organization at Docker Hub, which takes the job's OpenID Connect token instead of a password."`
	ConnectionIn int          `env:"DOCKERHUB-OIDC-EXPIREIN" also:"DOCKERHUB_OIDC_EXPIREIN" envDefault:"300" help:"Seconds that its token lives, from 300 to 3600."`
	AccountIDs   input.Words  `env:"AWS-ACCOUNT-IDS" also:"AWS_ACCOUNT_IDS" help:"Further accounts of Amazon's whose registries are logged in to."`
}

// Source is a source of credentials by these options, with environ completed by
// what they say in place of its variables. The caller fills in the rest.
func (o Options) Source(environ map[string]string) *Source {
	all := maps.Clone(environ)
	set := func(name, value string) {
		if value != "" {
			all[name] = value
		}
	}
	set(hubConnection, o.Connection)
	set(hubLifetime, strconv.Itoa(o.ConnectionIn))
	set("AWS_ACCOUNT_IDS", strings.Join(o.AccountIDs, ","))
	return &Source{Environ: all, IDToken: string(o.IDToken)}
}
