package doctor

// Known is a finding that there can be.
type Known struct {
	ID       string
	Check    string // that finds it; empty is any
	Severity Severity
	Means    string // for documentation; one clause
	Expected string
	Next     string // what to do, where the finding itself knows no better
}

// Catalog is every finding that there can be, by the check that finds it.
func Catalog() []Known {
	return []Known{
		{"left-out", "", Note, "the check was not done, and why", "", ""},
		{"no-result", "", Warning, "the check did not end in time", "an answer", "run it alone, with --only and a longer --timeout"},

		{"input-bad", "inputs", Failure, "an input of build-push is wrong", "an input that build-push takes", "correct it; hullwright build-push --help has every input"},
		{"secret-missing", "inputs", Failure, "a secret's variable or file is not there", "each secret that is named", "set the variable, or write the file, before the build"},
		{"ssh-agent-missing", "inputs", Failure, "an ssh agent or key that is asked for is not there", "an agent that answers", "start ssh-agent and add a key, or name a key: ssh default=KEY"},

		{"event-unreadable", "ci", Failure, "the CI system's event can't be read", "an event", "look at the variables of the CI system; docs/ci-systems.md names them"},
		{"fork", "ci", Warning, "the event is the request of a fork: nothing is pushed, and tokens can only read", "an event of this repository", "build it without a push; allow-untrusted lets it push, once somebody has read the change"},
		{"token-of-bot", "ci", Warning, "a run of Dependabot's has a token that can only read, and other secrets", "a token that may write", "give the job `permissions: packages: write`, and Dependabot the secrets that it needs"},
		{"no-id-token", "ci", Note, "the job may not get an identity token, for logins and signatures without a password", "", "where they are used: `permissions: id-token: write` for the job"},
		{"no-actions-cache", "ci", Warning, "a cache of type gha is used, and the job's steps do not get its token", "ACTIONS_RUNTIME_TOKEN and ACTIONS_RESULTS_URL or ACTIONS_CACHE_URL", "run it as an action (uses:), since the runner gives these to actions and not to run: steps"},

		{"git-missing", "git", Note, "the directory is no checkout, or there is no git", "", ""},
		{"git-shallow", "git", Warning, "the checkout has only a part of the history, and tags are derived from it", "the whole history, with tags", "with actions/checkout give fetch-depth: 0; on GitLab set GIT_DEPTH to 0; elsewhere git fetch --unshallow --tags"},
		{"git-shallow-unused", "git", Note, "the checkout has only a part of the history, which nothing here needs", "", ""},
		{"git-changes-unused", "git", Warning, "the context is fetched by git, and the checkout has changes that it will not have", "a clean checkout, or a context that is a directory", "give context . to build what lies in the directory"},
		{"git-changes", "git", Note, "the checkout has changes, so that the image is not of the commit", "", ""},
		{"git-unnamed", "git", Warning, "no branch or tag leads to HEAD, and tags are derived from it", "a HEAD on a branch or tag", "fetch the branch or tag too, or say it by HULLWRIGHT_REF"},

		{"context-missing", "dockerfile", Failure, "the context is not there", "a directory, or a git address", "check the repository out first; context is relative to the working directory"},
		{"dockerfile-missing", "dockerfile", Failure, "there is no Dockerfile", "a file", "file is relative to the working directory, not to the context"},
		{"dockerfile-invalid", "dockerfile", Failure, "the Dockerfile can't be parsed", "instructions that BuildKit knows", "correct that line"},

		{"context-large", "context", Warning, "the context is over 500 MB", "what the build copies, and no more", "name in .dockerignore what the build does not need"},
		{"context-unbounded", "context", Note, "the context has more files than were counted", "", "name in .dockerignore what the build does not need"},
		{"ignore-missing", "context", Note, "there is no .dockerignore, and .git is sent with the context", "", "write .git into .dockerignore, unless the build needs it"},
		{"ignore-invalid", "context", Failure, "a pattern of .dockerignore is none", "patterns as of Go's filepath.Match", "correct the pattern"},

		{"engine-unreachable", "engine", Failure, "no engine answers, and the builder needs one", "an engine that answers", "start it, or name another with DOCKER_HOST, a docker context or endpoint; driver process needs none"},
		{"engine-absent", "engine", Note, "no engine answers, and none is needed", "", ""},
		{"engine-old", "engine", Failure, "the engine is too old", "API 1.40 or later, which is Docker 19.03", "upgrade the engine"},

		{"user-namespaces", "process", Failure, "the kernel, or a container around us, refuses user namespaces", "a user who may make them", "run as root, or use driver docker-container"},
		{"process-unfit", "process", Failure, "driver process lacks a program or a right", "buildkitd, runc; for an ordinary user rootlesskit and uidmap", "install what is missing, or use driver docker-container"},

		{"builder-missing", "builder", Failure, "there is no builder of that name", "a builder of the name", "hullwright setup --name NAME makes it"},
		{"builder-none", "builder", Note, "no builder is chosen: build-push makes one for its run", "", ""},
		{"builder-broken", "builder", Failure, "the builder does not answer", "a BuildKit that answers", "hullwright teardown --name NAME, then setup"},
		{"node-lost", "builder", Warning, "a node of the builder does not answer", "all nodes", "start it, or remove it from the builder"},

		{"buildkit-advisories", "buildkit", Warning, "the node's BuildKit has known vulnerabilities", "BuildKit " + safeBuildKit + " or later", "make the builder anew with a newer image (driver-opts image=moby/buildkit:" + safeBuildKit + ") or buildkitd"},
		{"buildkit-unknown", "buildkit", Note, "the node's BuildKit does not tell its version, or it is none of a release", "", "make sure that it is " + safeBuildKit + " or later"},

		{"emulator-broken", "platforms", Failure, "an emulator is registered for the platform, and programs do not run", "a program that runs", "remove that registration, then try again"},
		{"emulator-elsewhere", "platforms", Failure, "nothing runs the platform on a node of another machine, where nobody registers emulators from here", "an emulator that is registered there", "on that machine: hullwright setup --driver none --platforms PLATFORM; or give the builder a node that runs the platform"},
		{"emulator-missing", "platforms", Warning, "nothing runs the platform yet; setup and build-push will look for an emulator", "an emulator that is registered", "hullwright setup --platforms registers it; as root, or with an engine"},
		{"emulator-unproved", "platforms", Note, "it can't be proved whether the platform runs", "", ""},

		{"disk-full", "disk", Failure, "under 256 MiB, or no more files, are free", "2 GiB or more", "free some space: docker buildx prune, docker system prune, or a larger disk"},
		{"disk-low", "disk", Warning, "under 2 GiB are free", "2 GiB or more", "free some space: docker buildx prune, docker system prune, or a larger disk"},
		{"temp-unwritable", "disk", Failure, "temporary files can't be written", "a directory that can be written", "set TMPDIR to one"},

		{"proxy-invalid", "proxy", Failure, "a proxy's variable is no address", "http://host:port", "correct the variable"},
		{"proxy-contradiction", "proxy", Warning, "a variable in upper case and its twin in lower case differ", "the same value", "set both alike: programs differ in which they take"},
		{"proxy-builder", "proxy", Warning, "there is a proxy, and a node of the builder has none", "the same proxies", "make the builder anew with proxy: environment"},

		{"credentials-open", "credentials", Warning, "others can read docker's credentials", "mode 0600, by this user", "chmod 600 that file; passwords in it may be known to others"},
		{"credentials-invalid", "credentials", Failure, "docker's configuration can't be read", "JSON as docker login writes it", "correct the file, or log in anew"},
		{"helper-missing", "credentials", Failure, "a credential helper that is named is not in PATH", "the program docker-credential-NAME", "install the helper, or take it out of config.json"},

		{"dns-failed", "dns", Failure, "a registry's name does not resolve", "an address", "check the name, and the machine's DNS (/etc/resolv.conf)"},

		{"registry-unreachable", "registry", Failure, "a registry does not answer", "a registry's answer to GET /v2/", "check its address, the network and any proxy"},
		{"registry-untrusted", "registry", Failure, "a registry's certificate is not trusted here", "a certificate of a known authority", "give its authority with registry-ca: HOST=FILE, or put it into /etc/docker/certs.d/HOST/ca.crt"},

		{"clock-off", "clock", Warning, "this machine's clock and a registry's are more than 60 s apart", "60 s at most", "set the clock by NTP (timedatectl set-ntp true): tokens and certificates hold for a time only"},

		{"login-refused", "login", Failure, "a registry refuses the credentials", "credentials that it takes", "log in anew: hullwright login, or docker login"},
		{"login-failed", "login", Failure, "credentials can't be got or tried", "credentials", "log in anew: hullwright login, or docker login"},
		{"login-missing", "login", Note, "a registry asks for credentials, and there are none", "", "log in: hullwright login, or docker login"},

		{"push-denied", "push", Failure, "a registry refuses an upload to the repository", "an account that may push", "log in with an account that may push"},
		{"token-read-only", "push", Failure, "a registry refuses an upload with the job's own token", "a token that may write packages", "give the job `permissions: packages: write`, and the repository access to the package"},
		{"push-failed", "push", Failure, "an upload can't be begun in the repository", "an upload that begins", "make the repository, or its project, at the registry"},

		{"cache-denied", "cache", Warning, "a cache can't be written", "a repository that may be pushed to", "give the account the right, or leave cache-to out"},
		{"cache-denied-fatal", "cache", Failure, "a cache can't be written, and ignore-error=false makes that fail the build", "a repository that may be pushed to", "give the account the right, or leave cache-to out"},
		{"cache-unreadable", "cache", Warning, "a cache can't be read", "a cache that may be pulled", "log in with an account that may pull it"},
		{"cache-absent", "cache", Note, "a cache is not there yet", "", ""},

		{"builder-untrusted", "trust", Failure, "the builder does not trust a registry's certificate", "a certificate of a known authority", "make the builder anew with registry-ca: HOST=FILE, or with the authority in /etc/docker/certs.d"},
		{"builder-unreachable", "trust", Failure, "the builder does not reach a registry", "the registry's answer", "look at the builder's network (driver-opts network=host), DNS and proxies"},
		{"builder-plain", "trust", Failure, "a registry speaks plain http, and the builder expects https", "the same scheme", "make the builder anew with insecure-registries: HOST"},
	}
}
