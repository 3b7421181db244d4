// Command scanner is an SBOM generator for BuildKit, which stands for
// docker/buildkit-syft-scanner in tests. It lists the packages of dpkg and apk
// and all files of each root file system that it is given, as an SPDX document in an
// in-toto statement.
//
// It speaks the protocol of
// https://github.com/moby/buildkit/blob/v0.33.1/docs/attestations/sbom-protocol.md
// which leaves out that BuildKit takes statements only.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

func main() {
	err := run(os.Getenv("BUILDKIT_SCAN_DESTINATION"), os.Getenv("BUILDKIT_SCAN_SOURCE"), os.Getenv("BUILDKIT_SCAN_SOURCE_EXTRAS"), time.Now())
	if err != nil {
		fmt.Fprintf(os.Stderr, "scanner: error: %v\n", err)
		os.Exit(1)
	}
}

// run writes one document a root to destination: of source, and of each folder
// of extras, which may be empty or name a folder that is not there.
func run(destination, source, extras string, now time.Time) error {
	if destination == "" || source == "" {
		return errors.New("no BUILDKIT_SCAN_DESTINATION or no BUILDKIT_SCAN_SOURCE")
	}
	roots := []string{source}
	if extras != "" {
		entries, err := os.ReadDir(extras)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		for _, e := range entries {
			roots = append(roots, filepath.Join(extras, e.Name()))
		}
	}
	for _, dir := range roots {
		if err := scanTo(destination, dir, now); err != nil {
			return fmt.Errorf("scan %s: %w", dir, err)
		}
	}
	return nil
}

// statement is what the file of one root holds.
type statement struct {
	Type          string   `json:"_type"`
	PredicateType string   `json:"predicateType"`
	Subject       []string `json:"subject"`
	Predicate     document `json:"predicate"`
}

// scanTo writes the document of one root.
func scanTo(destination, dir string, now time.Time) error {
	root, err := os.OpenRoot(dir) // an image's links lead nowhere else
	if err != nil {
		return err
	}
	defer root.Close()
	found, err := scan(root.FS())
	if err != nil {
		return err
	}
	name := filepath.Base(dir)
	raw, err := json.Marshal(statement{
		Type:          "https://in-toto.io/Statement/v0.1",
		PredicateType: "https://spdx.dev/Document",
		Subject:       []string{}, // BuildKit adds it
		Predicate:     newDocument(name, found, now),
	})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(destination, name+".spdx.json"), append(raw, '\n'), 0o644)
}
