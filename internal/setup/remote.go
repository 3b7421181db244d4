package setup

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"maps"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/moby/buildkit/client/connhelper"
	"github.com/moby/buildkit/client/connhelper/kubepod"
	"github.com/moby/buildkit/client/connhelper/nerdctlcontainer"
	"github.com/moby/buildkit/client/connhelper/podmancontainer"
	"github.com/moby/buildkit/client/connhelper/ssh"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// Remote is the driver of a buildkitd that somebody else runs. Its nodes are
// reached by tcp://, unix://, ssh://, docker-container://, podman-container://,
// nerdctl-container:// or kube-pod://.
const Remote = "remote"

// remoteNode is a buildkitd that somebody else runs, reached by its address.
type remoteNode struct {
	m        *Manager
	endpoint string
	address  *url.URL
	opts     remoteOpts
	tls      *tls.Config // nil is a connection as it comes

	mu    sync.Mutex
	last  error // why the last connection failed
	final bool  // and that waiting does not mend it
}

// remoteOpts are driver remote's options, which are buildx's
// (driver/remote/factory.go).
type remoteOpts struct {
	serverName, ca, cert, key string // the last three are paths
	defaultLoad               bool
}

func (o remoteOpts) secured() bool { return o.serverName+o.ca+o.cert+o.key != "" }

// tunnels are the schemes whose connection is a program's standard input and
// output; what each runs there is buildctl dial-stdio.
var tunnels = map[string]func(*url.URL) (*connhelper.ConnectionHelper, error){
	"ssh":               ssh.Helper,
	"kube-pod":          kubepod.Helper,
	"podman-container":  podmancontainer.Helper,
	"nerdctl-container": nerdctlcontainer.Helper,
}

const inContainer = "docker-container" // the scheme of a buildkitd in a container of an engine

// remoteEndpoint gives the endpoint as the store keeps it, from what a person
// wrote: an absolute path is a socket.
func remoteEndpoint(given string) (string, error) {
	if given == "" {
		return "", errdefs.BadInputf("endpoint", 0, "missing: driver %s is reached by its address", Remote).
			WithHint("tcp://host:port, unix:///path, ssh://user@host or docker-container://name")
	}
	if filepath.IsAbs(given) {
		given = "unix://" + given
	}
	_, err := parseRemote(given)
	return given, err
}

func parseRemote(endpoint string) (*url.URL, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		// The error would have the address, and with it a password.
		return nil, errdefs.BadInputf("endpoint", 0, "it is no address").
			WithHint("tcp://host:port, unix:///path, ssh://user@host or docker-container://name")
	}
	if _, secret := u.User.Password(); secret {
		return nil, errdefs.BadInputf("endpoint", 0, "%s has a password in it", u.Redacted()).
			WithHint("let ssh find a key, and tcp a client certificate: driver-opts cert=FILE,key=FILE")
	}
	switch {
	case u.Scheme == "tcp" && u.Port() != "", u.Scheme == "unix" && u.Path != "", u.Scheme == inContainer && u.Host != "":
		return u, nil
	case u.Scheme == "tcp":
		return nil, errdefs.BadInputf("endpoint", 0, "%q has no port", endpoint).
			WithHint("buildkitd has no usual one: tcp://%s:1234", u.Hostname())
	case tunnels[u.Scheme] != nil:
		if _, err := tunnels[u.Scheme](u); err != nil {
			return nil, errdefs.BadInputf("endpoint", 0, "%q: %w", endpoint, err)
		}
		return u, nil
	}
	return nil, errdefs.BadInputf("endpoint", 0, "%q is no address of a buildkitd", endpoint).
		WithHint("tcp://host:port, unix:///path, or one of the schemes %s, %s", inContainer, strings.Join(slices.Sorted(maps.Keys(tunnels)), ", "))
}

// parseRemoteOpts reads the options; every fault is an errdefs.BadInput of
// input "driver-opts", joined.
func parseRemoteOpts(opts map[string]string) (remoteOpts, error) {
	var o remoteOpts
	paths := map[string]*string{"cacert": &o.ca, "cert": &o.cert, "key": &o.key}
	var faults []error
	for _, key := range slices.Sorted(maps.Keys(opts)) {
		value := opts[key]
		switch path := paths[key]; {
		case path != nil && !filepath.IsAbs(value):
			faults = append(faults, errdefs.BadInputf("driver-opts", 0, "%s=%s is no absolute path", key, value))
		case path != nil:
			*path = value
		case key == "servername":
			o.serverName = value
		case key == "default-load":
			var err error
			if o.defaultLoad, err = truth(value); err != nil {
				faults = append(faults, errdefs.BadInputf("driver-opts", 0, "%s=%s: %w", key, value, err))
			}
		default:
			faults = append(faults, unknownRemoteOpt(key))
		}
	}
	if len(faults) == 0 && o.secured() {
		faults = append(faults, o.complete())
	}
	return o, errors.Join(faults...)
}

func unknownRemoteOpt(key string) error {
	known := []string{"cacert", "cert", "default-load", "key", "servername"}
	bad := errdefs.BadInputf("driver-opts", 0, "unknown option %q of driver %s", key, Remote)
	if near := errdefs.Nearest(key, known); near != "" {
		return bad.WithHint("did you mean %s?", near)
	}
	return bad.WithHint("one of %s", strings.Join(known, ", "))
}

// complete is what lacks of the options of a secured connection. Without a CA
// buildx would trust nobody.
func (o remoteOpts) complete() error {
	var missing []string
	if o.ca == "" {
		missing = append(missing, "cacert")
	}
	if o.cert != "" && o.key == "" {
		missing = append(missing, "key")
	}
	if o.key != "" && o.cert == "" {
		missing = append(missing, "cert")
	}
	if len(missing) == 0 {
		return nil
	}
	return errdefs.BadInputf("driver-opts", 0, "TLS is wanted, and %s missing", strings.Join(missing, " and "))
}

// newRemote is the connector of a remote node as the store has it. What is
// wrong with its files is told before anything is connected.
func (m *Manager) newRemote(n groupNode) (*remoteNode, error) {
	u, err := parseRemote(n.Endpoint)
	if err != nil {
		return nil, err
	}
	opts, err := parseRemoteOpts(n.DriverOpts)
	if err != nil {
		return nil, err
	}
	r := &remoteNode{m: m, endpoint: n.Endpoint, address: u, opts: opts}
	switch {
	case !opts.secured():
		return r, nil
	case u.Scheme != "tcp":
		return nil, errdefs.BadInputf("driver-opts", 0, "%s takes no certificates: %s", n.Endpoint, "TLS is for tcp://")
	}
	r.tls, err = opts.tlsConfig(u.Hostname())
	return r, err
}

func (o remoteOpts) tlsConfig(host string) (*tls.Config, error) {
	conf := &tls.Config{
		ServerName: host, RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2"}, // a proxy may serve other protocols at that port
	}
	if o.serverName != "" {
		conf.ServerName = o.serverName
	}
	var faults []error
	ca, err := os.ReadFile(o.ca)
	if err != nil {
		faults = append(faults, errdefs.BadInputf("driver-opts", 0, "cacert: %w", err))
	} else if !conf.RootCAs.AppendCertsFromPEM(ca) {
		faults = append(faults, errdefs.BadInputf("driver-opts", 0, "cacert=%s has no certificate in PEM", o.ca))
	}
	if o.cert != "" {
		pair, err := tls.LoadX509KeyPair(o.cert, o.key)
		if err != nil {
			faults = append(faults, errdefs.BadInputf("driver-opts", 0, "cert=%s and key=%s: %w", o.cert, o.key, err))
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	return conf, errors.Join(faults...)
}

// dial connects, and keeps why it could not: gRPC makes a text of it.
func (r *remoteNode) dial(ctx context.Context) (net.Conn, error) {
	conn, err := r.connect(ctx)
	if err != nil && ctx.Err() != nil && r.why() != nil {
		return nil, err // we gave up: what was found before says more
	}
	if err != nil {
		return nil, r.note(err)
	}
	return &notingConn{Conn: conn, r: r}, nil
}

func (r *remoteNode) connect(ctx context.Context) (net.Conn, error) {
	switch r.address.Scheme {
	case "unix":
		return (&net.Dialer{}).DialContext(ctx, "unix", r.address.Path)
	case "tcp":
		return r.connectTCP(ctx)
	case inContainer:
		return r.connectContainer(ctx)
	}
	helper, err := tunnels[r.address.Scheme](r.address)
	if err != nil {
		return nil, err
	}
	return helper.ContextDialer(ctx, r.endpoint)
}

func (r *remoteNode) connectTCP(ctx context.Context) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", r.address.Host)
	if err != nil || r.tls == nil {
		return conn, err
	}
	secured := tls.Client(conn, r.tls)
	if err := secured.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return secured, nil
}

// connectContainer needs no docker program, unlike buildx.
func (r *remoteNode) connectContainer(ctx context.Context) (net.Conn, error) {
	api, err := r.m.Engine(r.engine())
	if err != nil {
		return nil, err
	}
	conn, err := execConn(ctx, api, r.address.Hostname(), "buildctl", "dial-stdio")
	if err != nil {
		api.Close()
		return nil, err
	}
	return conn, nil
}

// engine is the docker context of a buildkitd in a container; empty is the
// current one.
func (r *remoteNode) engine() string { return r.address.Query().Get("context") }

// beside is whether the buildkitd is a process of this machine, for all that
// its address tells.
func (r *remoteNode) beside() bool { return r.address.Scheme == "unix" }

// authority is what a proxy before the daemon tells daemons apart by.
func (r *remoteNode) authority() string {
	if r.opts.serverName != "" {
		return r.opts.serverName
	}
	return r.address.Host
}

func (r *remoteNode) note(err error) error {
	told, final := r.explain(err)
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.final { // what comes after it is its consequence
		r.last, r.final = told, final
	}
	return told
}

func (r *remoteNode) gone(context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.final {
		return r.last
	}
	return nil // whoever runs it may be starting it just now
}

// why is the reason of the last failure; nil where none is known.
func (r *remoteNode) why() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}

func (r *remoteNode) tail(context.Context) string { return "" }

// explain says what a failure to connect means, and whether it is final.
func (r *remoteNode) explain(err error) (told error, final bool) {
	var (
		unknown x509.UnknownAuthorityError
		name    x509.HostnameError
		invalid x509.CertificateInvalidError
		record  tls.RecordHeaderError
		op      *net.OpError
	)
	switch {
	case errors.As(err, &unknown):
		return errdefs.New(errdefs.Environment, "the daemon's certificate is not trusted: %s did not sign it", r.opts.ca).
			WithHint("give the certificate of the CA that signed it: driver-opts cacert=FILE"), true
	case errors.As(err, &name):
		return errdefs.New(errdefs.Environment, "the daemon's certificate is for another name: %w", err).
			WithHint("give a name that it is for: driver-opts servername=NAME"), true
	case errors.As(err, &invalid):
		return errdefs.New(errdefs.Environment, "the daemon's certificate: %w", err), true
	case errors.As(err, &record):
		return errdefs.New(errdefs.Environment, "the daemon does not speak TLS: %w", err).
			WithHint("leave servername, cacert, cert and key out of driver-opts, or give buildkitd a certificate"), true
	case errors.Is(err, errSpeaksTLS):
		return errdefs.New(errdefs.Environment, "%w", err).
			WithHint("give driver-opts cacert=FILE, and cert=FILE and key=FILE where it asks for a client certificate"), true
	case errors.As(err, &op) && op.Op == "remote error":
		return r.explainAlert(err)
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOENT):
		return errdefs.New(errdefs.Environment, "nothing listens there: %w", err).
			WithHint("start buildkitd there (--addr %s), or correct endpoint", r.endpoint), false
	case r.address.Scheme == "ssh" && refusedBySSH(err):
		return errdefs.New(errdefs.Environment, "%w", err).
			WithHint("try it: ssh %s buildctl --version", r.address.Host), true
	}
	return err, false
}

// explainAlert is about what a server's TLS refused: it says so by an alert,
// whose type crypto/tls does not export.
func (r *remoteNode) explainAlert(err error) (error, bool) {
	if !strings.Contains(err.Error(), "certificate") {
		return err, false
	}
	if r.opts.cert == "" {
		return errdefs.New(errdefs.Environment, "the daemon asks for a client certificate: %w", err).
			WithHint("give one that its CA signed: driver-opts cert=FILE,key=FILE"), true
	}
	return errdefs.New(errdefs.Environment, "the daemon refuses the client certificate %s: %w", r.opts.cert, err).
		WithHint("give one that the daemon's CA signed: driver-opts cert=FILE,key=FILE"), true
}

func refusedBySSH(err error) bool {
	text := err.Error()
	return strings.Contains(text, "Permission denied") || strings.Contains(text, "Host key verification failed")
}

var errSpeaksTLS = errors.New("the daemon speaks TLS, and no certificate was given")

// speaksTLS is whether a server that hung up on us shakes hands with TLS. It is
// told nothing, and believed nothing.
func (r *remoteNode) speaksTLS() bool {
	ctx, cancel := context.WithTimeout(context.Background(), probeLimit)
	defer cancel()
	dialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}}
	conn, err := dialer.DialContext(ctx, "tcp", r.address.Host)
	if err != nil {
		var op *net.OpError
		return errors.As(err, &op) && op.Op == "remote error" // an alert is TLS too
	}
	conn.Close()
	return true
}

// probeLimit is how long a server may take to shake hands.
const probeLimit = 2 * time.Second

// notingConn keeps why a connection broke. With TLS 1.3 a client learns only
// then that its certificate was refused, and of a server that wants TLS only
// that it hung up without a word.
type notingConn struct {
	net.Conn
	r     *remoteNode
	begun bool
}

func (c *notingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	plain := c.r.tls == nil && c.r.address.Scheme == "tcp"
	switch {
	case err == nil, errors.Is(err, net.ErrClosed):
	case plain && !c.begun && n == 0 && c.r.speaksTLS():
		c.r.note(errSpeaksTLS)
	default:
		c.r.note(err)
	}
	c.begun = c.begun || n > 0
	return n, err // as it is: who reads compares it with io.EOF
}
