package main

import (
	"crypto/sha256"
	"fmt"
	"net/url"
	"time"
)

// document is as much of an SPDX 2.3 document as is needed:
// https://spdx.github.io/spdx-spec/v2.3/
type document struct {
	Version       string         `json:"spdxVersion"`
	License       string         `json:"dataLicense"`
	ID            string         `json:"SPDXID"`
	Name          string         `json:"name"`
	Namespace     string         `json:"documentNamespace"`
	Creation      creation       `json:"creationInfo"`
	Packages      []spdxPackage  `json:"packages"`
	Files         []spdxFile     `json:"files"`
	Relationships []relationship `json:"relationships"`
}

type creation struct {
	Created  string   `json:"created"`
	Creators []string `json:"creators"`
}

type spdxPackage struct {
	ID            string     `json:"SPDXID"`
	Name          string     `json:"name"`
	Version       string     `json:"versionInfo,omitempty"`
	Download      string     `json:"downloadLocation"`
	FilesAnalyzed bool       `json:"filesAnalyzed"`
	References    []external `json:"externalRefs,omitempty"`
}

type external struct {
	Category string `json:"referenceCategory"`
	Type     string `json:"referenceType"`
	Locator  string `json:"referenceLocator"`
}

type spdxFile struct {
	ID        string     `json:"SPDXID"`
	Name      string     `json:"fileName"`
	Checksums []checksum `json:"checksums"`
}

type checksum struct {
	Algorithm string `json:"algorithm"`
	Value     string `json:"checksumValue"`
}

type relationship struct {
	From string `json:"spdxElementId"`
	Type string `json:"relationshipType"`
	To   string `json:"relatedSpdxElement"`
}

const documentID = "SPDXRef-DOCUMENT"

// newDocument describes a root. What differs from run to run is the time alone:
// the namespace is made of what was found.
func newDocument(name string, found contents, now time.Time) document {
	d := document{
		Version:   "SPDX-2.3",
		License:   "CC0-1.0",
		ID:        documentID,
		Name:      name,
		Namespace: fmt.Sprintf("https://hullwright.invalid/sbom/%x", sha256.Sum256(fmt.Append(nil, name, found))),
		Creation:  creation{now.UTC().Format(time.RFC3339), []string{"Tool: hullwright-test-scanner"}},
		// an empty list, not null, where there is nothing
		Packages: []spdxPackage{}, Files: []spdxFile{}, Relationships: []relationship{},
	}
	for i, p := range found.packages {
		id := fmt.Sprintf("SPDXRef-Package-%d", i)
		d.Packages = append(d.Packages, spdxPackage{
			ID: id, Name: p.name, Version: p.version, Download: "NOASSERTION",
			References: []external{{"PACKAGE-MANAGER", "purl", p.purl()}},
		})
		d.Relationships = append(d.Relationships, relationship{documentID, "DESCRIBES", id})
	}
	for i, f := range found.files {
		id := fmt.Sprintf("SPDXRef-File-%d", i)
		d.Files = append(d.Files, spdxFile{
			ID: id, Name: "/" + f.path,
			Checksums: []checksum{{"SHA1", f.sha1}, {"SHA256", f.sha256}},
		})
		d.Relationships = append(d.Relationships, relationship{documentID, "DESCRIBES", id})
	}
	return d
}

// purl is the package's address: https://github.com/package-url/purl-spec
func (p installed) purl() string {
	distribution := map[string]string{"deb": "debian", "apk": "alpine"}[p.kind]
	return fmt.Sprintf("pkg:%s/%s/%s@%s?arch=%s", p.kind, distribution, url.PathEscape(p.name), url.PathEscape(p.version), url.QueryEscape(p.arch))
}
