package buildpush

import (
	"strconv"
	"strings"
)

// Report are the inputs of what a run tells and keeps.
type Report struct {
	MetadataFile       string `group:"what is told and kept" env:"METADATA-FILE" placeholder:"FILE" help:"File that receives the metadata output."`
	HTMLReport         string `env:"HTML-REPORT" placeholder:"FILE" help:"File that receives a report of the build, failed ones too: one HTML page with a timeline, which needs no network."`
	Summary            bool   `env:"SUMMARY" also:"DOCKER_BUILD_SUMMARY" envDefault:"true" help:"Write a summary to the job's page, where the CI system has one."`
	Progress           string `env:"PROGRESS" also:"BUILDKIT_PROGRESS" envDefault:"auto" choices:"auto tty plain quiet rawjson" help:"How the build is shown while it runs: tty is live on a terminal, rawjson is BuildKit's own news as JSON lines. auto is tty where a person watches a terminal, else plain."`
	MetadataProvenance string `env:"METADATA-PROVENANCE" also:"BUILDX_METADATA_PROVENANCE" envDefault:"min" placeholder:"MODE" help:"Provenance that the metadata output shows: min, max or false. It is there whether or not it is attested."`
	MetadataWarnings   bool   `env:"METADATA-WARNINGS" also:"BUILDX_METADATA_WARNINGS" envDefault:"true" help:"Show the build's warnings in the metadata output."`
	IIDFile            string `env:"IIDFILE" placeholder:"FILE" help:"File that receives the image id."`
	ChecksNotices      bool   `env:"CHECKS-NOTICES" also:"DOCKER_BUILD_CHECKS_ANNOTATIONS" envDefault:"true" help:"Mark what build checks find in the Dockerfile: in the CI system's own view of the code where it has one, else as lines of the log."`
	LintReport         string `env:"LINT-REPORT" placeholder:"FILE" help:"File that receives what build checks find: FILE.sarif is SARIF, FILE.json is GitLab's Code Quality."`
	Logs               string `env:"LOGS" placeholder:"PATH" help:"File, or directory for a file a step, that receives all that the steps print, while they run. A builder that is made for this run then does not clip a step's output."`
	BuildRecord        string `env:"BUILD-RECORD" placeholder:"FILE" help:"File that receives the build record, as FILE.dockerbuild, which Docker Desktop opens. It holds logs and build arguments."`
}

// giveOutputs hands on what there is, also after a failure: a later step may
// need the digest of an index whose tags were denied.
func (j *job) giveOutputs() error {
	var pushed []string
	for _, t := range j.tags {
		if t.Stands() {
			pushed = append(pushed, t.Tag)
		}
	}
	outputs := [][2]string{
		{"version", j.version},
		{"tags", strings.Join(pushed, "\n")},
		{"pushed", strconv.FormatBool(len(j.pushed) > 0)},
	}
	digests, err := j.pushOutputs()
	if err != nil {
		return err
	}
	outputs = append(outputs, digests...)
	if j.builder != nil {
		outputs = append(outputs, [2]string{"builder", j.builder.Name})
	}
	if j.built {
		metadata, err := j.metadata()
		if err != nil {
			return err
		}
		outputs = append(outputs,
			[2]string{"imageid", j.result.ImageID()},
			[2]string{"digest", j.result.ImageDigest()},
			[2]string{"metadata", string(metadata)},
			[2]string{"cache-exported", strconv.FormatBool(len(j.request.CacheTo) > 0 && j.result.Summary.CacheExportError() == "")},
		)
	}
	for _, o := range outputs {
		if err := j.env.Output(o[0], o[1]); err != nil {
			return err
		}
	}
	return nil
}
