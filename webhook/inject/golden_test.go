package inject

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	jsonpatchv5 "github.com/evanphx/json-patch/v5"
	jsonv2 "github.com/go-json-experiment/json"
	"gomodules.xyz/jsonpatch/v2"
	"gotest.tools/v3/golden"
	"sigs.k8s.io/yaml"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/settings"
)

// goldenCase is a file testdata/NAME.yaml.
type goldenCase struct {
	// Settings is a settings file, and APIServer the address of the API server
	// for pods. Without them, the cluster is that of exampleCluster.
	Settings  json.RawMessage   `json:"settings,omitempty"`
	APIServer string            `json:"apiServer,omitempty"`
	Namespace goldenNamespace   `json:"namespace"`
	Tenants   []v1alpha1.Tenant `json:"tenants,omitempty"`
	// Neighbours of the namespace, with the names of the Go fields.
	Neighbours *Neighbours     `json:"neighbours,omitempty"`
	Pod        json.RawMessage `json:"pod"`
	// OldPod makes the case a request of pods/ephemeralcontainers, or with Update
	// one that updates the pod.
	OldPod json.RawMessage `json:"oldPod,omitempty"`
	Update bool            `json:"update,omitempty"`
}

type goldenNamespace struct {
	Name        string            `json:"name"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Protected   bool              `json:"protected,omitempty"`
}

// goldenResult is a file testdata/NAME.golden.yaml.
type goldenResult struct {
	Decision   goldenDecision        `json:"decision"`
	Warnings   []string              `json:"warnings,omitempty"`
	Operations []jsonpatch.Operation `json:"operations,omitempty"`
	Pod        json.RawMessage       `json:"pod,omitempty"`
}

type goldenDecision struct {
	Action  Action       `json:"action"`
	Reason  names.Reason `json:"reason"`
	Message string       `json:"message"`
}

// TestGolden runs every case of testdata through the whole package.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases in testdata: %v", err)
	}
	for _, file := range files {
		if base, isGolden := strings.CutSuffix(file, ".golden.yaml"); isGolden {
			if _, err := os.Stat(base + ".yaml"); err != nil {
				t.Errorf("%s is stale, its case is missing: %v", file, err)
			}
			continue
		}
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		t.Run(name, func(t *testing.T) {
			got, err := yaml.Marshal(runGolden(t, file))
			if err != nil {
				t.Fatal(err)
			}
			golden.Assert(t, string(got), name+".golden.yaml")
		})
	}
}

func runGolden(t *testing.T, file string) goldenResult {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var c goldenCase
	if err := yaml.UnmarshalStrict(text, &c); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	decision, operations, warnings := runCase(t, &c, mustDecode(t, c.Pod))
	result := goldenResult{
		Decision: goldenDecision{decision.Action, decision.Reason, decision.Message},
		Warnings: warnings, Operations: operations,
	}
	if len(operations) > 0 || decision.Action == Inject || c.Update {
		result.Pod = apply(t, c.Pod, operations)
	}
	return result
}

// runCase calls the package as the admission handler does.
func runCase(t *testing.T, c *goldenCase, pod *Pod) (Decision, []jsonpatch.Operation, []string) {
	t.Helper()
	cluster := caseCluster(t, c)
	namespace := Namespace(c.Namespace)
	var tenant *v1alpha1.EgressTenant
	for _, candidate := range c.Tenants {
		if name, _ := namespace.Tenant(); name == candidate.Name {
			tenant = &v1alpha1.EgressTenant{Spec: candidate.EgressTenantSpec}
			tenant.Name = name
		}
	}
	if c.Update {
		return runUpdate(t, c, cluster, tenant, pod)
	}
	if c.OldPod != nil {
		pod = pod.Stored(mustDecode(t, c.OldPod))
	}
	decision := Decide(pod, namespace, tenant)
	placed := tenant != nil && c.OldPod == nil && decision.Reason != names.ReasonMirrorPod
	if placed && decision.Action != Deny {
		if refusal := NodePoolConflict(pod, tenant); refusal != nil {
			return refusal.Decision(), nil, nil
		}
	}
	if decision.Action == Skip && placed {
		return decision, operationsOf(t, NewNodePoolPatch(pod, tenant, nil)), decision.Warnings
	}
	if decision.Action != Inject {
		return decision, nil, decision.Warnings
	}
	injection, err := compute(cluster, tenant, namespace.Name, c.Neighbours, pod.Annotations())
	if refusal, ok := errors.AsType[*Refusal](err); ok {
		return refusal.Decision(), nil, nil
	}
	if c.OldPod != nil {
		patch := NewEphemeralPatch(pod, mustDecode(t, c.OldPod), injection, nil)
		return decision, operationsOf(t, patch), slices.Concat(decision.Warnings, injection.Warnings, patch.Warnings)
	}
	if refusal, ok := errors.AsType[*Refusal](injection.Examine(pod, c.Pod)); ok {
		return refusal.Decision(), nil, nil
	}
	patch := NewPatch(pod, injection, nil)
	return decision, operationsOf(t, patch), slices.Concat(decision.Warnings, injection.Warnings, patch.Warnings)
}

func runUpdate(t *testing.T, c *goldenCase, cluster *Cluster, tenant *v1alpha1.EgressTenant, pod *Pod) (Decision, []jsonpatch.Operation, []string) {
	t.Helper()
	old := mustDecode(t, c.OldPod)
	injection, err := compute(cluster, tenant, c.Namespace.Name, c.Neighbours, old.Annotations())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(pod.ReadDetails(c.Pod), old.ReadDetails(c.OldPod)); err != nil {
		t.Fatal(err)
	}
	patch := NewUpdatePatch(pod, old, injection, nil)
	return Decision{Action: Skip, Reason: names.ReasonPodUpdated}, operationsOf(t, patch), patch.Warnings
}

func compute(cluster *Cluster, tenant *v1alpha1.EgressTenant, namespace string, neighbours *Neighbours, annotations map[string]string) (*Injection, error) {
	template, err := NewTemplate(cluster, tenant, namespace, neighbours)
	if err != nil {
		return nil, err
	}
	return template.Compute(annotations)
}

func caseCluster(t *testing.T, c *goldenCase) *Cluster {
	t.Helper()
	if c.Settings == nil {
		return exampleCluster(t)
	}
	s, err := settings.Parse(c.Settings)
	if err != nil {
		t.Fatalf("the case's settings: %v", err)
	}
	cluster, err := NewCluster(s, mustParseEntry(t, c.APIServer), "v1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	return cluster
}

// exampleSettings are the settings of a Kapsule cluster.
func exampleSettings() *settings.Settings {
	return &settings.Settings{
		Proxy: settings.Proxy{Addresses: []netip.Addr{netip.MustParseAddr("172.16.28.8")}},
		Cluster: settings.Cluster{Domain: "cluster.local", CIDRs: []netip.Prefix{
			netip.MustParsePrefix("10.32.0.0/20"), netip.MustParsePrefix("100.64.0.0/15"), netip.MustParsePrefix("172.16.0.0/22"),
		}},
	}
}

func exampleCluster(t testing.TB) *Cluster {
	t.Helper()
	cluster, err := NewCluster(exampleSettings(), mustParseEntry(t, "10.32.0.1"), "v1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	return cluster
}

// operationsOf decodes the operations of a patch.
func operationsOf(t *testing.T, patch Patch) []jsonpatch.Operation {
	t.Helper()
	var operations []jsonpatch.Operation
	if len(patch.JSON) > 0 {
		if err := json.Unmarshal(patch.JSON, &operations); err != nil {
			t.Fatalf("%v in %s", err, patch.JSON)
		}
	}
	if len(operations) != patch.Operations {
		t.Errorf("%d operations, counted %d", len(operations), patch.Operations)
	}
	return operations
}

// operationsFor returns the operations and warnings for a pod.
func operationsFor(t *testing.T, pod *Pod, injection *Injection) ([]jsonpatch.Operation, []string) {
	t.Helper()
	patch := NewPatch(pod, injection, nil)
	return operationsOf(t, patch), patch.Warnings
}

func mustDecode(t *testing.T, raw []byte) *Pod {
	t.Helper()
	pod := &Pod{}
	if err := jsonv2.Unmarshal(raw, pod, DecodeOptions); err != nil {
		t.Fatal(err)
	}
	return pod
}

// apply applies the operations with the library of the API server.
func apply(t *testing.T, raw []byte, operations []jsonpatch.Operation) []byte {
	t.Helper()
	if len(operations) == 0 {
		return raw
	}
	encoded, err := json.Marshal(operations)
	if err != nil {
		t.Fatal(err)
	}
	patch, err := jsonpatchv5.DecodePatch(encoded)
	if err != nil {
		t.Fatal(err)
	}
	patched, err := patch.Apply(raw)
	if err != nil {
		t.Fatalf("%v\napplying %s\nto %s", err, encoded, raw)
	}
	return bytes.TrimSpace(patched)
}
