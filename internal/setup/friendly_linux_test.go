package setup

import (
	"context"
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	registryclient "github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
)

// loopbackName is a name of this machine's loopback that is not localhost, whose
// rules are others, and the address that it has.
func loopbackName(t *testing.T) (host, address string) {
	t.Helper()
	own, err := os.Hostname()
	check(t, err)
	for _, host := range []string{own, "ip6-localhost"} {
		found, err := net.DefaultResolver.LookupHost(t.Context(), host)
		if err == nil && net.ParseIP(found[0]).IsLoopback() {
			return host, found[0]
		}
	}
	t.Skip("no name but localhost stands for the loopback here")
	return "", ""
}

// settingServers are what a builder is to reach by its settings.
type settingServers struct {
	plain, tls string // host:port
	authority  string // file, of tls
	proxy      string
	proxied    atomic.Int32 // requests through proxy
}

func startSettingServers(t *testing.T, address string) *settingServers {
	t.Helper()
	s := &settingServers{}
	images := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	start := func(h http.Handler) *httptest.Server {
		l, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
		check(t, err)
		server := httptest.NewUnstartedServer(h)
		server.Listener.Close()
		server.Listener = l
		server.Config.ErrorLog = log.New(io.Discard, "", 0)
		t.Cleanup(server.Close)
		return server
	}
	plain, secure := start(images), start(images)
	plain.Start()
	secure.StartTLS()
	s.plain, s.tls = plain.Listener.Addr().String(), secure.Listener.Addr().String()
	forward := &httputil.ReverseProxy{Rewrite: func(*httputil.ProxyRequest) {}}
	proxy := start(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.proxied.Add(1)
		forward.ServeHTTP(w, r)
	}))
	proxy.Start()
	s.proxy = proxy.URL
	s.authority = filepath.Join(t.TempDir(), "ca.pem")
	check(t, os.WriteFile(s.authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}), 0o600))

	image, err := random.Image(512, 1)
	check(t, err)
	for _, repository := range []string{"/app", "/hub/library/app"} {
		ref, err := name.ParseReference(s.plain+repository+":1", name.Insecure)
		check(t, err)
		check(t, registryclient.Write(ref, image))
	}
	return s
}

// TestRealSettings sees what each setting changes in a real buildkitd.
func TestRealSettings(t *testing.T) {
	host, address := loopbackName(t)
	for _, driver := range []string{DockerContainer, Process} {
		t.Run(driver, func(t *testing.T) {
			m, ctx := real(t), limited(t)
			s := startSettingServers(t, address)
			named := func(at string) string {
				_, port, err := net.SplitHostPort(at)
				check(t, err)
				return net.JoinHostPort(host, port)
			}
			o := BuilderOptions{
				Driver: driver, DriverOpts: []string{"network=host"},
				SettingOptions: SettingOptions{
					RegistryMirrors:    []string{"http://" + named(s.plain) + "/hub"},
					InsecureRegistries: []string{named(s.plain), named(s.tls)},
					RegistryCA:         []string{s.tls + "=" + s.authority},
					Proxy:              []string{"http=" + s.proxy},
					GCMaxUsed:          "1GB", GCReserved: "3MB", BuildkitdDebug: true,
				},
			}
			spec, err := o.Spec(m.host.Dir, m.host.Environ)
			check(t, err)
			b, err := m.Ensure(ctx, spec, newState(t, m))
			check(t, err)
			defer b.Close()
			for what, ref := range map[string]string{
				"an authority":                 s.tls + "/app:1",
				"a certificate that is no one": named(s.tls) + "/app:1",
				"plain http":                   named(s.plain) + "/app:1",
				"a mirror":                     "docker.io/library/app:1",
			} {
				if err := pullBy(ctx, b, ref); err != nil {
					t.Errorf("%s: %v", what, err)
				}
			}
			if s.proxied.Load() == 0 {
				t.Error("nothing came through the proxy")
			}
			settled(ctx, t, b)
		})
	}
}

// settled looks at what a daemon says of itself.
func settled(ctx context.Context, t *testing.T, b *Builder) {
	t.Helper()
	workers, err := b.Client(b.Nodes[0]).ListWorkers(ctx)
	check(t, err)
	policy := workers[0].GCPolicy[len(workers[0].GCPolicy)-1]
	if policy.MaxUsedSpace != 1<<30 || policy.ReservedSpace != 3<<20 {
		t.Errorf("policy %+v", policy)
	}
	if log := b.Nodes[0].conn.tail(ctx); !strings.Contains(log, "level=debug") {
		t.Errorf("no detail in the log:\n%s", log)
	}
}

// pullBy resolves an image by the builder.
func pullBy(ctx context.Context, b *Builder, ref string) error {
	def, err := llb.Image(ref).Marshal(ctx)
	if err != nil {
		return err
	}
	_, err = b.Client(b.Nodes[0]).Solve(ctx, def, client.SolveOpt{}, nil)
	return err
}

// TestRealWithoutSettings is the reason for the settings: what needs them fails.
func TestRealWithoutSettings(t *testing.T) {
	host, address := loopbackName(t)
	m, ctx := real(t), limited(t)
	s := startSettingServers(t, address)
	b, err := m.Ensure(ctx, Spec{Driver: Process}, newState(t, m))
	check(t, err)
	defer b.Close()
	_, port, err := net.SplitHostPort(s.plain)
	check(t, err)
	for ref, want := range map[string]string{
		s.tls + "/app:1":                        "400 Bad Request", // loopback is spoken to over plain http
		net.JoinHostPort(host, port) + "/app:1": "server gave HTTP response to HTTPS client",
	} {
		if err := pullBy(ctx, b, ref); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", ref, err, want)
		}
	}
}

// TestRealDockerCertificates has a registry that docker's directory knows.
func TestRealDockerCertificates(t *testing.T) {
	_, address := loopbackName(t)
	for _, driver := range []string{DockerContainer, Process} {
		t.Run(driver, func(t *testing.T) {
			m, ctx := real(t), limited(t)
			s := startSettingServers(t, address)
			home := t.TempDir()
			m.host.Environ["HOME"] = home
			dir := filepath.Join(home, ".docker", "certs.d", s.tls)
			check(t, os.MkdirAll(dir, 0o700))
			check(t, os.Rename(s.authority, filepath.Join(dir, "ca.crt")))
			b, err := m.Ensure(ctx, Spec{Driver: driver, DriverOpts: map[string]string{"network": "host"}}, newState(t, m))
			check(t, err)
			defer b.Close()
			check(t, pullBy(ctx, b, s.tls+"/app:1"))
		})
	}
}

// TestRealGCAuto takes the limits from the disk.
func TestRealGCAuto(t *testing.T) {
	m, ctx := real(t), limited(t)
	for _, driver := range []string{DockerContainer, Process} {
		spec, err := BuilderOptions{Driver: driver, SettingOptions: SettingOptions{GC: "auto", GCReserved: "7MB"}}.Spec("", nil)
		check(t, err)
		endpoint, err := m.endpoint("")
		check(t, err)
		spec, err = m.configure(ctx, spec, driver, endpoint)
		check(t, err)
		conf, err := parseConfig(spec.Config)
		check(t, err)
		worker := conf["worker"].(map[string]any)["oci"].(map[string]any)
		if worker["gc"] != true || worker["reservedSpace"] != "7MB" || !strings.HasSuffix(worker["maxUsedSpace"].(string), "MB") || worker["minFreeSpace"] == nil {
			t.Errorf("%s: %v", driver, worker)
		}
	}
}
