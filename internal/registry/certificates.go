package registry

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// Certificates are directories that hold, in one directory a registry, the
// authorities that it is trusted by and certificates that it knows us by, as
// docker keeps them: https://docs.docker.com/engine/security/certificates/
//
//	registry.example:5000/ca.crt        an authority; any name that ends in .crt
//	registry.example:5000/client.cert   a certificate of ours
//	registry.example:5000/client.key    and its key
type Certificates []string

// DockerCertificates are the directories that docker and its relatives look
// into: the machine's, then those of the user whom environ names. A builder that
// setup makes gets what the same directories hold.
func DockerCertificates(environ map[string]string) Certificates {
	dirs := Certificates{"/etc/docker/certs.d"}
	config := environ["XDG_CONFIG_HOME"]
	if config == "" && environ["HOME"] != "" {
		config = filepath.Join(environ["HOME"], ".config")
	}
	if config != "" {
		dirs = append(dirs, filepath.Join(config, "docker", "certs.d"))
	}
	if home := environ["HOME"]; home != "" {
		dirs = append(dirs, filepath.Join(home, ".docker", "certs.d"))
	}
	if own := environ["DOCKER_CONFIG"]; own != "" {
		dirs = append(dirs, filepath.Join(own, "certs.d"))
	}
	return dirs
}

// authorities are certificates in PEM, by the registry ("host" or "host:port", in
// lower case) that they vouch for beside those of the directories.
type authorities map[string][]byte

// of are a registry's; empty where it has none.
func (a authorities) of(host string) []byte { return a[dockerName(strings.ToLower(host))] }

// dockerName is what people and docker's directories call a registry.
func dockerName(host string) string {
	if host == name.DefaultRegistry {
		return "docker.io"
	}
	return host
}

// config is the TLS configuration of a registry, "host" or "host:port"; nil where
// none of the directories has anything for it.
func (c Certificates) config(host string) (*tls.Config, error) {
	host = dockerName(host)
	var config *tls.Config
	for _, dir := range c {
		dir = filepath.Join(dir, host)
		entries, err := os.ReadDir(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, errdefs.New(errdefs.Environment, "certificates of %s: %w", host, err)
		}
		if config == nil {
			config = &tls.Config{}
		}
		for _, e := range entries {
			if err := addCertificate(config, filepath.Join(dir, e.Name())); err != nil {
				return nil, errdefs.New(errdefs.Environment, "certificates of %s: %w", host, err)
			}
		}
	}
	return config, nil
}

// addCertificate adds what one file holds, by the end of its name. Other files
// mean nothing.
func addCertificate(config *tls.Config, path string) error {
	base := strings.TrimSuffix(path, filepath.Ext(path))
	switch filepath.Ext(path) {
	case ".crt":
		pem, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := addAuthorities(config, pem); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	case ".cert":
		pair, err := tls.LoadX509KeyPair(path, base+".key")
		if err != nil {
			return fmt.Errorf("%s: %w (a certificate of ours needs its key beside it; one of an authority ends in .crt)", path, err)
		}
		config.Certificates = append(config.Certificates, pair)
	case ".key":
		if _, err := os.Stat(base + ".cert"); err != nil {
			return fmt.Errorf("%s: a key without its certificate: %w", path, err)
		}
	}
	return nil
}

// addAuthorities adds authorities to the system's.
func addAuthorities(config *tls.Config, pem []byte) (err error) {
	if config.RootCAs == nil {
		if config.RootCAs, err = x509.SystemCertPool(); err != nil {
			return err
		}
	}
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return errors.New("no certificate in it")
	}
	return nil
}

// hostTLS is a transport that has for each host the TLS configuration that the
// host needs.
type hostTLS struct {
	base         *http.Transport
	certificates Certificates
	authorities  authorities
	unverified   func(host string) bool

	mu   sync.Mutex
	made map[string]http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (t *hostTLS) RoundTrip(req *http.Request) (*http.Response, error) {
	inner := http.RoundTripper(t.base)
	if req.URL.Scheme == "https" {
		var err error
		if inner, err = t.of(strings.ToLower(req.URL.Host)); err != nil {
			if req.Body != nil {
				req.Body.Close()
			}
			return nil, err
		}
	}
	return inner.RoundTrip(req)
}

func (t *hostTLS) of(host string) (http.RoundTripper, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if made, ok := t.made[host]; ok {
		return made, nil
	}
	config, err := t.config(host)
	if err != nil {
		return nil, err
	}
	var made http.RoundTripper = t.base
	if config != nil || t.unverified(host) {
		made = t.with(config, t.unverified(host))
	}
	t.made[host] = made
	return made, nil
}

// config is the TLS configuration of a host; nil where it has none of its own.
func (t *hostTLS) config(host string) (*tls.Config, error) {
	config, err := t.certificates.config(host)
	pem := t.authorities.of(host)
	if err != nil || len(pem) == 0 {
		return config, err
	}
	if config == nil {
		config = &tls.Config{}
	}
	if err := addAuthorities(config, pem); err != nil {
		return nil, errdefs.New(errdefs.Environment, "authorities of %s: %w", host, err)
	}
	return config, nil
}

// with is the transport with further certificates. It shares no connection with
// the others.
func (t *hostTLS) with(config *tls.Config, unverified bool) *http.Transport {
	own := t.base.Clone()
	if own.TLSClientConfig == nil {
		own.TLSClientConfig = &tls.Config{}
	}
	if config != nil {
		own.TLSClientConfig.Certificates = config.Certificates
		if config.RootCAs != nil {
			own.TLSClientConfig.RootCAs = config.RootCAs
		}
	}
	own.TLSClientConfig.InsecureSkipVerify = unverified
	return own
}
