package login

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"

	"github.com/moby/sys/atomicwriter"

	"github.com/hullwright/hullwright/internal/errdefs"
	"github.com/hullwright/hullwright/internal/registry"
)

// configDoc is a config.json of which all that is not ours is kept as it is.
type configDoc struct {
	all     map[string]json.RawMessage
	auths   map[string]json.RawMessage
	helpers map[string]json.RawMessage
}

// readConfig reads a config.json that is to be written; there is false where it
// is new.
func readConfig(path string) (c *configDoc, there bool, err error) {
	c = &configDoc{all: map[string]json.RawMessage{}, auths: map[string]json.RawMessage{}, helpers: map[string]json.RawMessage{}}
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, false, nil
	}
	if err != nil {
		return nil, false, errdefs.New(errdefs.Environment, "%w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, false, errdefs.New(errdefs.Environment, "%s is a link or no file: nothing is written to it", path).
			WithHint("leave config out, so that credentials are kept in a directory of the job's own")
	}
	if err := checkOwner(path, info); err != nil {
		return nil, false, err
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, false, errdefs.New(errdefs.Environment, "%w", err)
	}
	if len(bytes.TrimSpace(raw)) == 0 {
		return c, true, nil
	}
	if err := registry.CheckConfig(path, raw); err != nil {
		return nil, false, err
	}
	for _, part := range []struct {
		key  string
		into *map[string]json.RawMessage
	}{{"", &c.all}, {"auths", &c.auths}, {"credHelpers", &c.helpers}} {
		text := raw
		if part.key != "" {
			text = c.all[part.key]
		}
		if len(text) == 0 || string(text) == "null" {
			continue
		}
		if err := json.Unmarshal(text, part.into); err != nil {
			return nil, false, errdefs.New(errdefs.Environment, "%s: not a docker configuration: key %s is of another type", path, part.key)
		}
	}
	return c, true, nil
}

// before is what there is of a key.
func (c *configDoc) before(key string) before {
	return before{Auth: c.auths[key], Helper: c.helpers[key]}
}

// set puts a key's credentials. Where a helper would be asked for them, the key
// gets none, since the file is only read then.
func (c *configDoc) set(key string, auth json.RawMessage) {
	c.auths[key] = auth
	store := string(c.all["credsStore"])
	if _, helped := c.helpers[key]; helped || store != "" && store != `""` && store != "null" {
		c.helpers[key] = json.RawMessage(`""`)
	}
}

// putBack gives a key the credentials of the last run that is left, or what it
// had before the first, unless what it has is not ours.
func (c *configDoc) putBack(key string, ours json.RawMessage, doc *journalDoc) {
	if !sameJSON(c.auths[key], ours) {
		delete(doc.Before, key)
		return
	}
	for i := len(doc.Logins) - 1; i >= 0; i-- {
		if doc.Logins[i].Key == key {
			c.auths[key] = doc.Logins[i].Auth
			return
		}
	}
	was := doc.Before[key]
	restore(c.auths, key, was.Auth)
	restore(c.helpers, key, was.Helper)
	delete(doc.Before, key)
}

func restore(m map[string]json.RawMessage, key string, was json.RawMessage) {
	if was == nil {
		delete(m, key)
		return
	}
	m[key] = was
}

func sameJSON(a, b json.RawMessage) bool {
	var compactA, compactB bytes.Buffer
	return json.Compact(&compactA, a) == nil && json.Compact(&compactB, b) == nil && bytes.Equal(compactA.Bytes(), compactB.Bytes())
}

// empty is whether nothing is left in it.
func (c *configDoc) empty() bool {
	for key := range c.all {
		if key != "auths" && key != "credHelpers" {
			return false
		}
	}
	return len(c.auths) == 0 && len(c.helpers) == 0
}

func (c *configDoc) write(path string) error {
	for key, part := range map[string]map[string]json.RawMessage{"auths": c.auths, "credHelpers": c.helpers} {
		if len(part) == 0 && (key != "auths" || len(c.all["auths"]) == 0) {
			delete(c.all, key)
			continue
		}
		raw, err := json.Marshal(part)
		if err != nil {
			return err
		}
		c.all[key] = raw
	}
	raw, err := json.MarshalIndent(c.all, "", "\t")
	if err != nil {
		return err
	}
	return atomicwriter.WriteFile(path, append(raw, '\n'), 0o600)
}
