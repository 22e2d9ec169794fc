package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"al.essio.dev/pkg/shellescape"

	"egress.scw/bootstrap/config"
)

// egressFile is the egress.yaml of a run of init.
type egressFile struct {
	path string
	text []byte
	// write is whether the text differs from the file.
	write bool
}

func (f egressFile) save() error {
	if !f.write {
		return nil
	}
	return writeOutput(f.path, f.text, modePublic)
}

// readEgress returns the existing egress.yaml, or a new one from the answers. An
// existing file is only overwritten with --force.
func (r *initRun) readEgress(ctx context.Context) (egressFile, error) {
	file := egressFile{path: r.program.options.config}
	old, err := readOutput(file.path)
	if err == nil {
		err = checkWritable(file.path)
	}
	if err != nil {
		return file, fmt.Errorf("--config: %s: %w", file.path, err)
	}
	exists := len(bytes.TrimSpace(old)) > 0
	questions := r.options.answers.questions(r.credentials.ProjectID)
	asked := slices.ContainsFunc(questions, func(q question) bool { return r.changed(q.flag) })
	switch {
	case !exists && r.options.rotate:
		return file, fmt.Errorf("--config: the file %s does not exist: --rotate needs that of the stack", file.path)
	case exists && !asked:
		r.note("keeping %s", file.path)
		file.text = old
		return file, r.askForKey(ctx)
	}
	if interactive := r.terminals.stdin && (!exists || r.options.force); interactive {
		err = r.interview(ctx, questions)
	} else {
		r.takeDefaults(questions)
	}
	if err != nil {
		return file, err
	}
	if file.text, err = r.options.answers.render(); err != nil {
		return file, err
	}
	file.write = !bytes.Equal(old, file.text)
	if exists && file.write && !r.options.force {
		return file, fmt.Errorf("--config: %s exists, and differs from the flags: leave them out to keep the file, or use --force to overwrite it", file.path)
	}
	return file, r.askForKey(ctx)
}

// takeDefaults answers the questions that no flag answers.
func (r *initRun) takeDefaults(questions []question) {
	for _, q := range questions {
		if q.fallback != nil && !r.changed(q.flag) {
			*q.value = q.fallback()
		}
	}
}

// interview asks the questions that no flag answers, each until egress.yaml is valid
// with the answer. Wrong flags end it before the first question.
func (r *initRun) interview(ctx context.Context, questions []question) error {
	if err := r.try(0); err != nil {
		return err
	}
	for i, q := range questions {
		if r.changed(q.flag) {
			continue
		}
		if q.fallback != nil {
			*q.value = q.fallback()
		}
		otherwise, wrong := *q.value, errUnanswered
		for wrong != nil {
			answer, err := r.asker.answer(ctx, q.text, otherwise)
			if err != nil {
				return err
			}
			if wrong = errUnanswered; answer != "" {
				*q.value = answer
				wrong = r.try(i + 1)
			}
			for _, text := range r.withoutLines(wrong) {
				r.note("  %s", text)
			}
		}
	}
	return nil
}

var errUnanswered = errors.New("an answer is required")

// try returns everything that is wrong with an egress.yaml that has the answers to the
// first questions, and defaults for the others.
func (r *initRun) try(answered int) error {
	trial := r.options.answers
	for i, q := range trial.questions(r.credentials.ProjectID) {
		if i >= answered && q.fallback != nil && !r.changed(q.flag) {
			*q.value = cmp.Or(q.fallback(), q.example)
		}
	}
	text, err := trial.render()
	if err != nil {
		return err
	}
	loaded, invalid := config.Load(r.program.options.config, text)
	if loaded == nil {
		return invalid
	}
	return errors.Join(invalid, r.checkAllPlaces(loaded, invalid))
}

// withoutLines returns the messages of an error about a file that is not written yet,
// without the file and the numbers of its lines.
func (r *initRun) withoutLines(err error) []string {
	all := messages(err)
	for i := range all {
		if line, ok := strings.CutPrefix(all[i], r.program.options.config+":"); ok {
			_, all[i], _ = strings.Cut(line, ": ")
		}
	}
	return all
}

// askForKey asks whether to create an API key, unless a flag answers that.
func (r *initRun) askForKey(ctx context.Context) error {
	if !r.terminals.stdin || r.options.rotate || r.changed("create-key") {
		return nil
	}
	yes, err := r.asker.yes(ctx, "Create an IAM application with an API key that has only the permissions of this stack?")
	r.options.createKey = yes
	return err
}

var errNotInEnv = errors.New("has no API key: --rotate replaces the one in this file; --create-key creates one")

// initText is the readable form of the result of init.
func initText(egress egressFile, env, access, config string) string {
	kept := map[bool]string{true: "written", false: "kept"}
	var text strings.Builder
	text.WriteString(columns([][]string{
		{egress.path, kept[egress.write]},
		{env, "mode 0600, API key " + access},
	}))
	text.WriteString("\nNext: load the credentials, and show the changes\n")
	fmt.Fprintf(&text, "  set -a; . %s; set +a\n", shellescape.Quote(sourced(env)))
	text.WriteString("  bootstrap plan --config " + shellescape.Quote(config) + "\n")
	return text.String()
}

// sourced returns a path that the command "." of a shell does not look for in PATH.
func sourced(path string) string {
	if strings.Contains(path, "/") {
		return path
	}
	return "./" + path
}
