package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"golang.org/x/net/http/httpproxy"
	"golang.org/x/sync/errgroup"

	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/registry"
)

// shared is what all checks of registries use.
type shared struct{ client *registry.Client }

// newShared makes a client that is not patient: a registry that only ails is to
// be told, and a build will try it again.
func newShared(h Host) *shared {
	return &shared{registry.New(
		registry.WithKeychain(h.Keychain),
		registry.WithTransport(registry.Transport(h.Environ)),
		registry.WithCertificates(registry.DockerCertificates(h.Environ)),
		registry.WithAuthorities(h.Authorities),
		registry.WithInsecure(h.Insecure...),
		registry.WithTrustedRealm(h.Realms...),
		registry.WithRetry(registry.Retry{Tries: 2, Base: 200 * time.Millisecond, RetryAfter: time.Second}),
	)}
}

// answer is a registry's, and when it came by our clock.
type answer struct {
	registry.Answer
	at time.Time
}

// hosts are the registries of the build, each once.
func (r *run) hosts() []name.Registry {
	var list []name.Registry
	seen := map[string]bool{}
	add := func(repo name.Repository) {
		if !seen[repo.RegistryStr()] {
			seen[repo.RegistryStr()] = true
			list = append(list, repo.Registry)
		}
	}
	for _, repo := range r.Push {
		add(repo)
	}
	for _, c := range r.Caches {
		if c.Ref != nil {
			add(c.Ref.Context())
		}
	}
	return list
}

func (r *run) ping(reg name.Registry) (answer, error) {
	return r.registries[reg.RegistryStr()].of(r, func(ctx context.Context) (answer, error) {
		a, err := r.shared.client.Ping(ctx, reg)
		return answer{a, r.Now()}, err
	})
}

// each looks at every registry, at the same time; nil where there is none.
func (r *run) each(look func(name.Registry) []Finding) []Finding {
	return together(r.hosts(), look)
}

// together does the same for all of a list, and keeps its order.
func together[T any](list []T, look func(T) []Finding) []Finding {
	if len(list) == 0 {
		return leftOut("no registry is named; give tags or images")
	}
	found := make([][]Finding, len(list))
	var group errgroup.Group
	group.SetLimit(8)
	for i, one := range list {
		group.Go(func() error { found[i] = look(one); return nil })
	}
	group.Wait() // it has no error
	var all []Finding
	for _, f := range found {
		all = append(all, f...)
	}
	return all
}

func checkDNS(ctx context.Context, r *run) []Finding {
	return r.each(func(reg name.Registry) []Finding {
		host := reg.RegistryStr()
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		if host == name.DefaultRegistry {
			host = "registry-1.docker.io"
		}
		if net.ParseIP(strings.Trim(host, "[]")) != nil {
			return []Finding{ok(host, "an address")}
		}
		if r.throughProxy() {
			return []Finding{ok(host, "left to the proxy")}
		}
		found, err := net.DefaultResolver.LookupHost(ctx, host)
		if err != nil {
			return []Finding{find("dns-failed", host, "%v", err)}
		}
		return []Finding{ok(host, "%s", strings.Join(found[:min(2, len(found))], ", "))}
	})
}

// throughProxy is whether https goes to a proxy, which resolves names itself.
func (r *run) throughProxy() bool {
	c := httpproxy.Config{HTTPSProxy: r.Environ["HTTPS_PROXY"] + r.Environ["https_proxy"]}
	return c.HTTPSProxy != ""
}

func checkRegistry(_ context.Context, r *run) []Finding {
	return r.each(func(reg name.Registry) []Finding {
		a, err := r.ping(reg)
		var dns *net.DNSError
		switch {
		case errors.As(err, &dns) && !r.throughProxy():
			return leftOut("the name %s does not resolve", dns.Name)
		case untrusted(err):
			return []Finding{because("registry-untrusted", reg.RegistryStr(), err)}
		case err != nil:
			f := because("registry-unreachable", reg.RegistryStr(), err)
			f.kind = errdefs.Environment
			return []Finding{f}
		}
		asks := "asks for nothing"
		if a.Asks {
			asks = "asks for credentials"
		}
		return []Finding{ok(reg.RegistryStr(), "answers by %s, %s", a.Scheme, asks)}
	})
}

// untrusted is whether an error is about a registry's certificate.
func untrusted(err error) bool {
	var verification *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	var other x509.HostnameError
	var invalid x509.CertificateInvalidError
	return errors.As(err, &verification) || errors.As(err, &unknown) || errors.As(err, &other) || errors.As(err, &invalid)
}

// clockLimit is how far two clocks may be apart. Token servers allow a minute.
const clockLimit = 60 * time.Second

func checkClock(_ context.Context, r *run) []Finding {
	return r.each(func(reg name.Registry) []Finding {
		a, err := r.ping(reg)
		switch {
		case err != nil:
			return leftOut("%s does not answer", reg.RegistryStr())
		case a.Date.IsZero():
			return leftOut("%s does not tell its time", reg.RegistryStr())
		}
		off := a.at.Sub(a.Date).Round(time.Second)
		if off.Abs() > clockLimit {
			word := "ahead of"
			if off < 0 {
				word = "behind"
			}
			return []Finding{find("clock-off", reg.RegistryStr(), "this machine is %s %s the registry's clock", off.Abs(), word)}
		}
		return []Finding{ok(reg.RegistryStr(), "within %s", max(off.Abs(), time.Second))}
	})
}

func checkLogin(ctx context.Context, r *run) []Finding {
	return r.each(func(reg name.Registry) []Finding {
		host := reg.RegistryStr()
		a, err := r.ping(reg)
		if err != nil {
			return leftOut("%s does not answer", host)
		}
		if !a.Asks {
			return []Finding{ok(host, "it lets everybody in")}
		}
		login, err := authn.Resolve(ctx, r.Keychain, reg)
		switch {
		case err != nil:
			return []Finding{because("login-failed", host, err)}
		case login == authn.Anonymous:
			return []Finding{find("login-missing", host, "there are no credentials for it")}
		}
		if _, err := r.shared.client.Try(ctx, reg, login); err != nil {
			if errdefs.KindOf(err) == errdefs.Denied {
				return []Finding{because("login-refused", host, err)}
			}
			return []Finding{because("login-failed", host, err)}
		}
		return []Finding{ok(host, "it takes the credentials")}
	})
}
