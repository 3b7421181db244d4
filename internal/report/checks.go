package report

import (
	"errors"
	"io"

	"github.com/hullwright/hullwright/internal/ci"
	"github.com/hullwright/hullwright/internal/cli"
	"github.com/hullwright/hullwright/internal/doctor"
)

// Checks shows what was found before a build: on w for people, and in the CI
// system a notice for every error, and a table on the job's page of what needs
// something done.
func Checks(env *cli.Env, w io.Writer, r doctor.Report) error {
	clean := func(s string) string { return ci.Inert(env.CI, env.Secrets.Hide(s)) }
	if err := r.Text(w, clean); err != nil {
		return err
	}
	return Noticed(env, r)
}

// Noticed is Checks without the text.
func Noticed(env *cli.Env, r doctor.Report) error {
	clean := func(s string) string { return ci.Inert(env.CI, env.Secrets.Hide(s)) }
	if noticer, ok := env.CI.(ci.Noticer); ok {
		for _, f := range r.Findings {
			if f.Severity == doctor.Failure {
				noticer.Notice(ci.Notice{Level: ci.Failure, Title: "doctor: " + f.ID, Message: clean(f.String())})
			}
		}
	}
	summarizer, ok := env.CI.(ci.Summarizer)
	if !ok || r.Count(doctor.Failure)+r.Count(doctor.Warning) == 0 {
		return nil
	}
	err := summarizer.Summary(r.Markdown(func(s string) string { return escape(clean(s)) }))
	var inexpressible *ci.Inexpressible
	if errors.As(err, &inexpressible) {
		return nil // a runner without a page
	}
	return err
}
