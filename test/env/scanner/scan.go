package main

import (
	"bufio"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"strings"
)

// contents is what a root file system has.
type contents struct {
	packages []installed
	files    []file
}

// installed is a package as its manager noted it.
type installed struct{ kind, name, version, arch string }

// file is a regular file and its digests, in hexadecimal.
type file struct{ path, sha1, sha256 string }

// databases are where package managers note what is installed, with the names
// of the fields that say so.
var databases = []struct {
	path, kind          string
	name, version, arch string
}{
	{"var/lib/dpkg/status", "deb", "Package", "Version", "Architecture"},
	{"lib/apk/db/installed", "apk", "P", "V", "A"},
}

func scan(root fs.FS) (contents, error) {
	var found contents
	for _, db := range databases {
		f, err := root.Open(db.path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return found, err
		}
		records, err := parseRecords(f)
		f.Close()
		if err != nil {
			return found, err
		}
		for _, r := range records {
			if r[db.name] != "" {
				found.packages = append(found.packages, installed{db.kind, r[db.name], r[db.version], r[db.arch]})
			}
		}
	}
	err := fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := digest(root, path)
		found.files = append(found.files, f)
		return err
	})
	return found, err
}

// parseRecords reads paragraphs of "Name: value" lines, with blank lines
// between; apk writes no blank after the colon. Lines that go on are left out:
// no field that is asked for has any.
func parseRecords(r io.Reader) ([]map[string]string, error) {
	var records []map[string]string
	record := map[string]string{}
	end := func() {
		if len(record) > 0 {
			records = append(records, record)
		}
		record = map[string]string{}
	}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		if line == "" {
			end()
			continue
		}
		if name, value, ok := strings.Cut(line, ":"); ok && !strings.HasPrefix(line, " ") {
			record[name] = strings.TrimSpace(value)
		}
	}
	end()
	return records, lines.Err()
}

func digest(root fs.FS, path string) (file, error) {
	f, err := root.Open(path)
	if err != nil {
		return file{}, err
	}
	defer f.Close()
	short, long := sha1.New(), sha256.New() // SPDX wants the first of every file
	if _, err := io.Copy(io.MultiWriter(short, long), f); err != nil {
		return file{}, err
	}
	return file{path, hex.EncodeToString(short.Sum(nil)), hex.EncodeToString(long.Sum(nil))}, nil
}
