package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"sigs.k8s.io/yaml"
)

// kubeFake is an API server that stores objects without looking at them: as much as
// bootstrap watch needs. The integration tests have a real one.
type kubeFake struct {
	*httptest.Server

	mutex    sync.Mutex
	version  int
	objects  map[string]map[string]any // by path
	watchers map[chan kubeEvent]string // the collection of each
	denied   bool                      // EgressTenants may not be read
}

type kubeEvent struct {
	Type   string         `json:"type"`
	Object map[string]any `json:"object"`
}

const tenantsPath = "/apis/egress.scw/v1alpha1/egresstenants"

func newKubeFake(t testing.TB) *kubeFake {
	t.Helper()
	k := &kubeFake{objects: map[string]map[string]any{}, watchers: map[chan kubeEvent]string{}}
	k.Server = httptest.NewServer(k)
	t.Cleanup(func() {
		k.CloseClientConnections()
		k.Close()
	})
	return k
}

// kubeconfig is the content of a kubeconfig that leads to the server.
func (k *kubeFake) kubeconfig() string {
	return fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: fake
clusters: [{name: fake, cluster: {server: "%s"}}]
contexts: [{name: fake, context: {cluster: fake}}]
`, k.URL)
}

// putTenant creates or replaces an EgressTenant.
func (k *kubeFake) putTenant(t testing.TB, name, spec string) {
	t.Helper()
	var fields map[string]any
	if err := yaml.Unmarshal([]byte(spec), &fields); err != nil {
		t.Fatal(err)
	}
	k.put(tenantsPath+"/"+name, map[string]any{
		"apiVersion": "egress.scw/v1alpha1", "kind": "EgressTenant",
		"metadata": map[string]any{"name": name, "creationTimestamp": "2026-01-01T00:00:00Z"}, "spec": fields,
	})
}

func (k *kubeFake) put(at string, object map[string]any) map[string]any {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	kind := "ADDED"
	if k.objects[at] != nil {
		kind = "MODIFIED"
	}
	k.version++
	metadata, _ := object["metadata"].(map[string]any)
	metadata["resourceVersion"] = strconv.Itoa(k.version)
	k.objects[at] = object
	k.publish(at, kubeEvent{kind, object})
	return object
}

func (k *kubeFake) remove(at string) {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	object := k.objects[at]
	delete(k.objects, at)
	k.publish(at, kubeEvent{"DELETED", object})
}

func (k *kubeFake) publish(at string, event kubeEvent) {
	for watcher, collection := range k.watchers {
		if path.Dir(at) == collection {
			watcher <- event
		}
	}
}

// get returns an object; nil if there is none.
func (k *kubeFake) get(at string) map[string]any {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	return k.objects[at]
}

// events returns reason and message of all events.
func (k *kubeFake) events() []string {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	var all []string
	for _, at := range slices.Sorted(maps.Keys(k.objects)) {
		if event := k.objects[at]; strings.Contains(at, "/events/") {
			all = append(all, fmt.Sprintf("%s: %s", event["reason"], event["message"]))
		}
	}
	return all
}

func (k *kubeFake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	body, _ := io.ReadAll(r.Body)
	var sent map[string]any
	if len(body) > 0 {
		if err := yaml.Unmarshal(body, &sent); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	at := r.URL.Path
	switch r.Method {
	case http.MethodGet:
		k.read(w, r)
		return
	case http.MethodPost:
		metadata, _ := sent["metadata"].(map[string]any)
		name, _ := metadata["name"].(string)
		at += "/" + name
	case http.MethodPatch:
		if old := k.get(at); old != nil {
			merged := maps.Clone(old)
			maps.Copy(merged, sent)
			sent = merged
		}
		if _, ok := sent["metadata"]; !ok {
			sent["metadata"] = map[string]any{"name": path.Base(at)}
		}
	}
	_ = json.NewEncoder(w).Encode(k.put(at, sent))
}

func (k *kubeFake) read(w http.ResponseWriter, r *http.Request) {
	switch object := k.get(r.URL.Path); {
	case r.URL.Path == tenantsPath && k.isDenied():
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","message":"egresstenants is forbidden","code":403}`)
	case object != nil:
		_ = json.NewEncoder(w).Encode(object)
	case r.URL.Path != tenantsPath:
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404}`)
	case r.URL.Query().Get("watch") != "":
		k.watch(w, r)
	default:
		k.mutex.Lock()
		defer k.mutex.Unlock()
		items := []map[string]any{}
		for at, object := range k.objects {
			if path.Dir(at) == r.URL.Path {
				items = append(items, object)
			}
		}
		_ = json.NewEncoder(w).Encode(map[string]any{
			"apiVersion": "egress.scw/v1alpha1", "kind": "EgressTenantList", "items": items,
			"metadata": map[string]any{"resourceVersion": strconv.Itoa(k.version)},
		})
	}
}

// deny ends or begins the right to read EgressTenants, and ends all connections.
func (k *kubeFake) deny(denied bool) {
	k.mutex.Lock()
	k.denied = denied
	k.mutex.Unlock()
	k.CloseClientConnections()
}

func (k *kubeFake) isDenied() bool {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	return k.denied
}

// watch streams the objects of a collection, and then their changes.
func (k *kubeFake) watch(w http.ResponseWriter, r *http.Request) {
	events := make(chan kubeEvent, 1000)
	k.mutex.Lock()
	for at, object := range k.objects {
		if path.Dir(at) == r.URL.Path {
			events <- kubeEvent{"ADDED", object}
		}
	}
	events <- kubeEvent{"BOOKMARK", map[string]any{
		"apiVersion": "egress.scw/v1alpha1", "kind": "EgressTenant",
		"metadata": map[string]any{"resourceVersion": strconv.Itoa(k.version), "annotations": map[string]any{"k8s.io/initial-events-end": "true"}},
	}}
	k.watchers[events] = r.URL.Path
	k.mutex.Unlock()
	defer func() {
		k.mutex.Lock()
		defer k.mutex.Unlock()
		delete(k.watchers, events)
	}()
	for {
		select {
		case <-r.Context().Done():
			return
		case event := <-events:
			k.mutex.Lock()
			text, _ := json.Marshal(event)
			k.mutex.Unlock()
			if _, err := w.Write(append(text, '\n')); err != nil {
				return
			}
			w.(http.Flusher).Flush()
		}
	}
}
