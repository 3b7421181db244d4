package input

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestValues(t *testing.T) {
	opts := defaults(func(o *options) {
		o.Provider = "gitlab"
		o.Context = "https://user:hunter2@git.example/app.git#main"
		o.Tags = Words{"r.example/app:1", "r.example/app:latest"}
		o.Labels = Lines{"a=b", "NPM_TOKEN=hunter2 and, more", "API_KEY=hunter2", "AUTHORS=us", "base=docker-image://alpine@sha256:00"}
		o.Token = "hunter2"
		o.CacheFrom = Records{{Text: `type=s3,"secret_access_key=hunter2",session_token=hunter2,bucket=b`}}
		o.Cleanup = false
		o.Timeout = time.Minute
		o.Secrets = Secrets{"npm=hunter2", "hunter2", "MII/hunter2+AB==", "two words=hunter2"}
	})
	want := []Value{
		{Name: "provider", Entries: []string{"gitlab"}},
		{Name: "context", Entries: []string{"https://***@git.example/app.git#main"}},
		{Name: "tags", Entries: []string{"r.example/app:1", "r.example/app:latest"}, List: true},
		{Name: "labels", Entries: []string{"a=b", "NPM_TOKEN=***", "API_KEY=***", "AUTHORS=us", "base=docker-image://alpine@sha256:00"}, List: true},
		{Name: "cache-from", Entries: []string{`type=s3,"secret_access_key=***",session_token=***,bucket=b`}, List: true},
		{Name: "cleanup", Entries: []string{"false"}},
		{Name: "timeout", Entries: []string{"1m0s"}},
		{Name: "github-token", Entries: []string{"***"}},
		{Name: "secrets", Entries: []string{"npm", "***", "***", "***"}, List: true},
	}
	if diff := cmp.Diff(want, Values(&opts)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := Values(defaults(nil)); len(got) != 0 {
		t.Errorf("the defaults are shown: %v", got)
	}
}
