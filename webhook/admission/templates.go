package admission

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/inject"
)

// maxConfigurations bounds what configurations hold: some 2 KB each, and more
// namespaces than clusters have that pods are created in at the same time.
const maxConfigurations = 2048

// configurations computes what the pods of a namespace have in common once,
// instead of for each pod.
type configurations struct {
	cluster *inject.Cluster

	lock        sync.RWMutex
	byNamespace map[string]configured
}

// configured is a configuration, and the state of the tenant that it is of.
type configured struct {
	tenant        types.UID
	generation    int64
	configuration *inject.Configuration
}

func newConfigurations(cluster *inject.Cluster) *configurations {
	return &configurations{cluster: cluster, byNamespace: make(map[string]configured)}
}

// of returns the configuration of a namespace that belongs to the tenant. The
// error is that of inject.Configure.
func (c *configurations) of(tenant *v1alpha1.EgressTenant, namespace string) (*inject.Configuration, error) {
	c.lock.RLock()
	known, ok := c.byNamespace[namespace]
	c.lock.RUnlock()
	if ok && known.tenant == tenant.UID && known.generation == tenant.Generation {
		return known.configuration, nil
	}
	configuration, err := inject.Configure(c.cluster, tenant, namespace)
	if err != nil {
		return nil, err
	}
	c.lock.Lock()
	defer c.lock.Unlock()
	if len(c.byNamespace) >= maxConfigurations {
		// Namespaces come and go, and none says that it is gone.
		clear(c.byNamespace)
	}
	c.byNamespace[namespace] = configured{tenant.UID, tenant.Generation, configuration}
	return configuration, nil
}
