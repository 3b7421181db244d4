package policy

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	gatewaypb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/solver/pb"
	spb "github.com/moby/buildkit/sourcepolicy/pb"
	"github.com/moby/buildkit/sourcepolicy/policysession"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// asked is what a policy decides of an image, asked as a daemon does: over gRPC.
func asked(t *testing.T, provider session.Attachable, image string) (action spb.PolicyAction, messages []string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	provider.Register(server)
	go server.Serve(listener)
	defer server.Stop()
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	resp, err := policysession.NewPolicyVerifierClient(conn).CheckPolicy(t.Context(), &policysession.CheckPolicyRequest{
		Platform: &pb.Platform{OS: "linux", Architecture: "amd64"},
		Source:   &gatewaypb.ResolveSourceMetaResponse{Source: &pb.SourceOp{Identifier: "docker-image://" + image}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range resp.GetDecision().GetDenyMessages() {
		messages = append(messages, m.GetMessage())
	}
	return resp.GetDecision().GetAction(), messages
}

// files writes a folder and gives its path.
func files(t *testing.T, content map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range content {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const (
	onlyAlpine = "package docker\ndefault allow := false\nallow if input.image.repo == \"alpine\"\ndecision := {\"allow\": allow, \"deny_msg\": [\"only alpine\"]}\n"
	allowAll   = "package docker\ndecision := {\"allow\": true}\n"
	denyAll    = "package docker\ndecision := {\"allow\": false, \"deny_msg\": [\"no\"]}\n"
	byArgument = "package docker\ndecision := {\"allow\": input.env.args.CHANNEL == \"stable\"}\n"
	byImport   = "package docker\nimport data.lib.names\ndefault allow := false\nallow if input.image.repo in names.known\ndecision := {\"allow\": allow}\n"
	library    = "package names\nknown := [\"alpine\"]\n"
)

func TestPolicies(t *testing.T) {
	dir := files(t, map[string]string{
		"own/Dockerfile.rego": onlyAlpine, "allow.rego": allowAll, "deny.rego": denyAll, "argument.rego": byArgument,
		"in/import.rego": byImport, "in/lib/names.rego": library,
	})
	path := func(name string) string { return filepath.Join(dir, name) }
	build := Build{Filename: "Dockerfile", Args: map[string]string{"CHANNEL": "stable"}}
	cases := []struct {
		title           string
		opt             Options
		alpine, busybox bool
	}{
		{"own", Options{DockerfileDir: path("own"), ContextDir: path("own")}, true, false},
		{"all have to allow", Options{DockerfileDir: path("own"), Given: []Given{{Files: []string{path("allow.rego")}}}}, true, false},
		{"given as well", Options{DockerfileDir: path("own"), Given: []Given{{Files: []string{path("deny.rego")}}}}, false, false},
		{"reset", Options{DockerfileDir: path("own"), Given: []Given{{Files: []string{path("allow.rego")}, Reset: true}}}, true, true},
		{"argument", Options{DockerfileDir: dir, Given: []Given{{Files: []string{path("argument.rego")}}}}, true, true},
		{"import beside it", Options{DockerfileDir: dir, Given: []Given{{Files: []string{path("in/import.rego")}}}}, true, false},
		{"import from the context", Options{DockerfileDir: dir, ContextDir: path("in"), Given: []Given{{Files: []string{path("in/import.rego")}}}}, true, false},
	}
	for _, c := range cases {
		t.Run(c.title, func(t *testing.T) {
			c.opt.Build = build
			var said strings.Builder
			c.opt.Executable = evaluatorFor
			c.opt.Log = func(line string) { said.WriteString(line + "\n") }
			rules, err := Load(t.Context(), nil, nil, c.opt)
			if err != nil || rules == nil {
				t.Fatal(rules, err)
			}
			defer rules.Close()
			e, err := rules.Enforce(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			for image, want := range map[string]bool{"docker.io/library/alpine:3": c.alpine, "docker.io/library/busybox:1": c.busybox} {
				action, messages := asked(t, e.Provider, image)
				if (action == spb.PolicyAction_ALLOW) != want {
					t.Errorf("%s: %v %v, want it allowed: %v", image, action, messages, want)
				}
			}
			if !strings.Contains(said.String(), "policy decision for source docker-image://docker.io/library/busybox:1") {
				t.Errorf("what was decided is not told:\n%s", said.String())
			}
		})
	}
}

func TestNoPolicy(t *testing.T) {
	rules, err := Load(t.Context(), nil, nil, Options{Build: Build{Filename: "Dockerfile"}, DockerfileDir: t.TempDir()})
	if rules != nil || err != nil {
		t.Errorf("%v, %v, want none", rules, err)
	}
}

func TestPolicyFaults(t *testing.T) {
	dir := files(t, map[string]string{
		"broken.rego": "package docker\ndecision := {\n", "outside.rego": "package docker\nimport data.secret\ndecision := {\"allow\": true}\n",
		"large.rego": strings.Repeat("#", maxSize+1), "folder.rego/x": "",
	})
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "secret.rego")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"broken.rego": "rego_parse_error", "outside.rego": "data.secret", "large.rego": "more than", "folder.rego": "is no file", "none.rego": "no such file",
	} {
		err := func() error {
			rules, err := Load(context.Background(), nil, nil, Options{Executable: evaluatorFor, DockerfileDir: dir, Given: []Given{{Files: []string{filepath.Join(dir, name)}}}})
			if err != nil {
				return err
			}
			defer rules.Close()
			_, err = rules.Enforce(t.Context(), nil)
			return err
		}()
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "root:") || strings.Contains(err.Error(), "rpc error") {
			t.Errorf("%s: %v, want an error with %q", name, err, want)
		}
	}
}
