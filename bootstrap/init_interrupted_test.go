package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"egress.scw/bootstrap/scwfake"
	"egress.scw/bootstrap/stack"
)

// initSteps are the commands of init that change something at Scaleway.
func initSteps() [][]string { return [][]string{{"init", "--create-key"}, {"init", "--rotate"}} }

// newInitSite is a site in which a command of init can run.
func newInitSite(t *testing.T, command []string, options scwfake.Options) *site {
	t.Helper()
	s := newEmptySite(t, options)
	if slices.Contains(command, "--rotate") {
		s.createKey(t)
	}
	s.ResetCount()
	return s
}

// createKey leaves the same as init --create-key, without a process.
func (s *site) createKey(t *testing.T) {
	t.Helper()
	a := answers{
		name: "production", region: "fr-par", zone: "fr-par-1", network: "172.16.0.0/22", privateIP: "172.16.0.8",
		proxyType: defaultProxyType(), cluster: clusterCreate, tenants: "client-a",
	}
	config, err := a.render()
	if err != nil {
		t.Fatal(err)
	}
	const organization, project = scwfake.DefaultOrganizationID, scwfake.DefaultProjectID
	common := object{"name": "egress-production-bootstrap-" + project[:8], "organization_id": organization, "tags": []string{stack.OwnerTag("production")}}
	app := s.create(t, "/iam/v1alpha1/applications", common)
	common["application_id"] = app
	common["rules"] = []object{{"project_ids": []string{project}, "permission_set_names": []string{"AllProductsFullAccess"}}}
	s.create(t, "/iam/v1alpha1/policies", common)
	var key struct {
		AccessKey string `json:"access_key"`
		SecretKey string `json:"secret_key"`
	}
	answer := s.request(t, http.MethodPost, "/iam/v1alpha1/api-keys", object{"application_id": app, "description": "bootstrap of egress.scw, stack production"})
	if err := json.Unmarshal(answer, &key); err != nil {
		t.Fatal(err)
	}
	env := accessKeyVariable + "=" + key.AccessKey + "\n" + secretKeyVariable + "=" + key.SecretKey + "\n" + projectVariable + "=" + project + "\n"
	for name, text := range map[string]string{"egress.yaml": string(config), ".env": env} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// positions returns the numbers of the requests of a command before which Scaleway, the
// files or the run are in another state than before the preceding one: of the reads of
// the stack's resources, the first. The last number is that after the last request.
func positions(t *testing.T, command []string) []int {
	t.Helper()
	s := newInitSite(t, command, scwfake.Options{})
	s.mustRun(t, command...)
	var numbers []int
	reads := 0
	for i, call := range s.Calls() {
		reads++
		if slices.ContainsFunc([]string{"/iam/", "/account/", "/metadata"}, func(p string) bool { return strings.HasPrefix(call.Path, p) }) {
			reads = 0
		}
		if reads <= 1 {
			numbers = append(numbers, i+1)
		}
	}
	if len(numbers) < 10 || len(numbers) > len(s.Calls())-3 {
		t.Errorf("%q: %d of %d requests", command, len(numbers), len(s.Calls()))
	}
	return append(numbers, len(s.Calls())+1)
}

// requireWorkingEnv requires that the key in .env, if there is one, exists.
func (s *site) requireWorkingEnv(t *testing.T, command []string, what string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, ".env"))
	if os.IsNotExist(err) && !slices.Contains(command, "--rotate") {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	access := envFile{text: text}.get(accessKeyVariable)
	if !slices.ContainsFunc(s.IAM(), func(item scwfake.Item) bool { return item.Kind == "api-key" && item.ID == access }) {
		t.Errorf("%s: the key %s in .env does not exist", what, access)
	}
}

// requireNamed requires that the output of a failed run names each key that exists and
// is not in .env, or says that the next run deals with it.
func (s *site) requireNamed(t *testing.T, output, what string) {
	t.Helper()
	text, _ := os.ReadFile(filepath.Join(s.dir, ".env"))
	for _, item := range s.IAM() {
		if item.Kind != "api-key" || item.ID == (envFile{text: text}).get(accessKeyVariable) {
			continue
		}
		if !strings.Contains(output, item.ID) && !strings.Contains(output, "the next run deletes it") {
			t.Errorf("%s: the key %v remains, and the output does not name it:\n%s", what, item, output)
		}
	}
}

// requireInitConverged runs the command again, and requires one key, which works.
func (s *site) requireInitConverged(t *testing.T, command []string, what string) {
	t.Helper()
	s.mustRun(t, command...)
	s.requireOneKey(t, what)
	s.requireAccepted(t, s.inEnv(t, ".env").get(secretKeyVariable), what)
	entries, err := os.ReadDir(s.dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("%s: the folder contains %v (%v)", what, entries, err)
	}
}

// requireAccepted requires that the API accepts a secret key.
func (s *site) requireAccepted(t *testing.T, secret, what string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.server.URL+"/vpc/v2/regions/fr-par/vpcs", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Auth-Token", secret)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("%s: the API answers %s to the key in .env", what, response.Status)
	}
}

// At the requests of init, the process is killed, or the run is interrupted, before or
// after the request takes effect. The key in .env works, and the next run continues.
func TestInitContinuesAfterASignal(t *testing.T) {
	t.Parallel()
	for _, command := range initSteps() {
		at := positions(t, command)
		for name, all := range interruptions(at, at) {
			t.Run(command[1]+", "+name, func(t *testing.T) {
				t.Parallel()
				for _, i := range all {
					requireInitContinues(t, command, i)
				}
			})
		}
	}
}

func requireInitContinues(t *testing.T, command []string, i interruption) {
	t.Helper()
	shot := &sniper{position: i.position}
	s := newInitSite(t, command, shot.options(i.after))
	what := fmt.Sprintf("%q, %s", command, i)
	code, output := i.run(t, s, shot, command...)
	s.requireWorkingEnv(t, command, what)
	if code == exitInterrupted {
		s.requireNamed(t, output, what)
	}
	if code == exitDone && slices.Contains(command, "--rotate") {
		s.requireOneKey(t, what)
		return
	}
	s.requireInitConverged(t, command, what)
}

// At the requests of init there is a fault. The run succeeds, or its key in .env works,
// its output names each other key, and the next run converges.
func TestInitContinuesAfterAFault(t *testing.T) {
	t.Parallel()
	for _, command := range initSteps() {
		at := positions(t, command)
		for _, fault := range []scwfake.Fault{
			{Kind: scwfake.FaultReplyLost, Count: 1},
			{Kind: scwfake.FaultReset, Count: 1},
			{Kind: scwfake.FaultInternal, Count: 1 << 20},
			{Kind: scwfake.FaultPermissionsDenied, Count: 1},
			{Kind: scwfake.FaultPermissionsDenied, Count: 1 << 20},
		} {
			t.Run(fmt.Sprintf("%s, %s, count=%d", command[1], fault.Kind, fault.Count), func(t *testing.T) {
				t.Parallel()
				for _, position := range at {
					fault.Call = position
					initWithFault(t, command, fault)
				}
			})
		}
	}
}

func initWithFault(t *testing.T, command []string, fault scwfake.Fault) {
	t.Helper()
	s := newInitSite(t, command, scwfake.Options{})
	s.SetFaults([]scwfake.Fault{fault})
	what := fmt.Sprintf("%q with %s at request %d, %d times", command, fault.Kind, fault.Call, fault.Count)
	code, output := s.run(t, command...)
	s.SetFaults(nil)
	s.requireWorkingEnv(t, command, what)
	if code == exitDone {
		s.requireOneKey(t, what)
		return
	}
	s.requireNamed(t, output, what)
	s.requireInitConverged(t, command, what)
}

// The program that reads the Secret does not run, because of a wrong name for example: the
// key that it does not get is deleted.
func TestInitDeletesAKeyThatIsNotRead(t *testing.T) {
	t.Parallel()
	s := newEmptySite(t, scwfake.Options{})
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := read.Close(); err != nil {
		t.Fatal(err)
	}
	cmd, output := s.process(t.Context(), "init", "--create-key", "--output", "secret")
	cmd.Stdout = write
	err = cmd.Run()
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != exitFailed || !strings.Contains(output.String(), "the Secret cannot be written") {
		t.Errorf("%v\n%s", err, output)
	}
	if err := write.Close(); err != nil {
		t.Fatal(err)
	}
	for _, item := range s.IAM() {
		if item.Kind == "api-key" {
			t.Errorf("the key %s remains, and its secret is lost\n%s", item, output)
		}
	}
}
