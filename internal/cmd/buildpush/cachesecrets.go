package buildpush

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	awsconfig "github.com/aws/aws-sdk-go-v2/config"

	"github.com/hullwright/hullwright/internal/builder"
	"github.com/hullwright/hullwright/internal/errdefs"
)

// cacheSecretKeys are attributes of caches that no plan may show.
var cacheSecretKeys = []string{"token", "ghtoken", "secret_access_key", "session_token"}

// cacheSecrets are the secrets of cache entries, by the account that they are
// for: what else an entry says may differ from node to node.
type cacheSecrets map[string]map[string]string

func account(c builder.Cache) string {
	parts := []string{c.Type}
	for _, key := range []string{"url", "url_v2", "repository", "bucket", "region", "endpoint_url", "access_key_id", "account_url", "account_name", "container"} {
		parts = append(parts, c.Attrs[key])
	}
	return strings.Join(parts, "\x00")
}

// take moves the secrets out of an entry.
func (s cacheSecrets) take(c builder.Cache) {
	kept := map[string]string{}
	for _, key := range cacheSecretKeys {
		if value := c.Attrs[key]; value != "" { // blank is not given, as a secret that a job does not get
			kept[key] = value
		}
		delete(c.Attrs, key)
	}
	if len(kept) > 0 {
		s[account(c)] = kept
	}
}

// cacheLogin gives what a cache needs and its plan does not show: what the
// entry itself said, completed by what the job's environment has. It is what
// [builder.Session] asks.
func (j *job) cacheLogin(ctx context.Context, c builder.Cache) (map[string]string, error) {
	attrs := map[string]string{}
	switch c.Type {
	case "gha":
		maps.Copy(attrs, j.actionsLogin(c))
	case "s3":
		if c.Attrs["access_key_id"] == "" {
			maps.Copy(attrs, j.awsLogin(ctx))
		}
	case "azblob":
		if key := j.azureKey(c); key != "" {
			attrs["secret_access_key"] = key
		}
	}
	maps.Copy(attrs, j.cacheSecrets[account(c)])
	for _, key := range cacheSecretKeys {
		j.hide(attrs[key])
	}
	return attrs, nil
}

// actionsLogin is where the Actions cache is and how to speak to it: runners
// tell it to an action's own process. The service has two versions:
// https://github.com/actions/toolkit/blob/main/packages/cache/src/internal/config.ts
func (j *job) actionsLogin(c builder.Cache) map[string]string {
	environ := j.env.Environ
	attrs := map[string]string{}
	set := func(key string, values ...string) {
		for _, v := range values {
			if v != "" && attrs[key] == "" && c.Attrs[key] == "" {
				attrs[key] = v
			}
		}
	}
	set("token", environ["ACTIONS_RUNTIME_TOKEN"])
	set("url", environ["ACTIONS_CACHE_URL"], environ["ACTIONS_RESULTS_URL"])
	v2, _ := strconv.ParseBool(environ["ACTIONS_CACHE_SERVICE_V2"])
	if version := c.Attrs["version"]; version == "2" || version == "" && v2 {
		set("url_v2", environ["ACTIONS_RESULTS_URL"])
	}
	// With these BuildKit asks GitHub once which layers are there, instead of
	// once for each. It asks at api.github.com only.
	if token := j.options.token(); token != "" && j.event.Provider == "github" && j.event.ServerURL == "https://github.com" && environ["ACT"] == "" {
		set("repository", j.event.Repository.Slug)
		set("ghtoken", token)
	}
	return attrs
}

// checkCacheLogin finds early that nobody is let in to a cache.
func (j *job) checkCacheLogin(c builder.Cache) error {
	switch c.Type {
	case "gha":
		return j.checkActionsLogin(c)
	case "s3":
		if (c.Attrs["access_key_id"] == "") != (j.cacheSecrets[account(c)]["secret_access_key"] == "") {
			return errdefs.New(errdefs.BadInput, "type=s3 needs both access_key_id and secret_access_key, or neither").
				WithHint("with neither, AWS's own environment variables, files and roles count")
		}
	}
	return nil
}

// checkActionsLogin finds what is missing for a gha cache: docker buildx drops
// such an entry without a word.
func (j *job) checkActionsLogin(c builder.Cache) error {
	found := j.actionsLogin(c)
	maps.Copy(found, j.cacheSecrets[account(c)])
	var missing []string
	if found["token"] == "" {
		missing = append(missing, "token (ACTIONS_RUNTIME_TOKEN)")
	}
	if found["url"] == "" && found["url_v2"] == "" && c.Attrs["url"] == "" && c.Attrs["url_v2"] == "" {
		missing = append(missing, "url (ACTIONS_CACHE_URL or ACTIONS_RESULTS_URL)")
	}
	if len(missing) == 0 {
		return nil
	}
	return errdefs.New(errdefs.BadInput, "type=gha needs %s, and neither the entry nor the environment has it", strings.Join(missing, " and ")).
		WithHint("runners give these to a step with uses: only, not to one with run:; outside of GitHub take another type of cache")
}

// awsTime bounds the search for credentials: outside of AWS it ends with an
// address that nobody answers at.
const awsTime = 5 * time.Second

// awsLogin looks for credentials where AWS's programs do: in the environment,
// in files, from roles. None is no fault: the builder may have a role of its
// own.
func (j *job) awsLogin(ctx context.Context) map[string]string {
	environ := j.env.Environ
	if id, secret := environ["AWS_ACCESS_KEY_ID"], environ["AWS_SECRET_ACCESS_KEY"]; id != "" && secret != "" {
		return awsAttrs(id, secret, environ["AWS_SESSION_TOKEN"])
	}
	ctx, cancel := context.WithTimeout(ctx, awsTime)
	defer cancel()
	config, err := awsconfig.LoadDefaultConfig(ctx)
	if err == nil {
		found, failed := config.Credentials.Retrieve(ctx)
		if failed == nil {
			return awsAttrs(found.AccessKeyID, found.SecretAccessKey, found.SessionToken)
		}
		err = failed
	}
	fmt.Fprintf(j.env.Stderr, "note: no AWS credentials here for the s3 cache, the builder's own count: %v\n", err)
	return nil
}

func awsAttrs(id, secret, session string) map[string]string {
	attrs := map[string]string{"access_key_id": id, "secret_access_key": secret}
	if session != "" {
		attrs["session_token"] = session
	}
	return attrs
}

// azureKey is the key of a cache's storage account in the environment, as Azure's
// command line reads it; empty where there is none, or one of another account.
// BuildKit has a variable for all of such a cache but for its key:
// https://learn.microsoft.com/cli/azure/storage/blob
func (j *job) azureKey(c builder.Cache) string {
	if of := j.env.Environ["AZURE_STORAGE_ACCOUNT"]; of != "" && of != azureAccount(c) {
		return ""
	}
	return strings.TrimSpace(j.env.Environ["AZURE_STORAGE_KEY"])
}

// azureAccount is the name of a cache's storage account, found as BuildKit does:
// https://github.com/moby/buildkit/blob/v0.33.1/cache/remotecache/azblob/utils.go
func azureAccount(c builder.Cache) string {
	if name := c.Attrs["account_name"]; name != "" {
		return name
	}
	u, err := url.Parse(c.Attrs["account_url"])
	if err != nil {
		return ""
	}
	name, _, _ := strings.Cut(u.Hostname(), ".")
	return name
}

// tellAzure says, once an account, where no key is given. It is no fault: the
// builder may have an identity of its own, and no other counts then, since
// BuildKit looks for it in its daemon.
func (j *job) tellAzure() {
	told := map[string]bool{}
	for _, c := range slices.Concat(j.request.CacheFrom, j.request.CacheTo) {
		of := account(c)
		if c.Type != "azblob" || told[of] || j.cacheSecrets[of]["secret_access_key"] != "" || j.azureKey(c) != "" {
			continue
		}
		told[of] = true
		fmt.Fprintf(j.env.Stderr, "note: no key for the azblob cache of account %q, in secret_access_key or AZURE_STORAGE_KEY: only an Azure identity of the builder's own counts\n", azureAccount(c))
	}
}
