package test

import (
	"os"
	"path/filepath"

	"github.com/rogpeppe/go-internal/testscript"
)

// authority writes ca.pem, cert.pem and key.pem into a folder: a CA, and what it
// certified.
//
//	authority DIR
func authority(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: authority DIR")
	}
	parts, err := certificates()
	ts.Check(err)
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o755))
	for part, file := range map[string]string{"cacert": "ca.pem", "cert": "cert.pem", "key": "key.pem"} {
		ts.Check(os.WriteFile(filepath.Join(dir, file), parts[part], 0o600))
	}
}
