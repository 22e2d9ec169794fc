package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"egress.scw/bootstrap/config"
	"egress.scw/bootstrap/scwfake"
)

// newEmptySite is a site whose folder is empty.
func newEmptySite(t testing.TB, options scwfake.Options) *site {
	t.Helper()
	s := newSite(t, "", options)
	if err := os.Remove(filepath.Join(s.dir, "egress.yaml")); err != nil {
		t.Fatal(err)
	}
	return s
}

// inEnv returns the credentials in a file of the site.
func (s *site) inEnv(t testing.TB, name string) envFile {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return envFile{name, text}
}

// runWithEnv runs the program with the credentials in .env.
func (s *site) runWithEnv(t testing.TB, args ...string) (code int, output string) {
	t.Helper()
	env := s.inEnv(t, ".env")
	return s.user(env.get(accessKeyVariable), env.get(secretKeyVariable)).run(t, args...)
}

// TestInitWithoutTerminal requires files that the other commands accept, and that are
// not overwritten without --force.
func TestInitWithoutTerminal(t *testing.T) {
	t.Parallel()
	s := newEmptySite(t, scwfake.Options{})
	output := s.mustRun(t, "init", "--zone", "nl-ams-1", "--tenants", "shop,billing")
	if !strings.Contains(output, "Scaleway accepts the API key "+canaryAccessKey+" of the user ") ||
		!strings.Contains(output, "project default ("+scwfake.DefaultProjectID+"), organization "+scwfake.DefaultOrganizationID) {
		t.Errorf("the output does not describe the key:\n%s", output)
	}
	requireMode(t, filepath.Join(s.dir, ".env"), 0o600)
	requireMode(t, filepath.Join(s.dir, "egress.yaml"), 0o644)
	loaded, err := config.Load("egress.yaml", []byte(s.read(t, "egress.yaml")))
	if err != nil {
		t.Fatal(err)
	}
	if loaded.Spec.Region != "nl-ams" || loaded.Spec.Zone != "nl-ams-1" || len(loaded.Spec.Tenants) != 2 || loaded.Spec.Tenants[1].Name != "billing" {
		t.Errorf("egress.yaml is\n%s", s.read(t, "egress.yaml"))
	}
	if code, output := s.runWithEnv(t, "plan"); code != exitChanges {
		t.Errorf("plan: exit code %d\n%s", code, output)
	}

	before := s.read(t, "egress.yaml") + s.read(t, ".env")
	for _, args := range [][]string{{"init"}, {"init", "--zone", "nl-ams-1", "--tenants", "shop,billing"}} {
		s.mustRun(t, args...)
		if s.read(t, "egress.yaml")+s.read(t, ".env") != before {
			t.Errorf("%q changes the files", args)
		}
	}
	if code, output := s.run(t, "init", "--name", "other"); code != exitFailed || !strings.Contains(output, "or use --force to overwrite it") {
		t.Errorf("other flags: exit code %d\n%s", code, output)
	}
	if s.read(t, "egress.yaml")+s.read(t, ".env") != before {
		t.Error("a refused run changes the files")
	}
	s.mustRun(t, "init", "--name", "other", "--force")
	if !strings.Contains(s.read(t, "egress.yaml"), "name: other\n") {
		t.Error("--force does not overwrite egress.yaml")
	}
}

// TestInitVariants requires that every variant of egress.yaml is valid.
func TestInitVariants(t *testing.T) {
	t.Parallel()
	for _, a := range []answers{
		{name: "2026", zone: "fr-par-1", region: "fr-par", network: "10.0.0.0/24", privateIP: "10.0.0.8", proxyType: "PLAY2-NANO", cluster: clusterNone},
		{name: "a", project: unusedID, zone: "pl-waw-2", region: "pl-waw", network: unusedID, privateIP: "10.0.0.8", proxyType: "PLAY2-NANO", cluster: unusedID, tenants: " a, b ,"},
		{name: "a", zone: "fr-par-2", region: "fr-par", network: "172.16.0.0/22", privateIP: eighthAddress("172.16.0.0/22"), proxyType: "X", cluster: clusterCreate, tenants: "a"},
	} {
		text, err := a.render()
		if err == nil {
			_, err = config.Load("egress.yaml", text)
		}
		if err != nil {
			t.Errorf("%+v: %v\n%s", a, err, text)
		}
	}
	for _, name := range []string{"a\nspec: {}", "}"} {
		a := answers{name: name, zone: "fr-par-1", region: "fr-par", network: "10.0.0.0/24", privateIP: "10.0.0.8", proxyType: "X", cluster: clusterNone}
		text, err := a.render()
		if err == nil {
			_, err = config.Load("egress.yaml", text)
		}
		if err == nil {
			t.Errorf("the name %q passes", name)
		}
	}
}

// TestInitRefusals requires all errors at once, before the first request.
func TestInitRefusals(t *testing.T) {
	t.Parallel()
	s := newEmptySite(t, scwfake.Options{})
	for _, c := range []struct {
		args []string
		env  map[string]*string
		want []string
	}{
		{[]string{"--output=json", "--expires-in=1m", "--create-key", "--rotate", "--timeout=-1s"}, nil, []string{
			`--output: is "json", must be files or secret`, "--expires-in: is 1m0s, must be between", "--rotate: cannot be combined", "--timeout: is -1s",
		}},
		{[]string{"--zone=fr-par-9", "--network=10.0.0.0/8", "--tenants=A", "--env-file=none/.env"}, map[string]*string{"SCW_SECRET_KEY": nil}, []string{
			"there is no zone fr-par-9", "spec.network.cidr", "spec.tenants[0].name", "the folder none does not exist", "SCW_SECRET_KEY is not set",
		}},
		{[]string{"--rotate"}, nil, []string{"--rotate needs that of the stack"}},
		{nil, map[string]*string{"SCW_DEFAULT_PROJECT_ID": nil}, []string{"--project: is required"}},
	} {
		s.env = c.env
		code, output := s.runProcess(t, append([]string{"init"}, c.args...)...)
		if code != exitFailed {
			t.Errorf("%q: exit code %d", c.args, code)
		}
		for _, want := range c.want {
			if !strings.Contains(output, want) {
				t.Errorf("%q: no %q in\n%s", c.args, want, output)
			}
		}
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil || len(entries) > 0 || s.Requests() > 0 {
		t.Errorf("refused runs leave %v, after %d requests (%v)", entries, s.Requests(), err)
	}
}
