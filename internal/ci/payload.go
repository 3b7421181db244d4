package ci

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"time"
)

// payloadCap is the size of the largest event that is read. The forges' own
// payloads stay well under it; what is larger is not one.
const payloadCap = 5 << 20

// readPayload reads an event's JSON. A file that is not there gives nil
// without an error: containers often get the variable and not the file.
// Numbers are json.Number, so that none is rounded.
func readPayload(path string) (map[string]any, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, payloadCap+1))
	if err != nil {
		return nil, err
	}
	if len(raw) > payloadCap {
		return nil, fmt.Errorf("%s: larger than %d bytes", path, payloadCap)
	}
	payload, err := decodePayload(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return payload, nil
}

func decodePayload(raw []byte) (map[string]any, error) {
	decoder := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(raw, []byte("\ufeff"))))
	decoder.UseNumber()
	var payload map[string]any
	if err := decoder.Decode(&payload); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, errors.New("more than one JSON value")
	}
	return payload, nil
}

// value is what stands at a path of keys in a payload, nil where nothing does.
func value(payload map[string]any, path ...string) any {
	var at any = payload
	for _, key := range path {
		object, ok := at.(map[string]any)
		if !ok {
			return nil
		}
		at = object[key]
	}
	return at
}

// text is the string at a path; empty where there is none, or no string.
func text(payload map[string]any, path ...string) string {
	s, _ := value(payload, path...).(string)
	return s
}

// id is the number at a path as it is written; empty where there is none.
func id(payload map[string]any, path ...string) string {
	n, _ := value(payload, path...).(json.Number)
	return n.String()
}

// number reads a request's number: a decimal from 1 to 2^31-1.
func number(s string) (int, error) {
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil || n <= 0 || strconv.FormatInt(n, 10) != s {
		return 0, fmt.Errorf("request number %q: must be a whole number above 0", s)
	}
	return int(n), nil
}

// CommitTimeAt is when sha was committed, from what the event tells. known is
// false where it tells nothing. A time that is told but can't be read is known
// and zero.
func (e Event) CommitTimeAt(sha string) (t time.Time, known bool) {
	if sha == "" {
		return time.Time{}, false
	}
	commits, _ := e.Payload["commits"].([]any)
	for _, c := range commits {
		commit, _ := c.(map[string]any)
		if stamp := text(commit, "timestamp"); stamp != "" && text(commit, "id") == sha {
			t, _ := ParseTime(stamp)
			return t, true
		}
	}
	if text(e.Payload, "head_commit", "id") == sha {
		t, _ := ParseTime(text(e.Payload, "head_commit", "timestamp"))
		return t, true
	}
	if sha == e.SHA && !e.CommitTime.IsZero() {
		return e.CommitTime, true
	}
	return time.Time{}, false
}
