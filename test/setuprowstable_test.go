package test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// row is something that docker/setup-buildx-action, buildx or docker/login-action
// does, and where a test holds it: a journey and words of it, or a package and a
// test there.
type row struct{ what, where string }

// setupRows are what setup gives in the place of docker/setup-buildx-action.
var setupRows = []row{
	{"input version", "setup-defaults.txtar INPUT_VERSION=v0.12.0"},
	{"input name", "interop.txtar setup of a name that is there makes no second builder"},
	{"input name, a default", "internal/setup TestRealTeardownOthers"},
	{"input driver", "setup-defaults.txtar ^driver docker-container$"},
	{"input driver, of none", "setup-defaults.txtar setup --driver kubernetes"},
	{"input driver-opts", "container.txtar Every option of driver docker-container"},
	{"input buildkitd-flags", "container.txtar --buildkitd-flags '--debug"},
	{"input buildkitd-flags, a default", "setup-defaults.txtar ^flags --allow-insecure-entitlement security.insecure"},
	{"input buildkitd-config", "setup-config.txtar --buildkitd-config own.toml"},
	{"input buildkitd-config-inline", "setup-config.txtar --buildkitd-config-inline"},
	{"input use", "setup-defaults.txtar --use=false"},
	{"input endpoint, a docker context", "setup-defaults.txtar --endpoint far"},
	{"input endpoint, an engine by ssh", "internal/setup TestRealSSH"},
	{"input endpoint, of a daemon", "remote.txtar --endpoint $FAR_ADDRESS"},
	{"input platforms", "append.txtar --platforms linux/amd64,linux/arm64"},
	{"input append", "append.txtar --append"},
	{"input append, its faults", "internal/setup TestParseAppendFaults"},
	{"input append, defaults of a node", "internal/setup TestRealAppendDefaults"},
	{"input keep-state", "setup-defaults.txtar --keep-state"},
	{"input keep-state, used again", "internal/setup TestRealKeepState"},
	{"input keep-state, another driver", "remote.txtar driver remote keeps no state"},
	{"input cache-binary", "setup-defaults.txtar INPUT_CACHE-BINARY=false"},
	{"every input at once, in a workflow", "test TestActReplaced"},
	{"input cleanup", "setup-defaults.txtar --cleanup=false"},
	{"output name", "setup-defaults.txtar ^name plain-"},
	{"output driver", "setup-defaults.txtar ^driver docker-container$"},
	{"output platforms, of all nodes", "append.txtar linux/amd64.*linux/arm64"},
	{"output nodes", "setup-defaults.txtar .nodes | fromjson"},
	{"outputs endpoint, status, flags", "setup-defaults.txtar ^status running$"},
	{"variable DOCKER_CONFIG", "logout.txtar env DOCKER_CONFIG=$WORK/home/.docker"},
	{"variable BUILDX_CONFIG", "login.txtar export BUILDX_CONFIG="},
	{"variables BUILDER_NODE_0_AUTH_TLS_*", "remote.txtar BUILDER_NODE_0_AUTH_TLS_KEY"},
	{"variables BUILDER_NODE_1_AUTH_TLS_*", "append.txtar BUILDER_NODE_1_AUTH_TLS_KEY"},
	{"variables of no use", "internal/setup TestRealAppendDefaults"},
	{"step: no buildx is needed", "internal/setup TestRealRemoteContainer"},
	{"step: a context for an engine with TLS", "setup-killed.txtar hullwright-context-"},
	{"step: a builder that is there", "settings.txtar keeps the configuration that it has"},
	{"step: certificates of nodes", "internal/setup TestRealRemote"},
	{"step: nodes appended", "internal/setup TestRealAppend"},
	{"step: bootstrap of one that is stopped", "internal/setup TestRealContainer"},
	{"step: the image is pulled with retries", "internal/setup TestRealPull"},
	{"step: an image that is there serves", "internal/setup TestRealPullOffline"},
	{"step: BuildKit's version", "setup-defaults.txtar .buildkit"},
	{"post: the log where the runner debugs", "setup-defaults.txtar RUNNER_DEBUG=1"},
	{"post: the log where flags have --debug", "setup-config.txtar \"level\":\"debug\""},
	{"post: the builder goes", "test TestAct"},
	{"post: contexts and certificates go", "setup-killed.txtar cmp stdout before"},
	{"post: a failure elsewhere", "test TestActFailed"},

	{"option image", "container.txtar image=moby/buildkit:buildx-stable-1"},
	{"option network", "container.txtar network=host"},
	{"option memory", "container.txtar memory=600m"},
	{"option memory-swap", "container.txtar memory-swap=700m"},
	{"option cpu-quota", "container.txtar cpu-quota=90000"},
	{"option cpu-period", "container.txtar cpu-period=100000"},
	{"option cpu-shares", "container.txtar cpu-shares=512"},
	{"option cpuset-cpus", "container.txtar cpuset-cpus=0"},
	{"option cpuset-mems", "container.txtar cpuset-mems=0"},
	{"option cgroup-parent", "container.txtar cgroup-parent=/docker"},
	{"option restart-policy", "container.txtar restart-policy=on-failure:3"},
	{"option env.NAME", "container.txtar \"env.LIST=a,b\""},
	{"option default-load", "container.txtar default-load=true"},
	{"option provenance-add-gha", "container.txtar provenance-add-gha=false"},
	{"option allow-untrusted-image", "container.txtar allow-untrusted-image=true"},
	{"an unknown option", "container.txtar did you mean default-load"},
	{"network=host allows network.host", "container.txtar --allow-insecure-entitlement=network.host"},
	{"flags without entitlements allow network.host", "internal/setup TestDaemonFlags"},
	{"names of container and volume", "setup-defaults.txtar volume buildx_buildkit_plain-"},
	{"names of nodes", "internal/setup TestNodeName"},
	{"privileged, init, unless-stopped, /docker/buildx", "setup-defaults.txtar ^default unless-stopped true true /docker/buildx"},
	{"user namespaces, and cgroups of systemd", "internal/setup TestRealEngineOfAnotherKind"},
	{"GPUs", "internal/setup TestRealGPUs"},
	{"libraries of WSL", "internal/setup TestWSLMounts"},
	{"files in /etc/buildkit, and their modes", "setup-defaults.txtar ^755 /etc/buildkit"},
	{"--config where there is one", "setup-defaults.txtar \"--config\",\"/etc/buildkit/buildkitd.toml\""},
	{"what GitHub tells, for provenance", "container.txtar github_actions_context.json"},
	{"and provenance has it", "setup-config.txtar github_event_name"},
	{"the wait, and the log of a daemon that ends", "internal/setup TestRealBrokenDaemon"},
	{"an image that is missing", "internal/setup TestRealMissingImage"},
	{"buildkitd.default.toml", "settings.txtar counts more than buildkitd.default.toml"},
	{"proxies of config.json are for steps", "internal/cmd/buildpush TestProxies"},
	{"and not for buildkitd", "container.txtar ! stdout proxy.lan"},
	{"removal", "interop.txtar ! stdout ours-"},
	{"removal of others' things", "internal/setup TestRealTeardownOthers"},
	{"files of the store", "setup-defaults.txtar ^Driver Dynamic Hullwright Name Nodes"},
	{"buildx's notes of builds", "setup-defaults.txtar $BUILDX_CONFIG/refs/plain-"},
	{"the store's lock", "internal/setup TestRealTwoAtOnce"},
	{"buildx uses ours", "interop.txtar docker buildx build --builder ours-$RUN"},
	{"we use buildx's", "interop.txtar build-push --builder theirs-$RUN"},
	{"remote by tcp, with certificates", "remote.txtar far-buildkitd FAR"},
	{"remote by unix", "internal/setup TestRealRemoteLate"},
	{"remote by ssh", "internal/setup TestRealSSH"},
	{"remote by docker-container", "internal/setup TestRealRemoteContainer"},
	{"remote by kube-pod, podman-container, nerdctl-container", "internal/setup TestRealTunnels"},
	{"endpoints that are none", "internal/setup TestRemoteEndpoint"},
	{"options servername, cacert, cert, key", "internal/setup TestRealRemote"},
	{"options of driver remote, faults", "internal/setup TestParseRemoteOpts"},
	{"remote takes no configuration and no flags", "remote.txtar uses a buildkitd as it is"},
	{"remote is waited for, 20 s", "internal/setup TestRealRemoteDead"},
	{"what is wrong with certificates", "internal/setup TestRealRemoteFaults"},
	{"a killed setup, in a container or a process", "orphans.txtar start created"},
	{"a killed setup, with certificates", "setup-killed.txtar interrupt booted -1 5s KILL"},

	{"key registry.mirrors, with a project", "setup-config.txtar mirror.lan/project"},
	{"key registry.http", "setup-config.txtar 'http = true'"},
	{"key registry.insecure", "setup-config.txtar 'insecure = true'"},
	{"key registry.ca, two of one name", "setup-config.txtar 2-ca.pem"},
	{"key registry.keypair", "setup-config.txtar certs/mirror.lan/key.pem"},
	{"certificates are read here, 1 MiB each", "internal/setup TestContainerFilesFaults"},
	{"key worker.oci.max-parallelism", "settings.txtar --max-parallelism 1"},
	{"keys worker.oci.gc, reservedSpace, maxUsedSpace, minFreeSpace", "setup-config.txtar --gc-max-used 3GB --gc-reserved 1GB --gc-min-free 2GB"},
	{"key worker.oci.snapshotter", "setup-config.txtar worker.snapshotter:\\s+native"},
	{"key worker.oci.platforms", "setup-config.txtar Platforms:\\s+linux/amd64,linux/arm64"},
	{"key worker.oci.cniPoolSize", "setup-config.txtar cniPoolSize = 4"},
	{"keys worker.oci.gcpolicy", "setup-config.txtar Keep duration:"},
	{"keys log.level, log.format", "setup-config.txtar {\"level\":\"debug\""},
	{"keys dns", "settings.txtar nameserver 10.9.8.7"},
	{"key grpc.tls", "remote.txtar far-buildkitd FAR"},
	{"keys history", "setup-config.txtar maxEntries = 7"},
	{"key insecure-entitlements", "setup-config.txtar insecure-entitlements = "},
	{"key frontend.gateway.v0.allowedRepositories", "setup-config.txtar allowedRepositories"},
	{"keys system", "setup-config.txtar maxRegistryConcurrency = 3"},
	{"keys proxyNetwork, provenanceEnvDir", "setup-config.txtar proxyNetwork = false"},
	{"keys cdi", "setup-config.txtar 'disabled = true'"},
	{"keys cache.gha", "setup-config.txtar sign-it"},
	{"docker's certs.d", "internal/setup TestRealDockerCertificates"},
	{"settings against a configuration", "settings.txtar buildkitd-config says worker.oci.max-parallelism = 2 already"},
	{"a proxy's password is not shown", "setup-config.txtar ! stdout hush"},
}

// loginRows are what login gives in the place of docker/login-action.
var loginRows = []row{
	{"input registry", "login.txtar hullwright login $PASSWORDS"},
	{"input registry, a default", "login-kinds.txtar logged in to index.docker.io as ada"},
	{"inputs username, password", "internal/cmd/login TestPasswords"},
	{"input ecr, auto", "login-kinds.txtar ecr: auto"},
	{"input ecr, true", "login-kinds.txtar --ecr true"},
	{"input ecr, false", "login-kinds.txtar --ecr=false"},
	{"input scope", "login.txtar --scope team/app@push"},
	{"input scope, what is none", "internal/login TestScopes"},
	{"input logout", "login-kinds.txtar --logout=false"},
	{"input registry-auth", "login-kinds.txtar HULLWRIGHT_REGISTRY_AUTH="},
	{"input registry-auth, besides others", "login.txtar registry-auth is given too"},
	{"passwords are masked", "test TestActLogin"},
	{"DOCKER_LOGIN_SCOPE_DISABLED", "login-kinds.txtar DOCKER_LOGIN_SCOPE_DISABLED=true"},
	{"a scope's login is for a repository", "logout.txtar --scope team/app"},
	{"the most special of scopes counts", "internal/registry TestScopedKeychain"},
	{"Docker Hub, and its key in config.json", "login-kinds.txtar https://index.docker.io/v1/"},
	{"Docker Hub by OpenID Connect", "login-kinds.txtar --dockerhub-oidc-connectionid"},
	{"GitHub's registry", "login-kinds.txtar INPUT_GITHUB-TOKEN="},
	{"GitLab's registry", "login-kinds.txtar CI_JOB_TOKEN="},
	{"Azure's, a service principal", "login-kinds.txtar logged in to team.azurecr.io as 6e5d1a2b"},
	{"Azure's by OpenID Connect", "login-kinds.txtar AZURE_CLIENT_ID=client"},
	{"Google's, an access token", "login-kinds.txtar username: oauth2accesstoken"},
	{"Google's, a key", "login-kinds.txtar logged in to gcr.io as _json_key"},
	{"Amazon's, keys that are given", "login-kinds.txtar username: AKIDEXAMPLE"},
	{"Amazon's, keys of the environment", "login-kinds.txtar env AWS_ACCESS_KEY_ID=AKIDEXAMPLE"},
	{"Amazon's, recorded answers", "internal/login TestECR"},
	{"Amazon's, all names and regions", "internal/login TestWhoIsServed"},
	{"Amazon's, several accounts", "login-kinds.txtar --aws-account-ids"},
	{"Amazon's public one", "login-kinds.txtar ^public.ecr.aws GET /token/ AWS$"},
	{"Oracle's", "login-kinds.txtar tenancy/ada@example.com"},
	{"Quay", "login-kinds.txtar team+robot"},
	{"DigitalOcean's", "login-kinds.txtar registry.digitalocean.com"},
	{"a registry with htpasswd", "login.txtar auth-registry PASSWORDS htpasswd"},
	{"a registry with a token server", "login.txtar auth-registry TOKENS tokens"},
	{"proxies", "login-kinds.txtar HTTPS_PROXY=$NET"},
	{"post: logged out", "test TestActLogin"},
	{"two logins at one registry", "login.txtar its logout leaves the first"},
	{"two jobs on one machine", "login.txtar two jobs at once"},
	{"setup, then login, and the other way round", "logout.txtar Setup and login in either order"},
	{"tokens that end", "internal/login TestRenewal"},
	{"a killed login", "setup-killed.txtar its login was killed"},
	{"a login that was killed at any point", "internal/login TestOrphans"},
}

// badInputs are what strangers may give, by the numbers under which the project
// knows them.
var badInputs = []row{
	{"15 a registry that looks like another", "login-kinds.txtar login docker.io.evil.test"},
	{"15 and in names that are asked for credentials", "internal/registry TestCheckRealm"},
	{"24 a password on the command line", "login.txtar --password hunter2"},
	{"25 a config.json for others to read", "internal/login TestHostileConfigurations"},
	{"25 of somebody else", "internal/login TestConfigurationOfAnother"},
	{"25 that is a link", "login.txtar is a link or no file"},
	{"26 a helper's name that leads elsewhere", "internal/registry TestHostileHelpers"},
	{"27 a helper that floods, hangs or lies", "internal/registry TestHostileHelpers"},
	{"28 a config.json that is none", "internal/login TestHostileConfigurations"},
	{"29 a token server elsewhere", "login-kinds.txtar wants credentials sent to another host, tokens.example.org"},
	{"29 by http, at the cloud's metadata, here by name, with a user", "internal/registry TestTry"},
	{"29 as builds meet it", "internal/registry TestForeignRealm"},
	{"30 a redirect elsewhere", "login-kinds.txtar ! grep thief.test"},
	{"30 of what is read", "internal/registry TestRedirect"},
	{"31 a Location that leads elsewhere", "internal/registry TestRedirectRefused"},
	{"31 of an upload", "internal/registry TestUploadElsewhere"},
	{"31 of an upload, to where nothing is sent", "internal/registry TestUploadLocationRefused"},
	{"32 plain http", "login-kinds.txtar ! grep plain.test"},
	{"32 as builds meet it", "internal/registry TestScheme"},
	{"33 a certificate of another, or of nobody", "login-kinds.txtar ! grep mistaken.test"},
	{"33 of nobody", "internal/cmd/login TestTLS"},
	{"53 a builder's name", "internal/setup TestValidName"},
	{"53 on the command line", "internal/cmd/setup TestBadInput"},
	{"54 a state file that was edited", "internal/setup TestRealTeardownOthers"},
	{"54 of a login", "login.txtar a state file that names another directory"},
	{"54 in any way", "internal/login TestEditedState"},
}

// TestRows holds the tables against the tests that there are.
func TestRows(t *testing.T) {
	for _, table := range [][]row{setupRows, loginRows, badInputs} {
		for _, r := range table {
			if err := r.check(); err != nil {
				t.Errorf("%s: %v", r.what, err)
			}
		}
	}
	for _, number := range []int{15, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 53, 54} {
		found := false
		for _, r := range badInputs {
			found = found || strings.HasPrefix(r.what, fmt.Sprintf("%d ", number))
		}
		if !found {
			t.Errorf("bad input %d has no test", number)
		}
	}
	if r := (row{"none", "internal/setup TestOfNothing"}); r.check() == nil {
		t.Error("a test that is not there is found")
	}
	if r := (row{"none", "login.txtar of nothing"}); r.check() == nil {
		t.Error("words that are not there are found")
	}
}

// check finds the test that a row names.
func (r row) check() error {
	where, name, _ := strings.Cut(r.where, " ")
	if strings.HasSuffix(where, ".txtar") {
		raw, err := os.ReadFile(filepath.Join("journeys", where))
		if err == nil && !strings.Contains(string(raw), name) {
			err = fmt.Errorf("journey %s does not say %q", where, name)
		}
		return err
	}
	text, err := testsOf(where)
	if err == nil && !strings.Contains(text, "\nfunc "+name+"(") {
		err = fmt.Errorf("package %s has no test %s", where, name)
	}
	return err
}

// testsOf is the text of a package's tests.
func testsOf(where string) (string, error) {
	files, err := filepath.Glob(filepath.Join("..", where, "*_test.go"))
	var text strings.Builder
	for _, file := range files {
		raw, fault := os.ReadFile(file)
		err = errors.Join(err, fault)
		text.Write(raw)
	}
	return text.String(), err
}

// TestEveryInputHasAJourney reads the actions of setup and login: each input is
// given in a journey, or in a workflow that a test runs, and each output is read.
func TestEveryInputHasAJourney(t *testing.T) {
	for _, verb := range []string{"setup", "login"} {
		var action struct{ Inputs, Outputs map[string]any }
		readYAML(t, filepath.Join("..", verb, "action.yml"), &action)
		if len(action.Inputs) < 15 || len(action.Outputs) < 2 {
			t.Fatalf("%s/action.yml has %d inputs and %d outputs", verb, len(action.Inputs), len(action.Outputs))
		}
		given, read := used(t, verb)
		for input := range action.Inputs {
			if !given[input] && !ofShim[input] {
				t.Errorf("no journey gives %s the input %s", verb, input)
			}
		}
		for output := range action.Outputs {
			if !regexp.MustCompile(`\.outputs\.` + output + `\b|\."?` + output + `\b|\b` + output + `=`).MatchString(read) {
				t.Errorf("no journey reads the output %s of %s", output, verb)
			}
		}
	}
}

// ofShim are the inputs that an action takes before there is a program; the shim's
// own tests give them.
var ofShim = map[string]bool{"binary": true, "download-template": true}

var (
	flagInLine    = regexp.MustCompile(`--([a-z][a-z0-9-]*)`)
	variableInput = regexp.MustCompile(`\b(?:INPUT|HULLWRIGHT)_([A-Z][A-Z0-9_-]*)=`)
)

// used are the inputs that journeys, tests here and workflows give a command, and
// the text of the journeys that read what it gives.
func used(t *testing.T, verb string) (given map[string]bool, read string) {
	given = map[string]bool{}
	note := func(name string) { given[strings.ReplaceAll(strings.ToLower(name), "_", "-")] = true }
	var text strings.Builder
	for _, file := range scripts(t) {
		raw, err := os.ReadFile(file)
		check(t, err)
		if !strings.Contains(string(raw), "hullwright "+verb) && !strings.Contains(string(raw), `"`+verb+`"`) {
			continue
		}
		text.Write(raw)
		if verb == "login" {
			note("registry") // the argument
		}
		for line := range strings.Lines(string(raw)) {
			for _, m := range variableInput.FindAllStringSubmatch(line, -1) {
				note(m[1])
			}
			if !strings.Contains(line, "hullwright "+verb) && !strings.Contains(line, `"`+verb+`"`) {
				continue
			}
			for _, m := range flagInLine.FindAllStringSubmatch(line, -1) {
				note(m[1])
			}
		}
	}
	for _, file := range workflows(t) {
		var workflow struct {
			Jobs map[string]struct {
				Steps []struct {
					Uses string
					With map[string]any
				}
			}
		}
		text.Write(readYAML(t, file, &workflow))
		for _, job := range workflow.Jobs {
			for _, step := range job.Steps {
				for input := range step.With {
					if strings.HasPrefix(step.Uses, "hullwright/hullwright/"+verb+"@") {
						note(input)
					}
				}
			}
		}
	}
	return given, text.String()
}

// scripts are the journeys, and the tests of this package that run commands.
func scripts(t *testing.T) []string {
	var files []string
	for _, pattern := range []string{"journeys/*.txtar", "*_test.go"} {
		found, err := filepath.Glob(pattern)
		check(t, err)
		files = append(files, found...)
	}
	return slices.DeleteFunc(files, func(file string) bool { return file == "setuprowstable_test.go" })
}
