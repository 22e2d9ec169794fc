package watch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	corev1apply "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/kubernetes/scheme"
	coordinationv1 "k8s.io/client-go/kubernetes/typed/coordination/v1"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
)

// Cluster is the cluster of the tenants.
type Cluster struct {
	Leases coordinationv1.LeasesGetter
	// Namespace is the namespace of the webhook's chart.
	Namespace string

	types   *runtime.Scheme
	core    typedcorev1.CoreV1Interface
	tenants cache.SharedInformer
	changed chan struct{}

	mutex   sync.Mutex
	removed map[string]bool
	problem error // of the last attempt to list or watch EgressTenants; nil after a success
}

// NewCluster returns the cluster that a configuration leads to. It sends no request.
func NewCluster(config *rest.Config, namespace string) (*Cluster, error) {
	types := runtime.NewScheme()
	if err := errors.Join(scheme.AddToScheme(types), v1alpha1.AddToScheme(types)); err != nil {
		return nil, err
	}
	config = rest.CopyConfig(config)
	config.ContentType = runtime.ContentTypeJSON // the only one of EgressTenants
	// Not the clientset of all groups, which would make the program larger by 9 MB.
	core, coreErr := typedcorev1.NewForConfig(config)
	leases, leaseErr := coordinationv1.NewForConfig(config)
	if err := errors.Join(coreErr, leaseErr); err != nil {
		return nil, err
	}
	own := rest.CopyConfig(config)
	own.GroupVersion, own.APIPath = &v1alpha1.GroupVersion, "/apis"
	own.NegotiatedSerializer = serializer.NewCodecFactory(types).WithoutConversion()
	egress, err := rest.RESTClientFor(own)
	if err != nil {
		return nil, err
	}
	c := &Cluster{
		Leases: leases, Namespace: namespace, types: types, core: core,
		changed: make(chan struct{}, 1), removed: map[string]bool{},
	}
	list := cache.NewListWatchFromClient(egress, "egresstenants", metav1.NamespaceAll, fields.Everything())
	c.noteAttempts(list)
	c.tenants = cache.NewSharedInformer(list, &v1alpha1.EgressTenant{}, 0)
	return c, errors.Join(c.handle(), c.tenants.SetWatchErrorHandlerWithContext(func(ctx context.Context, r *cache.Reflector, err error) {
		c.noteAttempt(err)
		cache.DefaultWatchErrorHandler(ctx, r, err)
	}))
}

// noteAttempts notes the results of attempts to watch. The handler of errors does not learn
// of all failures, and not of successes.
func (c *Cluster) noteAttempts(list *cache.ListWatch) {
	open := list.WatchFuncWithContext
	list.WatchFuncWithContext = func(ctx context.Context, options metav1.ListOptions) (apiwatch.Interface, error) {
		changes, err := open(ctx, options)
		c.noteAttempt(err)
		return changes, err
	}
}

func (c *Cluster) noteAttempt(err error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.problem = err
}

// handle registers the handlers of changes. Status changes are none: the webhook writes
// them all the time.
func (c *Cluster) handle() error {
	_, err := c.tenants.AddEventHandler(cache.ResourceEventHandlerDetailedFuncs{
		AddFunc: func(object any, initial bool) {
			if tenant, ok := object.(*v1alpha1.EgressTenant); ok {
				c.note(tenant.Name, false, !initial)
			}
		},
		UpdateFunc: func(before, after any) {
			old, ok := before.(*v1alpha1.EgressTenant)
			tenant, both := after.(*v1alpha1.EgressTenant)
			if ok && both && !equality.Semantic.DeepEqual(old.Spec, tenant.Spec) {
				c.note(tenant.Name, false, true)
			}
		},
		DeleteFunc: func(object any) {
			switch object := object.(type) {
			case *v1alpha1.EgressTenant:
				c.note(object.Name, true, true)
			case cache.DeletedFinalStateUnknown:
				// It is missing from a new list, after a watch that has ended early. The list
				// is complete, but also one of a cluster that a backup was restored to.
				c.note(object.Key, false, true)
			}
		},
	})
	return err
}

func (c *Cluster) note(tenant string, removed, changed bool) {
	c.mutex.Lock()
	delete(c.removed, tenant)
	if removed {
		c.removed[tenant] = true
	}
	c.mutex.Unlock()
	if changed {
		select {
		case c.changed <- struct{}{}:
		default: // one that is not taken yet is enough
		}
	}
}

// Run keeps the EgressTenants up to date until the context ends.
func (c *Cluster) Run(ctx context.Context) { c.tenants.RunWithContext(ctx) }

// Changed receives a value after each change of the spec of an EgressTenant.
func (c *Cluster) Changed() <-chan struct{} { return c.changed }

// Synced waits until the EgressTenants are known, at most for a time.
func (c *Cluster) Synced(ctx context.Context, atMost time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	cache.WaitForCacheSync(ctx.Done(), c.tenants.HasSynced)
}

// Tenants returns the EgressTenants, and the names of those whose removal was seen: as an
// event, and not as their absence from a list.
// Before the first list it is an error: without its tenants, the proxy would close
// their ports.
func (c *Cluster) Tenants() ([]v1alpha1.EgressTenant, map[string]bool, error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if !c.tenants.HasSynced() {
		if c.problem != nil {
			return nil, nil, fmt.Errorf("the EgressTenants cannot be read from the cluster: %w", c.problem)
		}
		return nil, nil, errors.New("the EgressTenants have not been read from the cluster yet")
	}
	var tenants []v1alpha1.EgressTenant
	for _, object := range c.tenants.GetStore().List() {
		if tenant, ok := object.(*v1alpha1.EgressTenant); ok {
			tenants = append(tenants, *tenant.DeepCopy())
		}
	}
	removed := map[string]bool{}
	for name := range c.removed {
		removed[name] = true
	}
	return tenants, removed, nil
}

// Outdated returns the reason for which changes of EgressTenants are not seen; nil if they
// are. The EgressTenants of before are still known.
func (c *Cluster) Outdated() error {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.problem == nil {
		return nil
	}
	return fmt.Errorf("changes of EgressTenants are not seen: %w", c.problem)
}

// ConfigText returns a value of a ConfigMap in the namespace; empty if there is none.
func (c *Cluster) ConfigText(ctx context.Context, name, key string) (string, error) {
	object, err := c.core.ConfigMaps(c.Namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("reading the ConfigMap %s/%s: %w", c.Namespace, name, err)
	}
	return object.Data[key], nil
}

// PublishValues writes the values of the chart into the ConfigMap names.ValuesConfigMap,
// unless they are there.
func (c *Cluster) PublishValues(ctx context.Context, text string) error {
	if now, err := c.ConfigText(ctx, names.ValuesConfigMap, names.ValuesKey); err != nil || now == text {
		return err
	}
	object := corev1apply.ConfigMap(names.ValuesConfigMap, c.Namespace).WithData(map[string]string{names.ValuesKey: text})
	_, err := c.core.ConfigMaps(c.Namespace).Apply(ctx, object, metav1.ApplyOptions{FieldManager: names.BootstrapFieldOwner, Force: true})
	if err != nil {
		return fmt.Errorf("writing the ConfigMap %s/%s: %w", c.Namespace, names.ValuesConfigMap, err)
	}
	return nil
}

// Recorder returns the recorder of events, until the context ends.
func (c *Cluster) Recorder(ctx context.Context) record.EventRecorder {
	broadcaster := record.NewBroadcaster(record.WithContext(ctx))
	broadcaster.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: c.core.Events("")})
	return broadcaster.NewRecorder(c.types, corev1.EventSource{Component: names.BootstrapFieldOwner})
}

// Lease is the object of events.
func (c *Cluster) Lease() runtime.Object {
	return &corev1.ObjectReference{APIVersion: "coordination.k8s.io/v1", Kind: "Lease", Namespace: c.Namespace, Name: names.WatchLease}
}
