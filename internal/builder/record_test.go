package builder

import (
	"bytes"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/hullwright/hullwright/internal/ci"
)

// A secret is overwritten wherever reads cut it, and nothing changes its place.
func TestBlot(t *testing.T) {
	long := strings.Repeat("0123456789abcdef", 10<<10) // more than is read at one time
	secrets := new(ci.Secrets)
	secrets.Add("hunter22")
	secrets.Add(long)
	stars := func(s string) string { return strings.Repeat("*", len(s)) }
	near := strings.Repeat("x", 64<<10-3)
	for name, c := range map[string]struct{ in, want string }{
		"none":           {"text", "text"},
		"empty":          {"", ""},
		"one":            {"a hunter22 b", "a ******** b"},
		"cut by a read":  {near + "hunter22" + near, near + "********" + near},
		"at the end":     {near + "hunter22", near + "********"},
		"begins and not": {near + "hunter", near + "hunter"},
		"very long":      {"a" + long + "b" + long[:70<<10], "a" + stars(long) + "b" + long[:70<<10]},
	} {
		var out bytes.Buffer
		if err := blot(&out, strings.NewReader(c.in), secrets); err != nil {
			t.Fatal(err)
		}
		if out.String() != c.want {
			t.Errorf("%s: %d bytes, want %d: %.40q", name, out.Len(), len(c.want), out.String())
		}
	}
	if err := blot(&bytes.Buffer{}, iotest.ErrReader(iotest.ErrTimeout), secrets); err != iotest.ErrTimeout {
		t.Errorf("error %v", err)
	}
	var out bytes.Buffer
	if err := blot(&out, strings.NewReader("hunter22"), nil); err != nil || out.String() != "hunter22" {
		t.Errorf("without secrets: %q, %v", out.String(), err)
	}
}

func TestScrub(t *testing.T) {
	got := scrub(map[string]any{
		"cmd":  "build --cache-to type=gha,token=abc,ghtoken=def --cache-from type=s3,secret_access_key=x,bucket=b",
		"list": []any{"ghs_" + strings.Repeat("a", 36), map[string]any{"k": "github_pat_" + strings.Repeat("b", 82)}, 1.0, nil},
	})
	want := map[string]any{
		"cmd":  "build --cache-to type=gha,token=xxxxx,ghtoken=xxxxx --cache-from type=s3,secret_access_key=xxxxx,bucket=b",
		"list": []any{"xxxxx", map[string]any{"k": "xxxxx"}, 1.0, nil},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWithoutCredentials(t *testing.T) {
	got := withoutCredentials(`[{"Type":"gha","Attrs":{"scope":"a","token":"t","url":"u"}},{"Type":"registry","Attrs":{"ref":"r"}}]`)
	if want := `[{"Type":"gha","Attrs":{"scope":"a"}},{"Type":"registry","Attrs":{"ref":"r"}}]`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := withoutCredentials("token=t"); got != "" {
		t.Errorf("what is no list is kept: %q", got)
	}
}
