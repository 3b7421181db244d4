package buildpush

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
)

// expiring gives another password each time that it is asked, as a credential
// helper does whose passwords are tokens.
type expiring struct{ asked int }

func (e *expiring) Resolve(authn.Resource) (authn.Authenticator, error) {
	e.asked++
	return authn.FromConfig(authn.AuthConfig{Username: "ci", Password: fmt.Sprint(e.asked)}), nil
}

func TestBuildkitCredentials(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	provider := buildkitCredentials(&expiring{}, func() time.Time { return now })
	after := func(limit time.Duration) func(time.Time, string) bool {
		return func(created time.Time, _ string) bool { return now.Sub(created) > limit }
	}
	for i, step := range []struct {
		wait time.Duration
		host string
		want string
	}{
		{0, "registry.example", "1"},
		{time.Minute, "registry.example", "1"},
		{0, "other.example", "2"},
		{5 * time.Minute, "registry.example", "3"},
		{0, "registry.example", "3"},
	} {
		now = now.Add(step.wait)
		got, err := provider(context.Background(), step.host, nil, after(4*time.Minute))
		if err != nil || got.Password != step.want {
			t.Errorf("step %d: password %q, %v, want %q", i, got.Password, err, step.want)
		}
	}
	got, err := provider(context.Background(), "registry.example", nil, nil)
	if err != nil || got.Password != "4" {
		t.Errorf("without a check: password %q, %v", got.Password, err)
	}
}
