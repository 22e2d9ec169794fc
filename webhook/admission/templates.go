package admission

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/inject"
)

// templates caches the inject.Template of every namespace.
type templates struct {
	cluster *inject.Cluster
	cache   perNamespace[cachedTemplate]
}

type cachedTemplate struct {
	tenant     tenantState
	neighbours *inject.Neighbours
	template   *inject.Template
}

// of returns the template of a namespace that belongs to the tenant. The error
// is the one of inject.NewTemplate.
func (t *templates) of(tenant *v1alpha1.EgressTenant, namespace string, neighbours *inject.Neighbours) (*inject.Template, error) {
	state := stateOf(tenant)
	if known, ok := t.cache.get(namespace); ok && known.tenant == state && known.neighbours == neighbours {
		return known.template, nil
	}
	template, err := inject.NewTemplate(t.cluster, tenant, namespace, neighbours)
	if err != nil {
		return nil, err
	}
	t.cache.put(namespace, cachedTemplate{state, neighbours, template})
	return template, nil
}

// tenantState identifies the parts of a tenant that injection reads: the UID differs
// after the tenant was recreated, the generation after its spec was changed.
type tenantState struct {
	uid        types.UID
	generation int64
	service    string // the address
}

func stateOf(tenant *v1alpha1.EgressTenant) tenantState {
	return tenantState{tenant.UID, tenant.Generation, tenant.ServiceAddress()}
}

// maxNamespaces bounds a perNamespace. More namespaces than clusters have with
// pods created at the same time, at some 4 KB for the largest value.
const maxNamespaces = 2048

// perNamespace is a bounded cache of one value for each namespace. The zero
// value is empty.
type perNamespace[V any] struct {
	lock   sync.RWMutex
	values map[string]V
}

func (c *perNamespace[V]) get(namespace string) (V, bool) {
	c.lock.RLock()
	defer c.lock.RUnlock()
	value, ok := c.values[namespace]
	return value, ok
}

func (c *perNamespace[V]) put(namespace string, value V) {
	c.lock.Lock()
	defer c.lock.Unlock()
	// The cache is not notified of deleted namespaces, so it is emptied when it
	// is full.
	if c.values == nil || len(c.values) >= maxNamespaces {
		c.values = make(map[string]V)
	}
	c.values[namespace] = value
}
