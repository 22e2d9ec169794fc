package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/yaml"

	"egress.scw/webhook/admission"
	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/inject"
	"egress.scw/webhook/kubectl-egress/explain"
	"egress.scw/webhook/kubectl-egress/state"
	"egress.scw/webhook/netpol"
	"egress.scw/webhook/settings"
)

// webhookVersion is the version in the goldens of package inject.
const webhookVersion = "v1.2.3"

// webhookCase is a case of the goldens of package inject.
type webhookCase struct {
	Settings  json.RawMessage `json:"settings"`
	APIServer string          `json:"apiServer"`
	Namespace struct {
		Name        string            `json:"name"`
		Labels      map[string]string `json:"labels"`
		Annotations map[string]string `json:"annotations"`
		Protected   bool              `json:"protected"`
	} `json:"namespace"`
	Tenants    []v1alpha1.Tenant  `json:"tenants"`
	Neighbours *inject.Neighbours `json:"neighbours"`
	Pod        map[string]any     `json:"pod"`
	OldPod     map[string]any     `json:"oldPod"`
}

// webhookGolden is the part of a golden that is compared.
type webhookGolden struct {
	Decision struct {
		Action  inject.Action `json:"action"`
		Reason  names.Reason  `json:"reason"`
		Message string        `json:"message"`
	} `json:"decision"`
	Warnings   []string `json:"warnings"`
	Operations any      `json:"operations"`
}

// For every golden case of the webhook, explain --file without a cluster gives the
// webhook's answer to the creation of the pod: action, reason, message, warnings and
// patch. The handler is the real one. Cases of created pods are also compared with
// their golden.
func TestExplainFileGivesTheWebhooksAnswer(t *testing.T) {
	files, err := filepath.Glob("../inject/testdata/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	files = slices.DeleteFunc(files, func(file string) bool { return strings.HasSuffix(file, ".golden.yaml") })
	if len(files) < 40 {
		t.Fatalf("%d golden cases, want all of package inject: %v", len(files), files)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			var c webhookCase
			readYAML(t, file, &c)
			c.Pod["apiVersion"], c.Pod["kind"] = "v1", "Pod"
			got := explainCase(t, &c)
			want := reviewCase(t, &c)
			if diff := cmp.Diff(want, answerOf(t, got)); diff != "" {
				t.Errorf("-webhook +explain --file\n%s", diff)
			}
			if c.OldPod != nil {
				return // an update, or ephemeral containers
			}
			var golden webhookGolden
			readYAML(t, strings.TrimSuffix(file, ".yaml")+".golden.yaml", &golden)
			expected := answer{
				Action: golden.Decision.Action, Reason: golden.Decision.Reason, Message: golden.Decision.Message,
				Warnings: golden.Warnings, Operations: golden.Operations,
			}
			if diff := cmp.Diff(expected, answerOf(t, got)); diff != "" {
				t.Errorf("-golden +explain --file\n%s", diff)
			}
		})
	}
}

// answer is an answer about a pod.
type answer struct {
	Action     inject.Action
	Reason     names.Reason
	Message    string
	Warnings   []string
	Operations any
}

func answerOf(t *testing.T, pod explain.Pod) answer {
	t.Helper()
	return answer{pod.Decision.Action, pod.Decision.Reason, pod.Decision.Message, pod.Warnings, decodeJSON(t, pod.Patch)}
}

func decodeJSON(t *testing.T, data []byte) (value any) {
	t.Helper()
	if len(data) == 0 {
		return nil
	}
	if err := json.Unmarshal(data, &value); err != nil {
		t.Fatalf("%v in %s", err, data)
	}
	return value
}

func readYAML(t *testing.T, file string, into any) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(data, into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

// settingsOf returns the settings file of a case.
func (c *webhookCase) settingsOf(t *testing.T) []byte {
	t.Helper()
	text := c.Settings
	if text == nil { // the Kapsule cluster of package inject's tests
		text = []byte(`{"apiVersion": "egress.scw/v1alpha1", "kind": "WebhookSettings", "proxy": {"addresses": ["172.16.28.8"]},
			"cluster": {"cidrs": ["10.32.0.0/20", "100.64.0.0/15", "172.16.0.0/22"]}}`)
	}
	var file map[string]any
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	if c.Namespace.Protected {
		file["protectedNamespaces"] = []any{c.Namespace.Name}
	}
	encoded, err := yaml.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

func (c *webhookCase) serviceHost() string {
	if c.Settings == nil {
		return "10.32.0.1"
	}
	return c.APIServer
}

// objects are the objects of a case.
func (c *webhookCase) objects() []client.Object {
	namespace := &corev1.Namespace{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"}}
	namespace.Name, namespace.Labels, namespace.Annotations = c.Namespace.Name, c.Namespace.Labels, c.Namespace.Annotations
	objects := []client.Object{namespace}
	for _, tenant := range c.Tenants {
		object := &v1alpha1.EgressTenant{TypeMeta: metav1.TypeMeta{APIVersion: "egress.scw/v1alpha1", Kind: "EgressTenant"}, Spec: tenant.EgressTenantSpec}
		object.Name = tenant.Name
		objects = append(objects, object)
	}
	if c.Neighbours == nil {
		return objects
	}
	for _, name := range c.Neighbours.Namespaces {
		other := &corev1.Namespace{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"}}
		other.Name, other.Labels = name, map[string]string{names.LabelTenant: c.Namespace.Labels[names.LabelTenant]}
		objects = append(objects, other)
	}
	for _, service := range c.Neighbours.Services {
		object := &corev1.Service{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Service"}}
		object.Namespace, object.Name, object.Spec.ClusterIPs = c.Namespace.Name, service.Name, service.ClusterIPs
		objects = append(objects, object)
	}
	return objects
}

// explainCase runs the command without a cluster.
func explainCase(t *testing.T, c *webhookCase) (explained explain.Pod) {
	t.Helper()
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	var objects bytes.Buffer
	for _, object := range c.objects() {
		encoded, err := yaml.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		objects.WriteString("---\n")
		objects.Write(encoded)
	}
	pod, err := yaml.Marshal(c.Pod)
	if err != nil {
		t.Fatal(err)
	}
	out, err := runCommand(t, nil, "explain", "--file", write("pod.yaml", pod), "--settings", write("settings.yaml", c.settingsOf(t)),
		"--tenants", write("objects.yaml", objects.Bytes()), "--service-host", c.serviceHost(), "--namespace", c.Namespace.Name, "--output", "json")
	if codeOf(err) == exitFailed {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(out), &explained); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	return explained
}

// reviewCase lets the webhook's handler answer the creation of the pod.
func reviewCase(t *testing.T, c *webhookCase) answer {
	t.Helper()
	s, err := settings.Parse(c.settingsOf(t))
	if err != nil {
		t.Fatal(err)
	}
	cluster, err := state.NewCluster(s, c.serviceHost(), webhookVersion)
	if err != nil {
		t.Fatal(err)
	}
	scheme, err := newScheme()
	if err != nil {
		t.Fatal(err)
	}
	reader := fake.NewClientBuilder().WithScheme(scheme).WithObjects(c.objects()...).Build()
	var log bytes.Buffer
	handler, err := admission.NewHandler(admission.Options{
		Settings: s, Cluster: cluster, Cache: reader, Live: reader, Policies: policies{s}, Neighbours: neighbours{c.Neighbours},
		Budget: admission.NewBudget(0), Logger: slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})), Metrics: prometheus.NewRegistry(),
	})
	if err != nil {
		t.Fatal(err)
	}
	pod, err := json.Marshal(c.Pod)
	if err != nil {
		t.Fatal(err)
	}
	review := admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
		Request: &admissionv1.AdmissionRequest{
			UID: "1", Namespace: c.Namespace.Name, Operation: admissionv1.Create, Object: runtime.RawExtension{Raw: pod},
			Resource: metav1.GroupVersionResource{Version: "v1", Resource: "pods"}, Kind: metav1.GroupVersionKind{Version: "v1", Kind: "Pod"},
		},
	}
	body, err := json.Marshal(review)
	if err != nil {
		t.Fatal(err)
	}
	request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, names.PodHandlerPath, bytes.NewReader(body))
	request.Header.Set("Content-Type", "application/json")
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, request)
	answered, err := io.ReadAll(recorder.Body)
	if err != nil || recorder.Code != http.StatusOK {
		t.Fatalf("status %d: %s, %v", recorder.Code, answered, err)
	}
	return readReview(t, answered, log.Bytes())
}

// readReview reads the handler's answer. Reason and message of an admitted pod are in
// the log alone.
func readReview(t *testing.T, body, log []byte) answer {
	t.Helper()
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(body, &review); err != nil {
		t.Fatal(err)
	}
	var line struct{ Msg, Reason, Message string }
	if err := json.Unmarshal(log, &line); err != nil {
		t.Fatalf("%v in the log %s", err, log)
	}
	result := answer{Action: inject.Inject, Reason: names.Reason(line.Reason), Message: line.Message, Warnings: review.Response.Warnings}
	switch line.Msg {
	case "pod refused":
		result.Action = inject.Deny
	case "pod admitted without injection":
		result.Action = inject.Skip
	}
	result.Operations = decodeJSON(t, review.Response.Patch)
	return result
}

// policies are in sync as soon as the handler asks for them.
type policies struct{ settings *settings.Settings }

func (policies) Ensure(context.Context, string, *v1alpha1.EgressTenant, bool) error { return nil }

func (p policies) Build(_ context.Context, tenant *v1alpha1.EgressTenant, namespace string) (*networkingv1.NetworkPolicy, error) {
	return netpol.Build(tenant, namespace, p.settings), nil
}

// neighbours are those of the case.
type neighbours struct{ of *inject.Neighbours }

func (n neighbours) Of(context.Context, string, string) (*inject.Neighbours, error) {
	return n.of, nil
}
