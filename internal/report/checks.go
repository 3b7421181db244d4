package report

import (
	"errors"
	"io"

	"github.com/hullwright/hullwright/internal/ci"
	"github.com/hullwright/hullwright/internal/cli"
	"github.com/hullwright/hullwright/internal/doctor"
)

// Checks shows what was found before a build: on w for people, and in the CI
// system as [Noticed] does.
func Checks(env *cli.Env, w io.Writer, r doctor.Report) error {
	if err := Inert(env, r).Text(w); err != nil {
		return err
	}
	return Noticed(env, r)
}

// Inert is what was found, with nothing in it that the CI system would obey, and
// no secret.
func Inert(env *cli.Env, r doctor.Report) doctor.Report {
	return r.Clean(func(s string) string { return ci.Inert(env.CI, env.Secrets.Hide(s)) })
}

// Noticed shows in the CI system's own way what was found: a notice for every
// error, and on the job's page a table of what needs something done.
func Noticed(env *cli.Env, r doctor.Report) error {
	r = Inert(env, r)
	if noticer, ok := env.CI.(ci.Noticer); ok {
		for _, f := range r.Findings {
			if f.Severity == doctor.Failure {
				noticer.Notice(ci.Notice{Level: ci.Failure, Title: "doctor: " + f.ID, Message: f.String()})
			}
		}
	}
	summarizer, ok := env.CI.(ci.Summarizer)
	if !ok || r.Count(doctor.Failure)+r.Count(doctor.Warning) == 0 {
		return nil
	}
	err := summarizer.Summary(r.Markdown(escape))
	var inexpressible *ci.Inexpressible
	if errors.As(err, &inexpressible) {
		return nil // a runner without a page
	}
	return err
}
