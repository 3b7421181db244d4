package input

import (
	"errors"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hullwright/hullwright/internal/errdefs"
)

var update = flag.Bool("update", false, "rewrite golden files")

type Shared struct {
	Provider string `env:"PROVIDER" choices:"github gitlab git" help:"CI system."`
}

type options struct {
	Shared
	Context   string        `env:"CONTEXT" envDefault:"." arg:"PATH" help:"Build context: a directory, or a git repository's address with a ref and a directory in it."`
	Tags      Words         `env:"TAGS" help:"Full references to push."`
	Labels    Lines         `env:"LABELS" comments:"true" help:"Labels, one a line."`
	CacheFrom Records       `env:"CACHE-FROM" help:"Cache sources, one a line."`
	Outputs   Records       `env:"OUTPUTS" quotes:"keep" help:"Outputs, one a line."`
	Opts      []string      `env:"DRIVER-OPTS" quotes:"keep" help:"Options, one a line."`
	Push      bool          `env:"PUSH" envDefault:"false" help:"Push the index."`
	Cleanup   bool          `env:"CLEANUP" envDefault:"true" help:"Remove the builder."`
	Retries   int           `env:"RETRIES" envDefault:"3" help:"Retries."`
	Sbom      string        `env:"SBOM" bare:"true" placeholder:"BOOL" help:"Bill of materials: true, false or a generator."`
	Timeout   time.Duration `env:"TIMEOUT" placeholder:"TIME" help:"Time for the whole."`
	SepTags   Text          `env:"SEP-TAGS" envDefault:"\n" help:"Separator."`
	Token     string        `env:"GITHUB-TOKEN" also:"GITHUB_TOKEN CI_JOB_TOKEN" help:"Token."`
	Secrets   Secrets       `env:"SECRETS" help:"Secrets, one a line."`
	Version   string        `env:"VERSION" flag:"none" help:"Version of another program."`
}

func defaults(change func(*options)) options {
	o := options{Context: ".", Cleanup: true, Retries: 3, SepTags: "\n"}
	if change != nil {
		change(&o)
	}
	return o
}

func TestBind(t *testing.T) {
	tests := map[string]struct {
		environ map[string]string
		args    []string
		want    func(*options)
	}{
		"defaults": {},
		"blank is unset": {
			environ: map[string]string{"INPUT_CONTEXT": "", "INPUT_RETRIES": " \n", "HULLWRIGHT_CLEANUP": "", "INPUT_SEP-TAGS": ""},
			args:    []string{"--tags=", "--context", " "},
		},
		"hyphens in the environment":     {environ: map[string]string{"INPUT_CACHE-FROM": "a"}, want: cacheFrom("a")},
		"underscores in the environment": {environ: map[string]string{"INPUT_CACHE_FROM": "a"}, want: cacheFrom("a")},
		"a shell's environment":          {environ: map[string]string{"HULLWRIGHT_CACHE_FROM": "a"}, want: cacheFrom("a")},
		"no other name":                  {environ: map[string]string{"CACHE_FROM": "a", "HULLWRIGHT_CACHE-FROM": "a", "input_cache-from": "a"}},
		"precedence of names": {
			environ: map[string]string{"INPUT_CACHE-FROM": " ", "INPUT_CACHE_FROM": "b", "HULLWRIGHT_CACHE_FROM": "c"},
			want:    cacheFrom("b"),
		},
		"an older name": {
			environ: map[string]string{"CI_JOB_TOKEN": "t"},
			want:    func(o *options) { o.Token = "t" },
		},
		"the first of older names": {
			environ: map[string]string{"CI_JOB_TOKEN": "t", "GITHUB_TOKEN": "g"},
			want:    func(o *options) { o.Token = "g" },
		},
		"flag beats environment": {
			environ: map[string]string{"INPUT_RETRIES": "4", "INPUT_TIMEOUT": "1s"},
			args:    []string{"--retries", "5"},
			want:    func(o *options) { o.Retries, o.Timeout = 5, time.Second },
		},
		"a flag's forms": {
			args: []string{"--push", "--cleanup=FALSE", "--timeout=1m", "--provider", "git"},
			want: func(o *options) { o.Push, o.Cleanup, o.Timeout, o.Provider = true, false, time.Minute, "git" },
		},
		"a flag that may be bare": {
			args: []string{"--sbom", "dir"},
			want: func(o *options) { o.Sbom, o.Context = "true", "dir" },
		},
		"a flag that may be bare, with a value": {
			args: []string{"--sbom=generator=x"},
			want: func(o *options) { o.Sbom = "generator=x" },
		},
		"a list's flag again": {
			args: []string{"--tags", "a,b", "--tags=c", "--labels=x=1,2", "--labels", "y=\"q"},
			want: func(o *options) {
				o.Tags, o.Labels = Words{"a", "b", "c"}, Lines{"x=1,2", `y="q`}
			},
		},
		"another's flag again":    {args: []string{"--retries=1", "--retries=2"}, want: func(o *options) { o.Retries = 2 }},
		"an argument":             {args: []string{"--push", "dir", "--retries=1"}, want: func(o *options) { o.Push, o.Context, o.Retries = true, "dir", 1 }},
		"standard input":          {args: []string{"-"}, want: func(o *options) { o.Context = "-" }},
		"after the end of flags":  {args: []string{"--", "--push"}, want: func(o *options) { o.Context = "--push" }},
		"a value like a flag":     {args: []string{"--context=--push"}, want: func(o *options) { o.Context = "--push" }},
		"a value with a hyphen":   {args: []string{"--retries", "-1"}, want: func(o *options) { o.Retries = -1 }},
		"a value that holds =":    {args: []string{"--context=a=b"}, want: func(o *options) { o.Context = "a=b" }},
		"comments":                {environ: map[string]string{"INPUT_LABELS": "# all\na=1"}, want: func(o *options) { o.Labels = Lines{"a=1"} }},
		"values are trimmed":      {environ: map[string]string{"INPUT_CONTEXT": " dir \n", "INPUT_PUSH": " true\n"}, want: func(o *options) { o.Context, o.Push = "dir", true }},
		"text is not trimmed":     {environ: map[string]string{"INPUT_SEP-TAGS": " "}, want: func(o *options) { o.SepTags = " " }},
		"secrets are not trimmed": {environ: map[string]string{"HULLWRIGHT_SECRETS": "a= b \nc=d"}, want: func(o *options) { o.Secrets = Secrets{"a= b ", "c=d"} }},
		"an action's alone":       {environ: map[string]string{"INPUT_VERSION": "v1"}, want: func(o *options) { o.Version = "v1" }},
		"records": {
			environ: map[string]string{"INPUT_CACHE-FROM": "type=gha\n\n TYPE=registry , ref = r=x "},
			want: func(o *options) {
				o.CacheFrom = Records{
					{Line: 1, Text: "type=gha", Fields: []Field{{"type", "gha"}}},
					{Line: 3, Text: "TYPE=registry , ref = r=x", Fields: []Field{{"type", "registry"}, {"ref", "r=x"}}},
				}
			},
		},
		"a plain list": {
			environ: map[string]string{"INPUT_DRIVER-OPTS": "\"env.A=b,c\"\nimage=x"},
			want:    func(o *options) { o.Opts = []string{`"env.A=b,c"`, "image=x"} },
		},
		"records that keep quotes": {
			environ: map[string]string{"INPUT_OUTPUTS": `type=image,"name=a,b"`},
			want: func(o *options) {
				o.Outputs = Records{{Line: 1, Text: `type=image,"name=a,b"`, Fields: []Field{{"type", "image"}, {"name", "a,b"}}}}
			},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var got options
			if err := Bind(&got, tt.environ, tt.args); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(defaults(tt.want), got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func cacheFrom(text string) func(*options) {
	return func(o *options) { o.CacheFrom = Records{{Line: 1, Text: text, Fields: []Field{{"", text}}}} }
}

func TestBindBooleans(t *testing.T) {
	for text, want := range map[string]bool{
		"true": true, "True": true, "TRUE": true, "1": true, "t": true, "T": true,
		"false": false, "False": false, "FALSE": false, "0": false, "f": false, "F": false,
	} {
		got := options{Push: !want}
		if err := Bind(&got, map[string]string{"INPUT_PUSH": text}, nil); err != nil || got.Push != want {
			t.Errorf("push %q: %v, error %v, want %v", text, got.Push, err, want)
		}
	}
}

func TestBindFaults(t *testing.T) {
	tests := map[string]struct {
		environ map[string]string
		args    []string
		want    []string // message | hint
	}{
		"an unknown flag":          {args: []string{"--cahce-form", "x"}, want: []string{`unknown flag --cahce-form|did you mean --cache-from?`}},
		"an unknown flag's value":  {args: []string{"--cahce-form=x"}, want: []string{`unknown flag --cahce-form|did you mean --cache-from?`}},
		"a flag like none":         {args: []string{"--zebra"}, want: []string{`unknown flag --zebra|--help lists the flags`}},
		"one hyphen":               {args: []string{"-push"}, want: []string{`unknown flag -push|did you mean --push?`}},
		"an underscore":            {args: []string{"--cache_from=x"}, want: []string{`unknown flag --cache_from|did you mean --cache-from?`}},
		"a secret on the line":     {args: []string{"--secrets", "hush"}, want: []string{`unknown flag --secrets|a command line is not private: set HULLWRIGHT_SECRETS`}},
		"what no flag gives":       {args: []string{"--version=v1"}, want: []string{`unknown flag --version|--help lists the flags`}},
		"no value":                 {args: []string{"--retries"}, want: []string{`input "--retries": has no value|write --retries=N`}},
		"a flag for a value":       {args: []string{"--context", "--push"}, want: []string{`input "--context": has no value|write --context=VALUE`}},
		"a bool's value apart":     {args: []string{"--push", "false"}, want: []string{`input "--push": "false" after a space is not its value|write --push=false`}},
		"an argument too many":     {args: []string{"a", "b"}, want: []string{`unexpected argument "b"|inputs are given as --name=value; --help lists them`}},
		"an argument and its flag": {args: []string{"a", "--context=b"}, want: []string{`input "PATH": given twice, as an argument and as --context|`}},
		"a choice":                 {environ: map[string]string{"INPUT_PROVIDER": "githbu"}, want: []string{`input "provider": unknown value "githbu"|one of github, gitlab, git`}},
		"a list's line": {
			environ: map[string]string{"HULLWRIGHT_CACHE_FROM": "type=gha\na,b\"c"},
			want:    []string{`input "cache-from" line 2: column 4: bare " in non-quoted-field|a field that holds a comma or a quote is written "key=value", with "" for a quote within`},
		},
		"an unclosed quote": {
			args: []string{"--tags", "a", "--tags", `"b`},
			want: []string{`input "--tags" line 2: a quote is not closed|close it, or begin the entry with another character; within quotes, "" is one quote`},
		},
		"all at once": {
			environ: map[string]string{"INPUT_PUSH": "yes", "INPUT_CLEANUP": "on", "INPUT_TIMEOUT": "5"},
			args:    []string{"--retries=x", "--puhs", "--nothing"},
			want: []string{
				`unknown flag --puhs|did you mean --push?`,
				`unknown flag --nothing|--help lists the flags`,
				`input "push": "yes" is neither true nor false|`,
				`input "cleanup": "on" is neither true nor false|`,
				`input "--retries": "x" is no whole number|`,
				`input "timeout": "5" is no duration|a number and its unit, as 90s or 5m`,
			},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			err := Bind(new(options), tt.environ, tt.args)
			var got []string
			for _, e := range errdefs.List(err) {
				got = append(got, e.Error()+"|"+strings.Join(errdefs.Hints(e), "|"))
				if errdefs.KindOf(e) != errdefs.BadInput {
					t.Errorf("%v is no bad input", e)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if err != nil && strings.Contains(err.Error(), "hush") {
				t.Errorf("%v tells a secret", err)
			}
		})
	}
}

func TestBindNamesOlderName(t *testing.T) {
	var o struct {
		Length int `env:"SHORT-SHA-LENGTH" also:"DOCKER_METADATA_SHORT_SHA_LENGTH" help:"Length."`
	}
	err := Bind(&o, map[string]string{"DOCKER_METADATA_SHORT_SHA_LENGTH": "x"}, nil)
	var bad *errdefs.Error
	if !errors.As(err, &bad) || bad.Input != "DOCKER_METADATA_SHORT_SHA_LENGTH" {
		t.Errorf("%v, want it under the name that was used", err)
	}
}

func TestDescribe(t *testing.T) {
	inputs := Describe(options{})
	var names []string
	for _, in := range inputs {
		names = append(names, in.Name)
	}
	want := "provider context tags labels cache-from outputs driver-opts push cleanup retries sbom timeout sep-tags github-token secrets version"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("inputs\n got %s\nwant %s", got, want)
	}
	byName := func(name string) Input { return inputs[slices.Index(names, name)] }
	if got, want := byName("github-token"), (Input{
		Name: "github-token",
		Env:  []string{"INPUT_GITHUB-TOKEN", "INPUT_GITHUB_TOKEN", "HULLWRIGHT_GITHUB_TOKEN", "GITHUB_TOKEN", "CI_JOB_TOKEN"},
		Help: "Token.", Placeholder: "VALUE", Type: "string",
	}); !cmp.Equal(got, want) {
		t.Error(cmp.Diff(want, got))
	}
	if got, want := byName("context"), (Input{
		Name: "context", Env: []string{"INPUT_CONTEXT", "HULLWRIGHT_CONTEXT"}, Default: ".", Arg: "PATH",
		Help: inputs[1].Help, Placeholder: "VALUE", Type: "string",
	}); !cmp.Equal(got, want) {
		t.Error(cmp.Diff(want, got))
	}
	if got := byName("secrets").Flag(); got != "" {
		t.Errorf("secrets have the flag %q, want none", got)
	}
}

func TestDescribePanics(t *testing.T) {
	for name, opts := range map[string]any{
		"no help": struct {
			A string `env:"A"`
		}{},
		"a type of no kind": struct {
			A float64 `env:"A" help:"."`
		}{},
		"lower case": struct {
			A string `env:"a" help:"."`
		}{},
		"an underscore": struct {
			A string `env:"A_B" help:"."`
		}{},
		"a name twice": struct {
			A string `env:"A" help:"."`
			B string `env:"B" also:"INPUT_A" help:"."`
		}{},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			Describe(opts)
		})
	}
}

func TestHelp(t *testing.T) {
	got := Help(Describe(options{}))
	const golden = "testdata/help.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("(-want +got), -update rewrites:\n%s", diff)
	}
}

func TestHelpGroups(t *testing.T) {
	type grouped struct {
		A      string `group:"first" env:"A" help:"First."`
		B      bool   `env:"B" help:"Second."`
		Shared `group:"second"`
		D      bool `group:"third" env:"D" help:"Fourth."`
	}
	var got []string
	for _, in := range Describe(grouped{}) {
		got = append(got, in.Name+" in "+in.Group)
	}
	want := []string{"a in first", "b in first", "provider in second", "d in third"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, heading := range []string{"\nfirst:\n  --a VALUE\n", "\nsecond:\n  --provider", "\nthird:\n  --d\n"} {
		if !strings.Contains(Help(Describe(grouped{})), heading) {
			t.Errorf("no %q in\n%s", heading, Help(Describe(grouped{})))
		}
	}
}

func FuzzBind(f *testing.F) {
	f.Add("--tags=a\x00--push\x00--\x00x", "a,\"b")
	f.Add("--retries\x00-1\x00-", "")
	f.Fuzz(func(t *testing.T, args, value string) {
		environ := map[string]string{"INPUT_CACHE-FROM": value, "INPUT_PROVIDER": value, "INPUT_TIMEOUT": value}
		for _, e := range errdefs.List(Bind(new(options), environ, strings.Split(args, "\x00"))) {
			if errdefs.KindOf(e) != errdefs.BadInput {
				t.Errorf("%q %q: %v is no bad input", args, value, e)
			}
		}
	})
}
