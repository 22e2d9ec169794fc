package state

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"egress.scw/webhook/api/v1alpha1"
)

// Objects are the objects of files that a State consists of.
type Objects struct {
	Tenants    []v1alpha1.EgressTenant
	Namespaces []corev1.Namespace
	Services   []corev1.Service
}

// Add reads a file: a stream of YAML or JSON documents, each of which is an
// EgressTenant, a Namespace, a Service, a List of them (kubectl get -o yaml), an
// egress.yaml, or values of the chart with tenants. Objects of other kinds are left
// out. The error names the document.
func (o *Objects) Add(data []byte) error {
	documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
	for number := 1; ; number++ {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			o.Sort()
			return nil
		}
		if err == nil {
			document, err = yaml.YAMLToJSONStrict(document)
		}
		if err == nil {
			err = o.addDocument(document)
		}
		if err != nil {
			return fmt.Errorf("document %d: %w", number, err)
		}
	}
}

// Sort sorts the tenants and namespaces by name, as a State requires.
func (o *Objects) Sort() {
	slices.SortFunc(o.Tenants, func(a, b v1alpha1.EgressTenant) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(o.Namespaces, func(a, b corev1.Namespace) int { return strings.Compare(a.Name, b.Name) })
}

// document is every form that a document may have.
type document struct {
	metav1.TypeMeta `json:",inline"`
	Items           []json.RawMessage  `json:"items"`
	Tenants         *[]json.RawMessage `json:"tenants"` // values of the chart
	Spec            struct {
		Tenants []json.RawMessage `json:"tenants"` // egress.yaml
	} `json:"spec"`
}

func (o *Objects) addDocument(data []byte) error {
	var head struct {
		metav1.TypeMeta `json:",inline"`
	}
	if bytes.Equal(data, []byte("null")) {
		return nil
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return fmt.Errorf("is not an object: %w", err)
	}
	switch {
	case head.Kind == "EgressTenant":
		return add(&o.Tenants, data)
	case head.Kind == "Namespace":
		return add(&o.Namespaces, data)
	case head.Kind == "Service":
		return add(&o.Services, data)
	case head.Kind == "Egress" || head.Kind == "" || strings.HasSuffix(head.Kind, "List"):
		return o.addList(data)
	}
	return nil
}

func add[T any](list *[]T, data []byte) error {
	var object T
	if err := json.Unmarshal(data, &object); err != nil {
		return err
	}
	*list = append(*list, object)
	return nil
}

func (o *Objects) addList(data []byte) error {
	var list document
	if err := json.Unmarshal(data, &list); err != nil {
		return err
	}
	if list.Kind == "" && list.Tenants == nil {
		return errors.New("is none of: EgressTenant, Namespace, Service, a List, an egress.yaml, values of the chart with tenants")
	}
	for _, item := range list.Items {
		if err := o.addDocument(item); err != nil {
			return err
		}
	}
	tenants := list.Spec.Tenants
	if list.Tenants != nil {
		tenants = append(tenants, *list.Tenants...)
	}
	for i, raw := range tenants {
		var tenant v1alpha1.Tenant
		decoder := json.NewDecoder(bytes.NewReader(raw))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&tenant); err != nil {
			return fmt.Errorf("tenants[%d]: %w", i, err)
		}
		object := v1alpha1.EgressTenant{Spec: tenant.EgressTenantSpec}
		object.Name = tenant.Name
		o.Tenants = append(o.Tenants, object)
	}
	return nil
}

// Manifest is a pod in a file.
type Manifest struct {
	// Name is the kind and name of the object in the file.
	Name string
	// Namespace is the namespace that the file states; it may be empty.
	Namespace string
	// Pod is the pod's JSON.
	Pod []byte
}

// Manifests reads the pods of a file: of each Pod, and of the pod template of each
// workload (Deployment, StatefulSet, DaemonSet, ReplicaSet, Job, CronJob), also in a
// List. Pods of
// workloads have no owner, so that the annotation egress.scw/skip-owners is not
// judged. Objects without pods are left out; a file without any pod is an error.
func Manifests(data []byte) ([]Manifest, error) {
	documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
	var found []Manifest
	for number := 1; ; number++ {
		text, err := documents.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			text, err = yaml.YAMLToJSON(text)
		}
		if err == nil {
			var manifests []Manifest
			manifests, err = manifestsOf(text)
			found = append(found, manifests...)
		}
		if err != nil {
			return nil, fmt.Errorf("document %d: %w", number, err)
		}
	}
	if len(found) == 0 {
		return nil, errors.New("contains no Pod, and no workload with a pod template")
	}
	return found, nil
}

// manifestsOf returns the pod of an object, if it has one, or those of a List.
func manifestsOf(text []byte) ([]Manifest, error) {
	type template struct {
		Template json.RawMessage `json:"template"`
	}
	var object struct {
		Kind     string            `json:"kind"`
		Items    []json.RawMessage `json:"items"`
		Metadata struct{ Name, GenerateName, Namespace string }
		Spec     struct {
			template
			JobTemplate struct {
				Spec template `json:"spec"`
			} `json:"jobTemplate"`
		} `json:"spec"`
	}
	if bytes.Equal(text, []byte("null")) {
		return nil, nil
	}
	if err := json.Unmarshal(text, &object); err != nil {
		return nil, fmt.Errorf("is not an object: %w", err)
	}
	if strings.HasSuffix(object.Kind, "List") {
		var found []Manifest
		for i, item := range object.Items {
			manifests, err := manifestsOf(item)
			if err != nil {
				return nil, fmt.Errorf("items[%d]: %w", i, err)
			}
			found = append(found, manifests...)
		}
		return found, nil
	}
	name := object.Metadata.Name
	if name == "" && object.Metadata.GenerateName != "" {
		name = object.Metadata.GenerateName + "*"
	}
	manifest := Manifest{Name: strings.ToLower(object.Kind) + "/" + name, Namespace: object.Metadata.Namespace, Pod: text}
	switch {
	case object.Kind == "Pod":
	case object.Spec.Template != nil:
		manifest.Pod = object.Spec.Template
	case object.Spec.JobTemplate.Spec.Template != nil:
		manifest.Pod = object.Spec.JobTemplate.Spec.Template
	default:
		return nil, nil
	}
	return []Manifest{manifest}, nil
}
