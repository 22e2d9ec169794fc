package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"egress.scw/hack/local/process"
)

// kwokStages make kwok's nodes ready and its pods run at once. kwok has no
// stages by default.
var kwokStages = []string{
	"node/fast/node-initialize.yaml",
	"node/heartbeat-with-lease/node-heartbeat-with-lease.yaml",
	"pod/fast/pod-ready.yaml",
	"pod/fast/pod-complete.yaml",
	"pod/fast/pod-delete.yaml",
}

// StartKwok starts kwok, which runs pods in name only, and adds nodes for it.
// Their pods have no address. repository is the folder of the checkout:
// hack/tools/kubernetes there pins kwok's version. binary is the path of
// programs.Kwok.
func (c *Cluster) StartKwok(ctx context.Context, repository, binary string, nodes int) error {
	dir, err := moduleDir(ctx, filepath.Join(repository, "hack/tools/kubernetes"), "sigs.k8s.io/kwok")
	if err != nil {
		return err
	}
	var stages bytes.Buffer
	for _, name := range kwokStages {
		stage, err := os.ReadFile(filepath.Join(dir, "kustomize/stage", name))
		if err != nil {
			return err
		}
		stages.Write(stage)
		stages.WriteString("\n---\n")
	}
	if err := os.WriteFile(c.path("kwok.yaml"), stages.Bytes(), 0o600); err != nil {
		return err
	}
	if err := c.start(process.Command{Name: "kwok", Path: binary, Netns: c.Netns, Args: []string{
		"--config=" + c.path("kwok.yaml"), "--kubeconfig=" + c.Kubeconfig("admin"),
		"--manage-all-nodes=false", "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake",
		"--node-lease-duration-seconds=40", "--server-address=",
	}}); err != nil {
		return err
	}
	var manifests strings.Builder
	for i := range nodes {
		fmt.Fprintf(&manifests, kwokNode, i+1)
	}
	if err := c.Apply(ctx, manifests.String()); err != nil {
		return err
	}
	if _, err := c.Kubectl(ctx, nil, "wait", "--for=condition=Ready", "node", "-l", "type=kwok", fmt.Sprintf("--timeout=%ds", int(startTimeout.Seconds()))); err != nil {
		return fmt.Errorf("kwok's nodes, see %s: %w", c.Environment.LogFile("kwok"), err)
	}
	return nil
}

const kwokNode = `---
apiVersion: v1
kind: Node
metadata:
  name: kwok-%[1]d
  annotations: {kwok.x-k8s.io/node: fake}
  labels: {type: kwok, kubernetes.io/os: linux, kubernetes.io/hostname: kwok-%[1]d}
status:
  allocatable: {cpu: "32", memory: 256Gi, pods: "500"}
  capacity: {cpu: "32", memory: 256Gi, pods: "500"}
`

// moduleDir is the folder with the source of a module that the module in dir
// requires.
func moduleDir(ctx context.Context, dir, module string) (string, error) {
	// Downloads the module if necessary: the binary may be older than the
	// module cache.
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", module)
	cmd.Dir = dir
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		// With -json, the reason is in the standard output.
		return "", fmt.Errorf("finding the source of %s: %w: %s%s", module, err, stdout.String(), stderr.String())
	}
	var downloaded struct{ Dir string }
	if err := json.Unmarshal(stdout.Bytes(), &downloaded); err != nil {
		return "", fmt.Errorf("finding the source of %s: %w", module, err)
	}
	return downloaded.Dir, nil
}
