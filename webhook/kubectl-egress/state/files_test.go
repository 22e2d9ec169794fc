package state

import (
	"strings"
	"testing"
)

func TestObjectsAreReadInEveryForm(t *testing.T) {
	for name, test := range map[string]struct{ file, tenant string }{
		"EgressTenant":    {"apiVersion: egress.scw/v1alpha1\nkind: EgressTenant\nmetadata: {name: client-a}\nspec: {proxy: {port: 3129}}\n", "client-a"},
		"egress.yaml":     {"apiVersion: egress.scw/v1alpha1\nkind: Egress\nmetadata: {name: x}\nspec: {zone: fr-par-1, tenants: [{name: client-a, proxy: {port: 3129}}]}\n", "client-a"},
		"values":          {"proxy: {addresses: [172.16.28.8]}\ntenants: [{name: client-a, proxy: {port: 3129}}]\n", "client-a"},
		"List":            {"kind: List\nitems: [{kind: EgressTenant, metadata: {name: client-a}, spec: {proxy: {port: 3129}}}]\n", "client-a"},
		"several":         {"kind: Namespace\nmetadata: {name: orders}\n---\n\n---\nkind: EgressTenant\nmetadata: {name: client-a}\nspec: {proxy: {port: 3129}}\n", "client-a"},
		"only namespaces": {"kind: NamespaceList\nitems: [{kind: Namespace, metadata: {name: orders}}]\n", ""},
		"another kind":    {"kind: ConfigMap\nmetadata: {name: client-a}\n", ""},
	} {
		var objects Objects
		if err := objects.Add([]byte(test.file)); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := ""
		for _, tenant := range objects.Tenants {
			got += tenant.Name
			if tenant.Spec.ProxyPort() != 3129 {
				t.Errorf("%s: port %d", name, tenant.Spec.ProxyPort())
			}
		}
		if got != test.tenant {
			t.Errorf("%s: tenants %q, want %q", name, got, test.tenant)
		}
	}
}

func TestUnreadableObjectsAreErrors(t *testing.T) {
	for file, want := range map[string]string{
		"tenant: [client-a]\n":                                "document 1: is none of",
		"kind: Namespace\n---\na: 1\na: 2\n":                  "document 2: ",
		"kind: EgressTenant\nspec: {proxy: {port: [3129]}}\n": "document 1: ",
		"tenants: [{name: client-a, prxy: {}}]\n":             "tenants[0]: ",
		"- kind: Namespace\n":                                 "document 1: is not an object",
	} {
		err := new(Objects).Add([]byte(file))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", file, err, want)
		}
	}
}

func TestManifests(t *testing.T) {
	manifests, err := Manifests([]byte(`
kind: Service
metadata: {name: web}
---
kind: Pod
metadata: {generateName: web-, namespace: orders}
spec: {containers: [{name: web}]}
---
kind: Deployment
metadata: {name: web}
spec: {template: {spec: {containers: [{name: deployed}]}}}
---
kind: CronJob
metadata: {name: nightly}
spec: {jobTemplate: {spec: {template: {spec: {containers: [{name: nightly}]}}}}}
---
kind: List
items:
- {kind: ConfigMap}
- {kind: PodList, items: [{kind: Pod, metadata: {name: listed}, spec: {containers: [{name: web}]}}]}
- {kind: Job, metadata: {name: once}, spec: {template: {spec: {containers: [{name: once}]}}}}
`))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, manifest := range manifests {
		pod, err := Decode(manifest.Pod)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, manifest.Name+" "+manifest.Namespace+" "+pod.Spec.Containers[0].Name)
	}
	if want := "pod/web-* orders web|deployment/web  deployed|cronjob/nightly  nightly|pod/listed  web|job/once  once"; strings.Join(got, "|") != want {
		t.Errorf("got %q, want %q", strings.Join(got, "|"), want)
	}
	if _, err := Manifests([]byte("kind: Service\n")); err == nil {
		t.Error("a file without pods is no error")
	}
	if _, err := Manifests([]byte("kind: List\nitems: [{kind: Pod}, {kind: [Pod]}]\n")); err == nil || !strings.Contains(err.Error(), "document 1: items[1]: is not an object") {
		t.Errorf("an item that is no object: %v", err)
	}
}
