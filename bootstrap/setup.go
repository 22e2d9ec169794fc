package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"egress.scw/bootstrap/config"
	"egress.scw/bootstrap/stack"
)

// setup is a set-up that a command works on.
type setup struct {
	config *config.Egress
	spec   stack.Spec
	// file is the configuration file as it was named.
	file  string
	cloud stack.Cloud
}

// kubeconfigFile and valuesFile are where outputs are written: relative paths
// begin at the folder of egress.yaml.
func (s *setup) kubeconfigFile() string { return s.besideConfig(s.config.Outputs.Kubeconfig) }

func (s *setup) valuesFile() string { return s.besideConfig(s.config.Outputs.Values) }

func (s *setup) besideConfig(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(s.file), path)
}

// command is how a command is called for this set-up.
func (s *setup) command(name string) string {
	return "bootstrap " + name + " --config " + shellWord(s.file)
}

// connect finds everything that is wrong and can be known without asking
// anybody, before it turns to Scaleway.
func (p *program) connect(ctx context.Context, further ...func(*setup) error) (*setup, error) {
	errs := []error{p.options.validate()}
	config, invalid := readConfig(p.options.config)
	errs = append(errs, invalid)
	if config != nil {
		errs = append(errs, p.checkPlaces(config, invalid))
	}
	account, err := p.login()
	errs = append(errs, err)
	project := ""
	if account != nil {
		project = account.project
	}
	if account != nil && config != nil && project == "" && config.Project == "" {
		errs = append(errs, fmt.Errorf("%s: project: is required, because the credentials name none: set it, or SCW_DEFAULT_PROJECT_ID", p.options.config))
	}
	s := &setup{config: config, file: p.options.config}
	if invalid == nil {
		s.spec, err = stack.NewSpec(config, project)
		if err != nil {
			return nil, err
		}
		for _, check := range further {
			errs = append(errs, check(s))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	p.note("looking at what exists of %s (project %s, %s)", s.spec.Name, s.spec.Project, s.spec.Zone)
	s.cloud, err = account.connect(ctx, s.spec)
	return s, err
}

// readConfig reads egress.yaml. There may be an error and a configuration, in
// which only values are wrong.
func readConfig(file string) (*config.Egress, error) {
	data, err := os.ReadFile(filepath.Clean(file))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("--config: there is no file %s: start from bootstrap/egress.example.yaml", file)
	}
	if err != nil {
		return nil, fmt.Errorf("--config: %w", err)
	}
	return config.LoadEgress(file, data)
}

// checkPlaces has zones and regions looked up, unless they are wrong in a way
// that is reported already.
func (p *program) checkPlaces(egress *config.Egress, problem error) error {
	wrong := func(field string) bool {
		problems, ok := errors.AsType[*config.ConfigError](problem)
		return ok && slices.ContainsFunc(problems.Problems, func(p config.ConfigProblem) bool { return p.Field == field })
	}
	zone, region := egress.Zone, egress.Region
	if wrong("zone") {
		zone = ""
	}
	if wrong("region") || zone == "" {
		region = ""
	}
	return p.checkPlace(zone, region)
}

// note tells whoever waits what happens.
func (p *program) note(format string, args ...any) {
	fmt.Fprintf(p.stderr, format+"\n", args...)
}

// shellWord quotes a word for a shell, if that is necessary.
func shellWord(word string) string {
	safe := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:=@,+", r)
	}
	if word != "" && strings.IndexFunc(word, func(r rune) bool { return !safe(r) }) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
