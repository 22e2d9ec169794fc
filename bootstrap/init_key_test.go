package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"egress.scw/bootstrap/scwfake"
)

// TestInitKeepsEgressYAML requires that --force alone does not replace a file that was
// written by hand.
func TestInitKeepsEgressYAML(t *testing.T) {
	t.Parallel()
	s := newSite(t, baseConfig, scwfake.Options{})
	s.mustRun(t, "init")
	for _, args := range [][]string{{"init", "--create-key", "--force"}, {"init", "--rotate", "--force"}, {"init", "--force"}} {
		s.mustRun(t, args...)
		if s.read(t, "egress.yaml") != baseConfig {
			t.Fatalf("%q: egress.yaml is\n%s", args, s.read(t, "egress.yaml"))
		}
	}
}

// TestInitNamesOtherKeys requires that a key whose .env was lost is named.
func TestInitNamesOtherKeys(t *testing.T) {
	t.Parallel()
	s := newEmptySite(t, scwfake.Options{})
	s.mustRun(t, "init", "--create-key")
	former := s.inEnv(t, ".env").get(accessKeyVariable)
	if err := os.Remove(filepath.Join(s.dir, ".env")); err != nil {
		t.Fatal(err)
	}
	if output := s.mustRun(t, "init", "--create-key"); !strings.Contains(output, "a former API key "+former) {
		t.Errorf("the key %s is not named:\n%s", former, output)
	}
}

// TestInitCreateKey requires that the permissions of the created key are enough for all
// commands, and that they are exactly those of the table.
func TestInitCreateKey(t *testing.T) {
	t.Parallel()
	s := newEmptySite(t, scwfake.Options{})
	s.mustRun(t, "init", "--create-key")
	env := s.inEnv(t, ".env")
	if env.get(accessKeyVariable) == canaryAccessKey {
		t.Error(".env has the administrator's key")
	}
	s.requireOneKey(t, "init --create-key")
	var rules string
	for _, item := range s.IAM() {
		if item.Kind == "policy" {
			rules = item.Details["rules"]
		}
	}
	const want = `"permission_set_names":["VPCFullAccess","PrivateNetworksFullAccess","VPCGatewayFullAccess","InstancesFullAccess",` +
		`"IPAMFullAccess","BlockStorageFullAccess","KubernetesFullAccess","ContainerRegistryReadOnly"],"condition":"","project_ids":["` + scwfake.DefaultProjectID + `"]`
	if !strings.Contains(rules, want) || strings.Count(rules, "permission_set_names") != 1 {
		t.Errorf("the policy has the rules %s, want %s", rules, want)
	}
	for _, args := range [][]string{{"apply", "--yes"}, {"plan"}, {"status"}, {"destroy", "--yes"}} {
		if code, output := s.runWithEnv(t, args...); code != exitDone {
			t.Fatalf("%q with the created key: exit code %d\n%s", args, code, output)
		}
	}
	if code, output := s.runWithEnv(t, "init", "--rotate"); code != exitFailed || !strings.Contains(output, "use the key of an administrator") {
		t.Errorf("a rotation with the created key: exit code %d\n%s", code, output)
	}
	before := s.read(t, ".env")
	s.mustRun(t, "init", "--create-key")
	if s.read(t, ".env") != before {
		t.Error("a second run changes .env")
	}
	s.requireOneKey(t, "a second run")
}

// TestInitKeepsOtherKeys requires that a key in .env is replaced only on request.
func TestInitKeepsOtherKeys(t *testing.T) {
	t.Parallel()
	s := newEmptySite(t, scwfake.Options{})
	s.mustRun(t, "init")
	before := s.read(t, ".env")
	if code, output := s.run(t, "init", "--create-key"); code != exitFailed || !strings.Contains(output, "has the API key "+canaryAccessKey) {
		t.Errorf("exit code %d\n%s", code, output)
	}
	if s.read(t, ".env") != before || len(s.IAM()) > 0 {
		t.Errorf("a refused run changes .env or creates %v", s.IAM())
	}
	s.mustRun(t, "init", "--create-key", "--force")
	s.requireOneKey(t, "--force")
}

// TestInitFillsATemplate requires that the other lines of a template stay.
func TestInitFillsATemplate(t *testing.T) {
	t.Parallel()
	for _, template := range []string{"dev.env.tpl", "prod.env.tpl"} {
		s := newEmptySite(t, scwfake.Options{})
		text, err := os.ReadFile(template)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(s.dir, "x.env"), append(text, "export OTHER=1\n"...), 0o644); err != nil {
			t.Fatal(err)
		}
		s.mustRun(t, "init", "--create-key", "--env-file", filepath.Join(s.dir, "x.env"))
		requireMode(t, filepath.Join(s.dir, "x.env"), 0o600)
		got := s.inEnv(t, "x.env")
		if !strings.HasPrefix(string(got.text), "# ") || !strings.Contains(string(got.text), "export OTHER=1\n") ||
			strings.Count(string(got.text), "\n"+accessKeyVariable+"=") != 1 || got.get(secretKeyVariable) == "" || got.get(projectVariable) != scwfake.DefaultProjectID {
			t.Errorf("%s: %s", template, bytes.ReplaceAll(got.text, []byte(got.get(secretKeyVariable)), []byte("…")))
		}
	}
}

// TestInitRotate requires one key after a rotation, another one than before.
func TestInitRotate(t *testing.T) {
	t.Parallel()
	s := newEmptySite(t, scwfake.Options{})
	s.mustRun(t, "init", "--create-key")
	former := s.inEnv(t, ".env").get(accessKeyVariable)
	output := s.mustRun(t, "init", "--rotate")
	if now := s.inEnv(t, ".env").get(accessKeyVariable); now == former || !strings.Contains(output, "deleted the former API key "+former) {
		t.Errorf("the key was %s and is %s\n%s", former, now, output)
	}
	s.requireOneKey(t, "a rotation")
	if code, output := s.runWithEnv(t, "plan"); code != exitChanges {
		t.Errorf("plan with the new key: exit code %d\n%s", code, output)
	}
}

// TestInitMissingPermissions requires a warning for a key that may not do everything.
func TestInitMissingPermissions(t *testing.T) {
	t.Parallel()
	s := newEmptySite(t, scwfake.Options{})
	s.SetFaults(denied("/k8s/", "/ipam/", "/vpc-gw/"))
	output := s.mustRun(t, "init")
	for _, set := range []string{"KubernetesFullAccess", "VPCGatewayFullAccess"} {
		if !strings.Contains(output, "Warning: looking for existing resources") || !strings.Contains(output, "its IAM policy needs "+set) {
			t.Errorf("no warning about %s:\n%s", set, output)
		}
	}
}

// TestInitShowsMissingSets requires a warning about permissions for writing, which no
// read request shows, if the key may see its policies.
func TestInitShowsMissingSets(t *testing.T) {
	t.Parallel()
	s := newEmptySite(t, scwfake.Options{})
	const organization = scwfake.DefaultOrganizationID
	app := s.create(t, "/iam/v1alpha1/applications", object{"name": "theirs", "organization_id": organization})
	s.create(t, "/iam/v1alpha1/policies", object{
		"name": "theirs", "organization_id": organization, "application_id": app, "rules": []object{
			{"permission_set_names": []string{"IAMReadOnly", "ProjectReadOnly"}, "organization_id": organization},
			{"project_ids": []string{scwfake.DefaultProjectID}, "permission_set_names": []string{
				"InstancesFullAccess", "BlockStorageReadOnly", "PrivateNetworksFullAccess", "VPCFullAccess", "IPAMFullAccess",
				"VPCGatewayReadOnly", "KubernetesFullAccess", "ContainerRegistryFullAccess",
			}},
		},
	})
	var key struct {
		AccessKey string `json:"access_key"`
		SecretKey string `json:"secret_key"`
	}
	if err := json.Unmarshal(s.request(t, http.MethodPost, "/iam/v1alpha1/api-keys", object{"application_id": app}), &key); err != nil {
		t.Fatal(err)
	}
	output := s.user(key.AccessKey, key.SecretKey).mustRun(t, "init")
	want := "Warning: the policies of the application " + app + " lack VPCGatewayFullAccess, BlockStorageFullAccess for the project " + scwfake.DefaultProjectID
	if !strings.Contains(output, want) || !strings.Contains(output, " of the application "+app) {
		t.Errorf("no %q in\n%s", want, output)
	}
}

// TestInitSecret requires a Secret, and nothing else, on standard output. The runs are
// processes: what prints a Secret ignores SIGPIPE for the rest of its process.
func TestInitSecret(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"init", "-o", "secret"}, {"init", "--create-key", "-o", "secret"}, {"init", "--rotate", "-o", "secret"}} {
		s := newEmptySite(t, scwfake.Options{})
		if args[1] == "--rotate" {
			if code, output := s.runProcess(t, "init", "--create-key", "-o", "secret"); code != exitDone {
				t.Fatalf("exit code %d\n%s", code, output)
			}
		}
		cmd, stderr := s.process(t.Context(), args...)
		var stdout bytes.Buffer
		cmd.Stdout = &stdout
		if err := cmd.Run(); err != nil {
			t.Fatalf("%q: %v\n%s", args, err, stderr)
		}
		var secret struct {
			Kind       string            `json:"kind"`
			Metadata   map[string]string `json:"metadata"`
			StringData map[string]string `json:"stringData"`
		}
		if !strings.HasPrefix(stdout.String(), "apiVersion: v1\n") || strings.Contains(stdout.String(), "---") {
			t.Errorf("%q: the output is not one object", args)
		}
		if err := yaml.Unmarshal(stdout.Bytes(), &secret); err != nil || secret.Kind != "Secret" || secret.Metadata["namespace"] != "egress-system" ||
			secret.Metadata["name"] != "egress-production-bootstrap" || len(secret.StringData[secretKeyVariable]) != 36 {
			t.Errorf("%q: %+v, %v", args, secret.Metadata, err)
		}
		requireNone(t, fmt.Sprintf("%q: standard error", args), stderr.String(), encoded(secret.StringData[secretKeyVariable], canarySecretKey))
		if _, err := os.Stat(filepath.Join(s.dir, ".env")); !os.IsNotExist(err) {
			t.Errorf("%q writes .env: %v", args, err)
		}
		if args[1] == "--rotate" && strings.Count(stderr.String(), "has a former API key SCW") != 1 {
			t.Errorf("the former key is not named:\n%s", stderr)
		}
	}
}

// requireOneKey requires the application of the stack, its policy, and one confirmed
// key, which is that in .env.
func (s *site) requireOneKey(t *testing.T, after string) {
	t.Helper()
	var kinds []string
	for _, item := range s.IAM() {
		kinds = append(kinds, item.Kind)
		if item.Kind == "api-key" && (item.ID != s.inEnv(t, ".env").get(accessKeyVariable) || item.Details["description"] != `"bootstrap of egress.scw, stack production"`) {
			t.Errorf("after %s, there is the key %v, %s", after, item, item.Details["description"])
		}
	}
	if got := strings.Join(kinds, " "); got != "api-key application policy" {
		t.Errorf("after %s, there are %s", after, got)
	}
}
