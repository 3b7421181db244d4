package ci

import "regexp"

var exported = regexp.MustCompile(`^(?:(?:DOCKER_METADATA_OUTPUT|HULLWRIGHT)_[A-Z0-9_]+|(?:DOCKER|BUILDX)_CONFIG)$`)

// exportable says whether a variable may be set in later steps' environment.
func exportable(name string) bool { return exported.MatchString(name) }
