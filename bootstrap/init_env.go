package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strings"

	"al.essio.dev/pkg/shellescape"
	"sigs.k8s.io/yaml"

	"egress.scw/bootstrap/scaleway"
)

// Names of the variables with the keys.
const (
	accessKeyVariable = "SCW_ACCESS_KEY"
	secretKeyVariable = "SCW_SECRET_KEY" //nolint:gosec // the name of a variable
	projectVariable   = "SCW_DEFAULT_PROJECT_ID"
)

// envFile is a file of environment variables that a shell reads.
type envFile struct {
	path string
	// text is nil if the file is missing.
	text []byte
}

// readEnvFile reads the file for the credentials, which may be missing, and checks that
// it can be written.
func (r *initRun) readEnvFile() (envFile, error) {
	file := envFile{path: r.envPath()}
	if r.options.output == outputSecret {
		return file, nil
	}
	text, err := readOutput(file.path)
	if err == nil {
		err = checkWritable(file.path)
	}
	if err == nil && r.options.rotate && (envFile{text: text}).get(accessKeyVariable) == "" {
		err = errNotInEnv
	}
	if err != nil {
		return file, fmt.Errorf("--env-file: %s: %w", file.path, err)
	}
	file.text = text
	return file, nil
}

// assignment matches the assignments of a variable.
func assignment(variable string) *regexp.Regexp {
	return regexp.MustCompile(`(?m)^([ \t]*(?:export[ \t]+)?` + variable + `=)(.*)$`)
}

// get returns the value of a variable, or "" if it is not set. Of several assignments
// the last one counts, as in a shell.
func (f envFile) get(variable string) string {
	all := assignment(variable).FindAllSubmatch(f.text, -1)
	if len(all) == 0 {
		return ""
	}
	value := strings.TrimSpace(string(all[len(all)-1][2]))
	return strings.Trim(value, `"'`)
}

// with returns the text of the file with the credentials. All other lines stay as they
// are.
func (f envFile) with(credentials scaleway.Credentials) []byte {
	text := f.text
	if len(bytes.TrimSpace(text)) == 0 {
		text = []byte("# Credentials for bootstrap, written by bootstrap init. Never commit this file.\n" +
			"# Load it: set -a; . ./.env; set +a\n")
	}
	for _, variable := range credentials.Variables() {
		name, value := variable[0], []byte(shellescape.Quote(variable[1]))
		if pattern := assignment(name); pattern.Match(text) {
			text = pattern.ReplaceAllFunc(text, func(match []byte) []byte {
				return append(append([]byte{}, pattern.FindSubmatch(match)[1]...), value...)
			})
			continue
		}
		if !bytes.HasSuffix(text, []byte("\n")) {
			text = append(bytes.Clone(text), '\n')
		}
		text = append(bytes.Clone(text), name+"="+string(value)+"\n"...)
	}
	return text
}

// save replaces the file, which only its owner may read from the beginning.
func (f envFile) save(text []byte) error {
	if err := writeOutput(f.path, text, modeSecret); err != nil {
		return fmt.Errorf("--env-file: %s: %w", f.path, err)
	}
	return nil
}

// restore writes the text that was read, or removes a file that was missing.
func (f envFile) restore() error {
	if f.text != nil {
		return f.save(f.text)
	}
	if err := os.Remove(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("--env-file: %s: %w", f.path, plain(err))
	}
	return nil
}

// credentialsIn returns the credentials in a file.
func (r *initRun) credentialsIn(f envFile) (scaleway.Credentials, error) {
	credentials, err := r.enterKey(f.get(accessKeyVariable), f.get(secretKeyVariable), f.get(projectVariable))
	if err != nil {
		return credentials, fmt.Errorf("--env-file: %s: %w", f.path, err)
	}
	return credentials, nil
}

// secretName returns the name of the Kubernetes Secret of a stack.
func secretName(stackName string) string { return "egress-" + stackName + "-bootstrap" }

// secretManifest returns a Kubernetes Secret with the credentials.
func secretManifest(name, namespace string, credentials scaleway.Credentials) ([]byte, error) {
	data := map[string]string{}
	for _, variable := range credentials.Variables() {
		data[variable[0]] = variable[1]
	}
	return yaml.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Secret", "type": "Opaque",
		"metadata":   map[string]any{"name": name, "namespace": namespace},
		"stringData": data,
	})
}
