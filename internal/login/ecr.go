package login

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// ecrHost is a private registry of Amazon's, whole: a look-alike that goes on
// after the domain is none. https://docs.aws.amazon.com/general/latest/gr/ecr.html
var ecrHost = regexp.MustCompile(`^([0-9]{12})\.dkr[.-]ecr(-fips)?\.([a-z0-9-]+)\.(on\.aws|amazonaws\.com|amazonaws\.com\.cn|amazonaws\.eu)$`)

// ecrPublic are the names of Amazon's public registry.
var ecrPublic = []string{"public.ecr.aws", "ecr-public.aws.com"}

var accountID = regexp.MustCompile(`^[0-9]{12}$`)

func (s *Source) servesECR(a Account) bool {
	host := a.Registry.RegistryStr()
	switch strings.ToLower(a.ECR) {
	case "true":
		return true
	case "", "auto":
		return ecrHost.MatchString(host) || slices.Contains(ecrPublic, host)
	}
	return false
}

// ecrRequest is what is asked of Amazon, and of which part of it.
type ecrRequest struct {
	registry name.Registry
	public   bool
	service  string // as signatures name it
	target   string
	region   string
	address  string
	accounts []string // none is the caller's own
}

func (s *Source) ecr(ctx context.Context, a Account) ([]Credentials, error) {
	r, err := s.ecrRequest(a)
	if err != nil {
		return nil, err
	}
	keys, err := s.awsKeys(ctx, a, r.region)
	if err != nil {
		return nil, err
	}
	found, err := s.ecrTokens(ctx, r, keys)
	if err != nil {
		return nil, err
	}
	if a.Username == "" { // keys that were given are not kept, so can't be used again
		for i := range found {
			found[i].Renewal = &Renewal{Provider: "ecr", Issued: s.Now(), Parameters: map[string]string{
				"accounts": strings.Join(r.accounts, ","), "region": r.region,
			}}
		}
	}
	return found, nil
}

func (s *Source) renewECR(ctx context.Context, a Account, r Renewal) ([]Credentials, error) {
	again := *s
	again.Environ = cloned(s.Environ, "AWS_ACCOUNT_IDS", r.Parameters["accounts"], "AWS_REGION", r.Parameters["region"])
	a.ECR = "true"
	return again.ecr(ctx, a)
}

// ecrRequest reads a registry's name.
func (s *Source) ecrRequest(a Account) (ecrRequest, error) {
	host := a.Registry.RegistryStr()
	region := cmp.Or(s.Environ["AWS_REGION"], s.Environ["AWS_DEFAULT_REGION"])
	if slices.Contains(ecrPublic, host) {
		// The public registry's own service is in two regions, one of them at a time.
		region = cmp.Or(region, "us-east-1")
		return ecrRequest{
			registry: a.Registry, public: true, region: region, service: "ecr-public",
			target:  "SpencerFrontendService.GetAuthorizationToken",
			address: cmp.Or(s.Environ["AWS_ENDPOINT_URL_ECR_PUBLIC"], s.Environ["AWS_ENDPOINT_URL"], "https://api.ecr-public."+region+".amazonaws.com/"),
		}, nil
	}
	var accounts []string
	domain, fips := "amazonaws.com", ""
	if m := ecrHost.FindStringSubmatch(host); m != nil {
		accounts, fips, region = []string{m[1]}, m[2], m[3]
		if m[4] != "on.aws" {
			domain = m[4]
		}
	}
	for word := range strings.SplitSeq(s.Environ["AWS_ACCOUNT_IDS"], ",") {
		word = strings.TrimSpace(word)
		switch {
		case word == "" || slices.Contains(accounts, word):
		case !accountID.MatchString(word):
			return ecrRequest{}, errdefs.BadInputf("aws-account-ids", 0, "%q is no account of Amazon's: it has 12 digits", word)
		default:
			accounts = append(accounts, word)
		}
	}
	if region == "" {
		return ecrRequest{}, a.faultf("%s: the region is unknown", host).
			WithHint("name the registry as ACCOUNT.dkr.ecr.REGION.amazonaws.com, or set AWS_REGION")
	}
	address := "https://api.ecr." + region + "." + domain + "/"
	if fips != "" {
		address = "https://ecr-fips." + region + "." + domain + "/"
	}
	return ecrRequest{
		registry: a.Registry, region: region, accounts: accounts, service: "ecr",
		target:  "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken",
		address: cmp.Or(s.Environ["AWS_ENDPOINT_URL_ECR"], s.Environ["AWS_ENDPOINT_URL"], address),
	}, nil
}

// awsKeys are the account's own, or what Amazon's chain finds: the environment,
// a web identity, profiles, the container's or the machine's role.
func (s *Source) awsKeys(ctx context.Context, a Account, region string) (aws.Credentials, error) {
	switch {
	case a.Username != "" && a.Password != "":
		keys := aws.Credentials{AccessKeyID: a.Username, SecretAccessKey: a.Password}
		if a.Username == s.Environ["AWS_ACCESS_KEY_ID"] {
			keys.SessionToken = s.Environ["AWS_SESSION_TOKEN"]
		}
		return keys, nil
	case a.Username != "" || a.Password != "":
		return aws.Credentials{}, a.faultf("%s: username and password are an access key's id and secret: one is missing", a.Registry).
			WithHint("give both, or none where the environment has credentials of Amazon's")
	}
	cfg, err := config.LoadDefaultConfig(ctx, config.WithRegion(region))
	if err != nil {
		return aws.Credentials{}, errdefs.New(errdefs.Environment, "credentials of Amazon's: %w", err)
	}
	keys, err := cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return aws.Credentials{}, errdefs.New(errdefs.Environment, "credentials of Amazon's: %w", err).
			WithHint("run aws-actions/configure-aws-credentials before, set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give an access key's id and secret as username and password")
	}
	return keys, nil
}

// ecrToken is one registry's answer. The public registry's has no endpoint.
type ecrToken struct {
	AuthorizationToken string  `json:"authorizationToken"`
	ExpiresAt          float64 `json:"expiresAt"`
	ProxyEndpoint      string  `json:"proxyEndpoint"`
}

// ecrTokens asks by hand what is one request: Amazon's two packages for it would
// add 1 MB to the program.
func (s *Source) ecrTokens(ctx context.Context, r ecrRequest, keys aws.Credentials) ([]Credentials, error) {
	payload := []byte("{}")
	if len(r.accounts) > 0 {
		payload, _ = json.Marshal(map[string]any{"registryIds": r.accounts}) // strings alone
	}
	sum := sha256.Sum256(payload)
	body, err := s.ask(ctx, "Amazon "+r.service, func() (*http.Request, error) {
		req, err := http.NewRequest(http.MethodPost, r.address, bytes.NewReader(payload))
		if err != nil {
			return nil, err
		}
		req.Header.Set("Content-Type", "application/x-amz-json-1.1")
		req.Header.Set("X-Amz-Target", r.target)
		return req, v4.NewSigner().SignHTTP(ctx, keys, req, hex.EncodeToString(sum[:]), r.service, r.region, s.Now())
	}, awsFault)
	if err != nil {
		return nil, err
	}
	tokens, err := r.parse(body)
	if err != nil {
		return nil, err
	}
	return s.ecrCredentials(r, tokens)
}

func (r ecrRequest) parse(body []byte) ([]ecrToken, error) {
	who := "Amazon " + r.service
	if !r.public {
		var answer struct {
			AuthorizationData []ecrToken `json:"authorizationData"`
		}
		err := read(who, body, &answer)
		return answer.AuthorizationData, err
	}
	var answer struct {
		AuthorizationData ecrToken `json:"authorizationData"`
	}
	err := read(who, body, &answer)
	return []ecrToken{answer.AuthorizationData}, err
}

func (s *Source) ecrCredentials(r ecrRequest, tokens []ecrToken) ([]Credentials, error) {
	var found []Credentials
	add := func(c Credentials) {
		if !slices.ContainsFunc(found, func(o Credentials) bool { return o.Registry == c.Registry }) {
			found = append(found, c)
		}
	}
	for i, t := range tokens {
		plain, err := base64.StdEncoding.DecodeString(t.AuthorizationToken)
		user, password, ok := strings.Cut(string(plain), ":")
		if err != nil || !ok || password == "" {
			return nil, errdefs.New(errdefs.Environment, "Amazon %s: its answer has no token", r.service)
		}
		s.hide(t.AuthorizationToken)
		s.hide(password)
		c := Credentials{Registry: r.registry, Username: user, Password: password}
		if t.ExpiresAt > 0 {
			c.Expires = time.Unix(int64(t.ExpiresAt), 0)
		}
		// The answer names a registry by one of its names; the name that was
		// given may be another (on.aws, FIPS), and is the one that is used.
		if i == 0 && (ecrHost.MatchString(r.registry.RegistryStr()) || r.public) {
			add(c)
		}
		if endpoint := strings.TrimPrefix(t.ProxyEndpoint, "https://"); endpoint != "" {
			if c.Registry, err = name.NewRegistry(endpoint); err != nil || !ecrHost.MatchString(endpoint) {
				return nil, errdefs.New(errdefs.Environment, "Amazon %s: its answer names %q, which is no registry of Amazon's", r.service, oneLine(t.ProxyEndpoint))
			}
			add(c)
		}
	}
	if len(found) == 0 {
		return nil, errdefs.New(errdefs.Environment, "Amazon %s: its answer has no token", r.service)
	}
	return found, nil
}

// awsFault reads what Amazon says in an answer of status 400, where most of its
// refusals are: https://docs.aws.amazon.com/AmazonECR/latest/APIReference/CommonErrors.html
func awsFault(body []byte) (bool, string) {
	var said struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
	}
	if json.Unmarshal(body, &said) != nil {
		return false, ""
	}
	kind := said.Type[strings.LastIndex(said.Type, "#")+1:]
	denied := slices.Contains([]string{
		"AccessDeniedException", "ExpiredTokenException", "ExpiredToken", "IncompleteSignature", "InvalidClientTokenId",
		"InvalidSignatureException", "MissingAuthenticationTokenException", "NotAuthorized", "OptInRequired", "UnrecognizedClientException",
	}, kind)
	return denied, strings.Trim(kind+": "+said.Message, ": ")
}

// cloned is environ with some variables set.
func cloned(environ map[string]string, pairs ...string) map[string]string {
	out := map[string]string{}
	for k, v := range environ {
		out[k] = v
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		out[pairs[i]] = pairs[i+1]
	}
	return out
}
