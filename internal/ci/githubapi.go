package ci

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/hullwright/hullwright/internal/errdefs"
)

const (
	apiTimeout = 5 * time.Second
	apiCap     = 1 << 20 // of an answer, bytes
)

// Describe asks GET /repos/{owner}/{repo}.
func (g *github) Describe(ctx context.Context, e Event, token string) (Repository, error) {
	var answer struct {
		Name        string `json:"name"`
		FullName    string `json:"full_name"`
		Description string `json:"description"`
		HTMLURL     string `json:"html_url"`
		License     *struct {
			SPDX string `json:"spdx_id"`
		} `json:"license"`
		DefaultBranch string `json:"default_branch"`
		Visibility    string `json:"visibility"`
		Private       *bool  `json:"private"`
	}
	if err := g.get(ctx, &answer, token, e.Repository.Slug, ""); err != nil {
		return Repository{}, err
	}
	r := Repository{
		Slug:          e.Repository.Slug,
		Name:          answer.Name,
		URL:           answer.HTMLURL,
		Description:   answer.Description,
		DefaultBranch: answer.DefaultBranch,
		Visibility:    Visibility(answer.Visibility),
	}
	if answer.License != nil {
		r.License = answer.License.SPDX
	}
	if r.Visibility == "" && answer.Private != nil {
		r.Visibility = Public
		if *answer.Private {
			r.Visibility = Private
		}
	}
	return r, nil
}

// CommitTime asks GET /repos/{owner}/{repo}/commits/{sha}, on Gitea and Forgejo
// .../git/commits/{sha}.
func (g *github) CommitTime(ctx context.Context, e Event, sha, token string) (time.Time, error) {
	var answer struct {
		Commit struct {
			Committer struct {
				Date string `json:"date"`
			} `json:"committer"`
		} `json:"commit"`
	}
	path := "/commits/"
	if g.name != "github" {
		path = "/git/commits/"
	}
	if err := g.get(ctx, &answer, token, e.Repository.Slug, path+url.PathEscape(sha)); err != nil {
		return time.Time{}, err
	}
	return ParseTime(answer.Commit.Committer.Date)
}

// get reads an answer of the API about a repository. The token goes to the
// API's own host only.
func (g *github) get(ctx context.Context, answer any, token, slug, path string) error {
	owner, repo, ok := strings.Cut(slug, "/")
	if !ok {
		return errdefs.New(errdefs.BadInput, "repository %q: must be OWNER/NAME", slug)
	}
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	base := g.apiURL()
	address := base + "/repos/" + url.PathEscape(owner) + "/" + url.PathEscape(repo) + path
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return errdefs.New(errdefs.BadInput, "GITHUB_API_URL: %w", err)
	}
	request.Header.Set("Accept", "application/vnd.github+json")
	request.Header.Set("User-Agent", "hullwright")
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return errdefs.New(errdefs.Environment, "%w", &Unanswered{Err: err})
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(response.Body, apiCap))
	if err != nil {
		return errdefs.New(errdefs.Environment, "%w", &Unanswered{Err: err})
	}
	if response.StatusCode != http.StatusOK {
		return apiError(response.StatusCode, raw)
	}
	if err := json.Unmarshal(raw, answer); err != nil {
		return errdefs.New(errdefs.Environment, "%s: %w", address, err)
	}
	return nil
}

// apiURL is the API's address. A forge's token must never go to GitHub.
func (g *github) apiURL() string {
	base := g.host.Environ["GITHUB_API_URL"]
	if base == "" && g.name != "github" {
		base = strings.TrimRight(g.host.Environ["GITHUB_SERVER_URL"], "/") + "/api/v1"
	}
	return strings.TrimRight(first(base, "https://api.github.com"), "/")
}

// apiError gives the API's own words.
func apiError(status int, raw []byte) error {
	var answer struct {
		Message       string `json:"message"`
		Documentation string `json:"documentation_url"`
	}
	kind := errdefs.Environment
	if status == http.StatusUnauthorized || status == http.StatusForbidden || status == http.StatusNotFound {
		kind = errdefs.Denied
	}
	if json.Unmarshal(raw, &answer) != nil || answer.Message == "" {
		return errdefs.New(kind, "%w", fmt.Errorf("GitHub's API answered %d %s", status, http.StatusText(status)))
	}
	if answer.Documentation != "" {
		answer.Message += " - " + answer.Documentation
	}
	return errdefs.New(kind, "%w", errors.New(Clean(answer.Message)))
}
