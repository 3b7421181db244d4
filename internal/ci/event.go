package ci

import (
	"net/url"
	"regexp"
	"strings"
)

// refKind is what a ref alone says of an event.
func refKind(ref GitRef) Kind {
	switch {
	case strings.HasPrefix(string(ref), "refs/heads/"):
		return Branch
	case strings.HasPrefix(string(ref), "refs/tags/"):
		return Tag
	case refNumber(ref) != "":
		return Request
	}
	return Other
}

var requestRef = regexp.MustCompile(`^refs/(?:pull|merge-requests)/([0-9]+)/`)

// refNumber is a request's number from its ref, empty where it is no request's.
func refNumber(ref GitRef) string {
	if m := requestRef.FindStringSubmatch(string(ref)); m != nil {
		return m[1]
	}
	return ""
}

// withoutUser is an address without name and password in it, and empty where
// it is none that a person could open. Scp-like ones (git@host:path) become
// https.
func withoutUser(address string) string {
	if address == "" {
		return ""
	}
	if !strings.Contains(address, "://") {
		host, path, ok := strings.Cut(address, ":")
		if !ok || strings.Contains(host, "/") {
			return ""
		}
		address = "https://" + host[strings.LastIndex(host, "@")+1:] + "/" + strings.TrimPrefix(path, "/")
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return ""
	}
	if u.Scheme == "ssh" || u.Scheme == "git" {
		u.Scheme, u.Host = "https", u.Hostname()
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return strings.TrimSuffix(strings.TrimRight(u.String(), "/"), ".git")
}

// first is the first that is not empty.
func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
