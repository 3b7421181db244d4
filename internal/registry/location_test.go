package registry

import (
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// TestUploadLocationRefused is a registry that wants an upload sent to where it
// has no business: nothing is sent there, no token and no blob.
func TestUploadLocationRefused(t *testing.T) {
	t.Parallel()
	source := newPeer(t)
	digest := source.seed("app", testIndex(t, "linux/amd64"))
	for to, want := range map[string]string{
		"http://10.0.0.1/upload":         "wants a blob sent by plain http to 10.0.0.1",
		"file:///etc/passwd":             "wants a blob sent by plain file to",
		"//evil.test/upload":             "wants a blob sent by plain http to evil.test", // by http, as the registry here
		"https://169.254.169.254/upload": "wants a blob sent to a link-local address, 169.254.169.254",
		"ftp://registry.test/upload":     "wants a blob sent by plain ftp to registry.test",
		"http://%zz/":                    "invalid URL escape",
	} {
		t.Run(to, func(t *testing.T) {
			t.Parallel()
			target := newPeer(t, &rule{method: "POST", action: location(func(string) string { return to })}, &rule{action: (&door{}).serve})
			err := newClient(t, WithKeychain(loginAs(authn.AuthConfig{Username: "ci", Password: password}))).
				Copy(deadline(t), source.repo("app"), target.repo("app"), digest)
			checkError(t, err, want)
			if kind := errdefs.KindOf(err); kind != errdefs.Denied && to != "http://%zz/" {
				t.Errorf("kind %v", kind)
			}
			if put := target.requests("PUT"); len(put) > 0 {
				t.Errorf("sent: %v", put)
			}
		})
	}
}
