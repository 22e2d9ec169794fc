package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"egress.scw/bootstrap/scwfake"
)

// planConfig is the egress.yaml of the picture.
const planConfig = `apiVersion: egress.scw/v1alpha1
kind: Egress
metadata:
  name: production
spec:
  project: ` + scwfake.DefaultProjectID + `
  zone: fr-par-1
  network:
    cidr: 172.16.28.0/22
  proxy:
    privateIP: 172.16.28.8
    sshSources: [192.0.2.0/24]
  cluster:
    acl: [198.51.100.0/24]
    pools:
      - {name: system, nodeType: PRO2-XXS, size: 2}
      - {name: client-a, nodeType: PRO2-XS, tenant: client-a, autoscaling: {min: 1, max: 3}}
  tenants:
    - {name: client-a, proxy: {port: 3129}}
    - {name: client-b, proxy: {port: 3130, egressIP: Dedicated}}
`

// exitChanges is the exit status of a plan with changes.
const exitChanges = 2

// planOutput is the output of bootstrap plan on a terminal, for an empty project of the
// fake of Scaleway's API.
func planOutput(ctx context.Context, root, work string) (string, error) {
	binary := filepath.Join(work, "bootstrap")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "./bootstrap")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build bootstrap: %w\n%s", err, out)
	}
	if err := os.WriteFile(filepath.Join(work, "egress.yaml"), []byte(planConfig), 0o600); err != nil {
		return "", err
	}
	api := scwfake.New(scwfake.Options{})
	defer api.Close()
	server := httptest.NewServer(api)
	defer server.Close()

	// script provides the terminal, without which there are no colours. It joins both
	// outputs, so that standard error, with the progress, goes elsewhere.
	plan := exec.CommandContext(ctx, "script", "--quiet", "--return", "--command", binary+" plan --config egress.yaml 2>progress", "/dev/null")
	plan.Dir = work
	plan.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + work, "TERM=xterm", "SHELL=/bin/sh",
		"SCW_API_URL=" + server.URL, "SCW_ACCESS_KEY=SCWXXXXXXXXXXXXXXXXX", "SCW_SECRET_KEY=11111111-2222-4333-8444-555555555555",
	}
	out, err := plan.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == exitChanges {
		err = nil
	}
	if err != nil {
		progress, _ := os.ReadFile(filepath.Join(work, "progress"))
		return "", fmt.Errorf("bootstrap plan: %w\n%s%s", err, out, progress)
	}
	return strings.TrimSpace(string(bytes.ReplaceAll(out, []byte("\r"), nil))), nil
}
