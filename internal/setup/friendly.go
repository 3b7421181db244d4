package setup

import (
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"math"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/go-units"
	"github.com/tonistiigi/go-csvvalue"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// SettingOptions are the settings of buildkitd that have inputs of their own,
// so that nobody need write a buildkitd.toml for them. They hold for a builder
// that is made; they are added to a configuration that is given, and are an
// error where it says otherwise.
type SettingOptions struct {
	RegistryMirrors    []string `env:"REGISTRY-MIRRORS" placeholder:"HOST=MIRROR" help:"Mirrors to pull through, one registry a line: docker.io=mirror.lan,http://10.0.0.5:5000/hub. Without a registry they are Docker Hub's. The first that has an image gives it; the registry itself is the last."`
	InsecureRegistries []string `env:"INSECURE-REGISTRIES" commas:"true" placeholder:"HOST" help:"Registries, as registry.lan:5000, that may be spoken to over plain http or with a certificate that nobody vouches for, by the builder that is made and by this command. Loopback always may over http."`
	RegistryCA         []string `env:"REGISTRY-CA" placeholder:"HOST=FILE" help:"Authorities that certify a registry, one registry a line: registry.lan:5000=ca.pem, for the builder that is made and for this command. A token server on another host needs a line of its own. Those in docker's directories certs.d count without being named."`
	MaxParallelism     int      `env:"MAX-PARALLELISM" envDefault:"0" help:"Steps that the builder runs at the same time; 0 is no limit."`
	GC                 string   `env:"GC" choices:"auto true false" help:"Removal of old cache: true or false; auto takes the limits from the disk's free space when the builder is made: cache may grow to three quarters of it, and keeps a quarter. The default is BuildKit's own, from the size of the disk."`
	GCMaxUsed          string   `env:"GC-MAX-USED" placeholder:"SIZE" help:"Size up to which cache may grow, as 20GB or 50% of the disk."`
	GCReserved         string   `env:"GC-RESERVED" placeholder:"SIZE" help:"Size of cache that is always kept, as 5GB or 10%."`
	GCMinFree          string   `env:"GC-MIN-FREE" placeholder:"SIZE" help:"Disk space that cache leaves free, as 10GB or 20%."`
	LogLimits          string   `env:"LOG-LIMITS" help:"Limits of a step's log: none, default for BuildKit's own (2MB, 200KB a second), or size=10MB,speed=1MB. Without it none in a CI system, so that no log is clipped, else BuildKit's own."`
	DNS                []string `env:"DNS" commas:"true" help:"Name servers of RUN steps, as 10.0.0.53, with search=DOMAIN and option=OPTION as resolv.conf has them."`
	Proxy              []string `env:"PROXY" placeholder:"URL" help:"Proxy through which the builder fetches images, git and http sources: an address for both schemes, or lines http=URL, https=URL and no=HOSTS; environment takes HTTP_PROXY, HTTPS_PROXY and NO_PROXY of this run. RUN steps do not see it."`
	BuildkitdDebug     bool     `env:"BUILDKITD-DEBUG" also:"RUNNER_DEBUG" envDefault:"false" help:"Have buildkitd write a detailed log."`
}

// Setting is one setting of buildkitd that an input asks for.
type Setting struct {
	input   string
	line    int
	at      location
	key     []string // of buildkitd.toml, a table each; or the name of one variable
	value   any      // as TOML is read: string, bool, int64 or []any
	adds    bool     // a list that is added to what is there
	yields  bool     // a default, which gives way to what is there
	without []string // keys of the same table that would make it void
}

// location is where a setting goes.
type location int

const (
	inConfig location = iota
	inEnviron
	fromDisk // in the configuration, after a look at the disk
)

// settings parses the inputs. Relative paths start at dir. Every fault is an
// errdefs.BadInput, joined.
func (o SettingOptions) settings(dir string, environ map[string]string) ([]Setting, error) {
	var list []Setting
	var faults []error
	for _, parse := range []func() ([]Setting, error){
		o.mirrors,
		o.insecure,
		func() ([]Setting, error) { return o.authorities(dir) },
		o.parallelism,
		o.collection,
		func() ([]Setting, error) { return o.logLimits(environ) },
		o.dns,
		func() ([]Setting, error) { return o.proxies(environ) },
		o.debug,
	} {
		found, err := parse()
		list = append(list, found...)
		faults = append(faults, err)
	}
	return list, errors.Join(faults...)
}

func registryKey(host, key string) []string { return []string{"registry", host, key} }

func workerKey(key string) []string { return []string{"worker", "oci", key} }

// mirrors reads lines HOST=MIRROR,MIRROR. A mirror is a host with a path or
// without; the scheme before it says how it is spoken to.
func (o SettingOptions) mirrors() ([]Setting, error) {
	const input = "registry-mirrors"
	var list, schemes []Setting
	var faults []error
	byHost := map[string]int{} // of list
	for i, line := range o.RegistryMirrors {
		host, mirrors, named := strings.Cut(line, "=")
		if !named {
			host, mirrors = "docker.io", line
		}
		host = strings.ToLower(strings.TrimSpace(host))
		if err := checkHost(host); err != nil {
			faults = append(faults, errdefs.BadInputf(input, i+1, "%q is no registry: %w", host, err))
			continue
		}
		at, seen := byHost[host]
		if !seen {
			at, byHost[host] = len(list), len(list)
			list = append(list, Setting{input: input, line: i + 1, key: registryKey(host, "mirrors"), value: []any{}})
		}
		for mirror := range strings.SplitSeq(mirrors, ",") {
			scheme, address, err := parseMirror(mirror)
			if err != nil {
				faults = append(faults, errdefs.BadInputf(input, i+1, "%q is no mirror: %w", mirror, err).
					WithHint("a mirror reads mirror.lan, mirror.lan:5000/project or http://mirror.lan"))
				continue
			}
			list[at].value = append(list[at].value.([]any), address)
			if scheme != "" {
				at, _, _ := strings.Cut(address, "/")
				schemes = append(schemes, Setting{input: input, line: i + 1, key: registryKey(at, "http"), value: scheme == "http"})
			}
		}
	}
	return append(list, schemes...), errors.Join(faults...)
}

// parseMirror splits a mirror into its scheme, which may be empty, and the host
// and path as buildkitd takes them.
func parseMirror(text string) (scheme, address string, err error) {
	address = strings.TrimSpace(text)
	if before, after, ok := strings.Cut(address, "://"); ok {
		scheme, address = strings.ToLower(before), after
		if scheme != "http" && scheme != "https" {
			return "", "", fmt.Errorf("scheme %q is neither http nor https", before)
		}
	}
	address = strings.TrimRight(address, "/")
	host, path, _ := strings.Cut(address, "/")
	if strings.ContainsAny(path, " \t?#@") {
		return "", "", errors.New("its path is no path of a registry")
	}
	if host = strings.ToLower(host); path != "" {
		return scheme, host + "/" + path, checkHost(host)
	}
	return scheme, host, checkHost(host)
}

// checkHost is whether a text is a registry's host, with a port or without.
func checkHost(host string) error {
	if host == "" {
		return errors.New("it is empty")
	}
	if i := strings.IndexFunc(host, func(r rune) bool { return !strings.ContainsRune(hostRunes, r) }); i >= 0 {
		return fmt.Errorf("it has %q", []rune(host[i:])[0])
	}
	_, port, err := net.SplitHostPort(host)
	if err != nil {
		if strings.Count(host, ":") == 1 {
			return err
		}
		return nil // no port
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("%q is no port", port)
	}
	return nil
}

const hostRunes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]"

// insecure has both: plain http where TLS does not answer, and certificates that
// are not checked (BuildKit: util/resolver.fillInsecureOpts).
func (o SettingOptions) insecure() ([]Setting, error) {
	const input = "insecure-registries"
	var list []Setting
	var faults []error
	for i, host := range o.InsecureRegistries {
		if err := checkHost(host); err != nil {
			faults = append(faults, errdefs.BadInputf(input, i+1, "%q is no host: %w", host, err).
				WithHint("a host reads registry.example or registry.example:5000, without a scheme or a path"))
			continue
		}
		for _, key := range []string{"http", "insecure"} {
			list = append(list, Setting{input: input, line: i + 1, key: registryKey(strings.ToLower(host), key), value: true})
		}
	}
	return list, errors.Join(faults...)
}

// registryCA is one line of registry-ca.
type registryCA struct {
	line  int
	host  string
	files []any  // absolute paths
	pem   []byte // of all files
}

// Authorities are the certificates in PEM that registry-ca gives each registry, by
// its host, for requests that are not the builder's. Relative paths start at dir.
// Every fault is an errdefs.BadInput, joined; they are those of [BuilderOptions.Spec]
// too. Lines without a fault are there all the same.
func (o SettingOptions) Authorities(dir string) (map[string][]byte, error) {
	lines, err := o.registryCAs(dir)
	byHost := map[string][]byte{}
	for _, l := range lines {
		byHost[l.host] = append(byHost[l.host], l.pem...)
	}
	return byHost, err
}

// authorities are the builder's settings for registry-ca.
func (o SettingOptions) authorities(dir string) ([]Setting, error) {
	lines, err := o.registryCAs(dir)
	var list []Setting
	for _, l := range lines {
		list = append(list,
			Setting{input: registryCAInput, line: l.line, key: registryKey(l.host, "ca"), value: l.files, adds: true},
			speaksTLS(registryCAInput, l.host))
	}
	return list, err
}

const registryCAInput = "registry-ca"

// registryCAs reads lines HOST=FILE,FILE. Those with a fault are left out.
func (o SettingOptions) registryCAs(dir string) ([]registryCA, error) {
	var list []registryCA
	var faults []error
	for i, line := range o.RegistryCA {
		host, files, ok := strings.Cut(line, "=")
		host = strings.ToLower(strings.TrimSpace(host))
		if err := checkHost(host); err != nil || !ok {
			faults = append(faults, errdefs.BadInputf(registryCAInput, i+1, "%q is not HOST=FILE", line))
			continue
		}
		found := registryCA{line: i + 1, host: host}
		var wrong []error
		for file := range strings.SplitSeq(files, ",") {
			if file = strings.TrimSpace(file); !filepath.IsAbs(file) {
				file = filepath.Join(dir, file)
			}
			raw, err := readAuthority(file)
			if err != nil {
				wrong = append(wrong, errdefs.BadInputf(registryCAInput, i+1, "%s: %w", host, err))
			}
			found.files = append(found.files, file)
			found.pem = append(append(found.pem, raw...), '\n') // a file need not end its last line
		}
		if faults = append(faults, wrong...); len(wrong) == 0 {
			list = append(list, found)
		}
	}
	return list, errors.Join(faults...)
}

// speaksTLS has a registry with certificates spoken to by https, also on
// loopback, where BuildKit takes plain http unless it is told.
func speaksTLS(input, host string) Setting {
	return Setting{input: input, key: registryKey(host, "http"), value: false, yields: true}
}

func readAuthority(file string) ([]byte, error) {
	raw, err := certCopier{}.read(file)
	if err != nil {
		return nil, err
	}
	if !x509.NewCertPool().AppendCertsFromPEM(raw) {
		return nil, fmt.Errorf("%s holds no certificate in PEM", file)
	}
	return raw, nil
}

func (o SettingOptions) parallelism() ([]Setting, error) {
	const input = "max-parallelism"
	switch {
	case o.MaxParallelism < 0:
		return nil, errdefs.BadInputf(input, 0, "%d is no number of steps", o.MaxParallelism).WithHint("0 is no limit")
	case o.MaxParallelism == 0:
		return nil, nil
	}
	return []Setting{{input: input, key: workerKey(input), value: int64(o.MaxParallelism)}}, nil
}

// gcKeys are buildkitd's words for the limits of its cache. A policy that is
// spelled out makes them void (BuildKit: cmd/buildkitd.getGCPolicy).
var gcKeys = map[string]struct {
	key     string
	without []string
}{
	"gc-max-used": {"maxUsedSpace", []string{"gcpolicy"}},
	"gc-reserved": {"reservedSpace", []string{"gcpolicy", "gckeepstorage"}},
	"gc-min-free": {"minFreeSpace", []string{"gcpolicy"}},
}

func gcLimit(input, size string) Setting {
	k := gcKeys[input]
	return Setting{input: input, key: workerKey(k.key), value: size, without: k.without}
}

func (o SettingOptions) collection() ([]Setting, error) {
	given := map[string]string{"gc-max-used": o.GCMaxUsed, "gc-reserved": o.GCReserved, "gc-min-free": o.GCMinFree}
	var list []Setting
	var faults []error
	switch o.GC {
	case "true", "false":
		list = append(list, Setting{input: "gc", key: workerKey("gc"), value: o.GC == "true"})
	case "auto":
		list = append(list, Setting{input: "gc", key: workerKey("gc"), value: true}, Setting{input: "gc", at: fromDisk})
	}
	for _, input := range slices.Sorted(maps.Keys(given)) {
		size := strings.TrimSpace(given[input])
		if size == "" {
			continue
		}
		if err := checkSize(size); err != nil {
			faults = append(faults, errdefs.BadInputf(input, 0, "%q: %w", size, err).WithHint("a size reads 20GB, 512MB or 10%%"))
			continue
		}
		if o.GC == "false" {
			faults = append(faults, errdefs.BadInputf(input, 0, "gc is false, so that nothing is ever removed").WithHint("leave out one of them"))
			continue
		}
		list = append(list, gcLimit(input, size))
	}
	return list, errors.Join(faults...)
}

// checkSize holds a size against buildkitd's grammar, in which GB are GiB.
func checkSize(size string) error {
	if number, ok := strings.CutSuffix(size, "%"); ok {
		if n, err := strconv.Atoi(number); err != nil || n < 1 || n > 100 {
			return errors.New("expected a whole percentage from 1% to 100%")
		}
		return nil
	}
	if n, err := units.RAMInBytes(size); err != nil || n <= 0 {
		return errors.New("is no size")
	}
	return nil
}

const (
	logSizeVariable  = "BUILDKIT_STEP_LOG_MAX_SIZE"
	logSpeedVariable = "BUILDKIT_STEP_LOG_MAX_SPEED"
)

// logLimits reads what becomes of long logs. buildkitd takes it from its
// environment only (BuildKit: util/progress/logs).
func (o SettingOptions) logLimits(environ map[string]string) ([]Setting, error) {
	const input = "log-limits"
	limit := func(name, value string, yields bool) Setting {
		return Setting{input: input, at: inEnviron, key: []string{name}, value: value, yields: yields}
	}
	switch text := strings.TrimSpace(o.LogLimits); text {
	case "default":
		return nil, nil
	case "none", "":
		if text == "" && !inCI(environ) {
			return nil, nil
		}
		return []Setting{limit(logSizeVariable, "-1", text == ""), limit(logSpeedVariable, "-1", text == "")}, nil
	}
	fields, err := csvvalue.Fields(o.LogLimits, nil)
	if err != nil {
		return nil, errdefs.BadInputf(input, 0, "%q: %w", o.LogLimits, err)
	}
	var list []Setting
	for _, f := range fields {
		key, size, _ := strings.Cut(strings.TrimSpace(f), "=")
		name, ok := map[string]string{"size": logSizeVariable, "speed": logSpeedVariable}[key]
		n, err := units.RAMInBytes(size)
		// BuildKit reads 32 bits, and takes its default for more.
		if !ok || err != nil || n <= 0 || n > math.MaxInt32 {
			return nil, errdefs.BadInputf(input, 0, "%q is no limit of a log", f).
				WithHint("one of none, default, or size=10MB,speed=1MB, each below 2GB")
		}
		list = append(list, limit(name, strconv.FormatInt(n, 10), false))
	}
	return list, nil
}

// KeepLogs has the daemon clip no step's log where the spec does not say how much of
// it to keep. A daemon that nobody makes is left as it is.
func (s *Spec) KeepLogs() {
	if s.Driver == Docker || s.Driver == Remote {
		return
	}
	for _, name := range []string{logSizeVariable, logSpeedVariable} {
		s.Settings = append(s.Settings, Setting{input: "logs", at: inEnviron, key: []string{name}, value: "-1", yields: true})
	}
}

// inCI is whether a CI system runs us, by the variables that tell it of most.
func inCI(environ map[string]string) bool {
	if on, err := strconv.ParseBool(environ["CI"]); environ["CI"] != "" {
		return on || err != nil // some give their own name
	}
	for _, name := range []string{"TF_BUILD", "JENKINS_URL", "TEAMCITY_VERSION", "CODEBUILD_BUILD_ID"} {
		if environ[name] != "" {
			return true
		}
	}
	return false
}

func (o SettingOptions) dns() ([]Setting, error) {
	const input = "dns"
	lists := map[string][]any{}
	var faults []error
	for i, word := range o.DNS {
		name, value, named := strings.Cut(word, "=")
		switch {
		case !named:
			// An address with a zone is of one machine only.
			if at, err := netip.ParseAddr(word); err != nil || at.Zone() != "" {
				faults = append(faults, errdefs.BadInputf(input, i+1, "%q is no address of a name server", word).
					WithHint("10.0.0.53, 2001:db8::53, search=DOMAIN or option=ndots:2"))
				continue
			}
			lists["nameservers"] = append(lists["nameservers"], word)
		case name == "search" && value != "":
			lists["searchDomains"] = append(lists["searchDomains"], value)
		case name == "option" && value != "":
			lists["options"] = append(lists["options"], value)
		default:
			faults = append(faults, errdefs.BadInputf(input, i+1, "%q is neither search=DOMAIN nor option=OPTION", word))
		}
	}
	var list []Setting
	for _, key := range slices.Sorted(maps.Keys(lists)) {
		list = append(list, Setting{input: input, key: []string{"dns", key}, value: lists[key]})
	}
	return list, errors.Join(faults...)
}

// proxies reads the variables by which buildkitd, and git as it runs it, know
// proxies. Lower case alone is read by both: curl ignores HTTP_PROXY.
// https://curl.se/docs/manpage.html#ENVIRONMENT
func (o SettingOptions) proxies(environ map[string]string) ([]Setting, error) {
	const input = "proxy"
	var list []Setting
	var faults []error
	add := func(line int, scheme, value string) {
		if scheme != "no" {
			if err := checkProxy(value); err != nil {
				// The value may hold a password, and is not told.
				faults = append(faults, errdefs.BadInputf(input, line, "%s: %w", scheme, err).
					WithHint("a proxy reads http://proxy.lan:3128"))
				return
			}
		}
		list = append(list, Setting{input: input, line: line, at: inEnviron, key: []string{scheme + "_proxy"}, value: value})
	}
	for i, line := range o.Proxy {
		scheme, value, named := strings.Cut(line, "=")
		switch {
		case line == "environment":
			for _, scheme := range []string{"http", "https", "no"} {
				if value := firstOf(environ, scheme+"_proxy", strings.ToUpper(scheme+"_proxy")); value != "" {
					add(i+1, scheme, value)
				}
			}
		case named && slices.Contains([]string{"http", "https", "no"}, scheme):
			add(i+1, scheme, strings.TrimSpace(value))
		default:
			add(i+1, "http", line)
			add(i+1, "https", line)
		}
	}
	return list, errors.Join(faults...)
}

func firstOf(environ map[string]string, names ...string) string {
	for _, n := range names {
		if environ[n] != "" {
			return environ[n]
		}
	}
	return ""
}

func checkProxy(text string) error {
	if !strings.Contains(text, "://") {
		return checkHost(text)
	}
	u, err := url.Parse(text)
	if err != nil {
		return errors.New("the address is no URL")
	}
	if !slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme) {
		return fmt.Errorf("unknown scheme %q", u.Scheme)
	}
	if u.Host == "" {
		return errors.New("the address has no host")
	}
	return nil
}

func (o SettingOptions) debug() ([]Setting, error) {
	if !o.BuildkitdDebug {
		return nil, nil
	}
	// The older of two ways, which every release knows. It gives way, since a
	// runner's switch for all of a job asks for it too.
	return []Setting{{input: "buildkitd-debug", key: []string{"debug"}, value: true, yields: true}}, nil
}

// dockerCertificateDirs are the directories in which docker keeps certificates
// of registries: the machine's, a rootless engine's and the client's.
func (m *Manager) dockerCertificateDirs() []string {
	config := m.host.Environ["XDG_CONFIG_HOME"]
	if config == "" {
		config = filepath.Join(m.home(), ".config")
	}
	dirs := []string{
		"/etc/docker/certs.d",
		filepath.Join(config, "docker", "certs.d"),
		filepath.Join(m.home(), ".docker", "certs.d"),
		filepath.Join(m.dockerDir(), "certs.d"),
	}
	slices.Sort(dirs[2:])
	return slices.Compact(dirs)
}

// dockerCertificates are the settings for what docker's directories hold, a
// directory a registry: *.crt are authorities, *.cert and *.key a pair.
// https://docs.docker.com/engine/security/certificates/
func (m *Manager) dockerCertificates() ([]Setting, error) {
	byHost := map[string][]string{}
	for _, dir := range m.dockerCertificateDirs() {
		hosts, err := os.ReadDir(dir)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if errors.Is(err, os.ErrPermission) {
			m.stepf("leaving out the certificates of docker: %v", err)
			continue
		}
		if err != nil {
			return nil, errdefs.New(errdefs.Environment, "certificates of docker: %w", err)
		}
		for _, h := range hosts {
			at := filepath.Join(dir, h.Name())
			if info, err := os.Stat(at); err == nil && info.IsDir() && checkHost(h.Name()) == nil {
				byHost[h.Name()] = append(byHost[h.Name()], at)
			}
		}
	}
	var list []Setting
	for _, host := range slices.Sorted(maps.Keys(byHost)) {
		found, err := hostCertificates(host, byHost[host])
		if errors.Is(err, os.ErrPermission) {
			m.stepf("leaving out the certificates of docker for %s: %v", host, err)
			continue
		}
		if err != nil {
			return nil, errdefs.New(errdefs.Environment, "certificates of docker for %s: %w", host, err)
		}
		list = append(list, found...)
	}
	return list, nil
}

// hostCertificates is the table of a registry in the configuration. It gives way
// as a whole to certificates that somebody configured.
func hostCertificates(host string, dirs []string) ([]Setting, error) {
	table := map[string]any{}
	for _, dir := range dirs {
		files, err := os.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			if err := addCertificate(table, filepath.Join(dir, f.Name())); err != nil {
				return nil, err
			}
		}
	}
	if len(table) == 0 {
		return nil, nil
	}
	table["http"] = false // as in speaksTLS
	return []Setting{{key: []string{"registry", host}, value: table, yields: true, without: []string{"ca", "keypair", "tlsconfigdir"}}}, nil
}

func addCertificate(table map[string]any, file string) error {
	add := func(key string, value any) {
		list, _ := table[key].([]any)
		table[key] = append(list, value)
	}
	base := strings.TrimSuffix(file, filepath.Ext(file))
	switch filepath.Ext(file) {
	case ".crt":
		if _, err := readAuthority(file); err != nil {
			return err
		}
		add("ca", file)
	case ".cert":
		if _, err := (certCopier{}).read(base + ".key"); err != nil {
			return err
		}
		add("keypair", map[string]any{"cert": file, "key": base + ".key"})
	}
	return nil
}
