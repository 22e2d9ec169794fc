package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/util/sets"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/inject"
	"egress.scw/webhook/settings"
)

const (
	// issueInterval is the time after which a Certificate that is not issued is looked
	// at again, whether or not there was an event about it.
	issueInterval = 10 * time.Second
	// issuedInterval is that time for an issued one.
	issuedInterval = 10 * time.Minute
)

// SidecarReconciler gives the sidecars of a tenant's pods what they need: a Certificate
// of cert-manager for the tenant, and in each namespace of the tenant a Secret with the
// issued certificate, its key and the configuration of sidecars. It removes both when
// the tenant uses sidecars no more, and the Secret when a namespace leaves the tenant.
type SidecarReconciler struct {
	options      SidecarOptions
	certificates certificates
	copies       secretCopies
	authority    authority

	// publishing is held while the authorities are collected and written: an earlier
	// collection must not be written last.
	publishing sync.Mutex

	changes chan event.GenericEvent
	mu      sync.Mutex
	states  map[string]sidecarState
	// clean are the tenants without sidecars that have no Certificate left.
	clean sets.Set[string]
}

// SidecarOptions are the parts of a SidecarReconciler.
type SidecarOptions struct {
	// Client reads EgressTenants, Namespaces and the Secrets of sidecars from a cache.
	Client client.Client
	// Live reads Certificates and their Secrets from the API server.
	Live client.Reader
	// Namespace is that of the Issuer.
	Namespace string
	Settings  *settings.Settings
	// Resolvers are the cluster's DNS.
	Resolvers Resolvers
	// Unsupported returns why the settings do not have what a tenant needs, and nil if
	// they do.
	Unsupported func(*v1alpha1.EgressTenant) *inject.Refusal
	// DirectNames returns the domains that a tenant's pods reach without the proxy.
	DirectNames func(*v1alpha1.EgressTenant) []string
}

// NewSidecarReconciler returns the reconciler. All options are required.
func NewSidecarReconciler(options SidecarOptions) *SidecarReconciler {
	live, writer, namespace := options.Live, options.Client, options.Namespace
	return &SidecarReconciler{
		options:      options,
		certificates: certificates{live: live, writer: writer, namespace: namespace},
		copies:       secretCopies{cache: writer, writer: writer},
		authority:    authority{live: live, writer: writer, namespace: namespace},
		changes:      make(chan event.GenericEvent, 2*(names.TenantPortMax-names.TenantPortMin+1)),
		states:       map[string]sidecarState{},
		clean:        sets.New[string](),
	}
}

// SetupWithManager registers the controller, which runs on the leader only. Without
// the kind Certificate there are no events about Certificates, and the controller
// looks at them after issueInterval and issuedInterval alone.
func (r *SidecarReconciler) SetupWithManager(mgr ctrl.Manager) error {
	controlled := ctrl.NewControllerManagedBy(mgr).
		Named("sidecar").
		WithLogConstructor(logConstructor(mgr, "sidecar", "tenant")).
		For(&v1alpha1.EgressTenant{}, builder.WithPredicates(predicate.Funcs{UpdateFunc: specMayDiffer})).
		// A namespace that changes its tenant arrives under both.
		Watches(&corev1.Namespace{}, enqueueLater(namespaceToTenant)).
		Watches(&corev1.Secret{}, enqueueLater(r.secretToTenants)).
		WithOptions(controller.Options{MaxConcurrentReconciles: concurrentTenants, RateLimiter: retryLimiter()})
	certificates, err := certificateSource(mgr, r.certificates.namespace)
	switch {
	case meta.IsNoMatchError(err):
		mgr.GetLogger().Error(errNoCertManager, "certificates of sidecars are not watched")
	case err != nil:
		return err
	default:
		controlled.WatchesRawSource(certificates)
	}
	if err := controlled.Complete(r); err != nil {
		return fmt.Errorf("setting up the controller of sidecars: %w", err)
	}
	return nil
}

// concurrentTenants is the number of tenants whose certificates and Secrets are kept
// at the same time.
const concurrentTenants = 4

// secretToTenants maps a Secret to the tenant of its label and to that of its
// namespace.
func (r *SidecarReconciler) secretToTenants(ctx context.Context, secret client.Object) []reconcile.Request {
	requests := namespaceToTenant(ctx, secret)
	namespace := &corev1.Namespace{}
	if err := r.options.Client.Get(ctx, client.ObjectKey{Name: secret.GetNamespace()}, namespace); err == nil {
		requests = append(requests, namespaceToTenant(ctx, namespace)...)
	}
	return requests
}

// Reconcile keeps the Certificate and the Secrets of one tenant.
func (r *SidecarReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	tenant := &v1alpha1.EgressTenant{}
	err := r.options.Client.Get(ctx, request.NamespacedName, tenant)
	if client.IgnoreNotFound(err) != nil {
		return ctrl.Result{}, fmt.Errorf("reading EgressTenant %s: %w", request.Name, err)
	}
	if err != nil || !usesSidecars(tenant) {
		return ctrl.Result{}, r.removeAll(ctx, request.Name)
	}
	if len(tenant.Validate()) > 0 {
		// The former state stays: pods that run keep their certificate.
		r.setState(ctx, tenant, r.stateOf(tenant.Name).orElse(names.ReasonInvalidSpec, "The spec is not valid: see the condition Ready"))
		return ctrl.Result{}, nil
	}
	state, err := r.keep(ctx, tenant)
	r.setState(ctx, tenant, state)
	// A namespace that refuses its Secret does not keep the proxies from the authority.
	if err == nil || state.identity != nil {
		err = errors.Join(err, r.publishAuthority(ctx))
	}
	if err != nil {
		return ctrl.Result{}, err
	}
	if state.reason != names.ReasonSidecarReady {
		return ctrl.Result{RequeueAfter: issueInterval}, nil
	}
	return ctrl.Result{RequeueAfter: issuedInterval}, nil
}

// usesSidecars reports whether pods of the tenant get sidecars.
func usesSidecars(tenant *v1alpha1.EgressTenant) bool {
	return tenant.Spec.Sidecar != nil && tenant.Spec.IsProxied()
}

// removeAll removes everything of a tenant that uses no sidecars, or does not exist.
// It asks the API server once.
func (r *SidecarReconciler) removeAll(ctx context.Context, tenant string) error {
	r.mu.Lock()
	clean := r.clean.Has(tenant)
	delete(r.states, tenant)
	r.mu.Unlock()
	if err := r.copies.removeOthers(ctx, tenant, nil); err != nil || clean {
		return err
	}
	if _, err := r.certificates.removeOthers(ctx, tenant, ""); errors.Is(err, errNoCertManager) {
		return nil // there is none to remove
	} else if err != nil {
		return err
	}
	r.mu.Lock()
	r.clean.Insert(tenant)
	r.mu.Unlock()
	return r.publishAuthority(ctx)
}

// keep keeps the Certificate and the Secrets of a tenant that uses sidecars, and returns
// the state that it found or made. With an error, too.
func (r *SidecarReconciler) keep(ctx context.Context, tenant *v1alpha1.EgressTenant) (sidecarState, error) {
	state, err := r.issue(ctx, tenant)
	switch {
	case errors.Is(err, errNoCertManager):
		state = r.unread(tenant.Name, "No certificate is issued or renewed for the sidecars of the tenant's pods: "+err.Error())
	case err != nil:
		return r.unread(tenant.Name, err.Error()), err
	}
	namespaces, ending, err := r.namespacesOf(ctx, tenant.Name)
	if err == nil {
		err = r.copies.removeOthers(ctx, tenant.Name, slices.Concat(namespaces, ending))
	}
	if err != nil || state.identity == nil {
		return state, err
	}
	return r.copyTo(ctx, tenant, state, namespaces)
}

// copyTo keeps the Secrets of a tenant with a certificate in its namespaces, and returns
// the state with the fault that it found. With an error, too.
func (r *SidecarReconciler) copyTo(ctx context.Context, tenant *v1alpha1.EgressTenant, state sidecarState, namespaces []string) (sidecarState, error) {
	if refusal := r.options.Unsupported(tenant); refusal != nil {
		// Pods that run keep the Secret that they have.
		state.reason, state.message = refusal.Reason, refusal.Message
		return state, nil //nolint:nilerr // the state has the refusal
	}
	contents, err := r.contents(tenant, state.identity)
	if err != nil {
		state.reason, state.message = names.ReasonSecretNotCopied, err.Error()
		return state, err
	}
	failed, err := r.copies.write(ctx, tenant.Name, namespaces, contents)
	if err != nil {
		state.reason = names.ReasonSecretNotCopied
		state.message = fmt.Sprintf("Secret %s, which the sidecars of the tenant's pods need, could not be written in %s: %v", names.SidecarName, enumerate(failed), err)
	}
	return state, err
}

// issue keeps the tenant's Certificate, and reads the Secret that cert-manager wrote for
// it. While other tenants have the same port, the Certificate stays as it is.
func (r *SidecarReconciler) issue(ctx context.Context, tenant *v1alpha1.EgressTenant) (sidecarState, error) {
	wanted := tenantCertificate(tenant, r.certificates.namespace)
	certificate, err := r.certificates.removeOthers(ctx, tenant.Name, wanted.Name)
	if err != nil {
		return sidecarState{}, err
	}
	holders, err := tenantsOnPort(ctx, r.options.Client, tenant.Spec.ProxyPort())
	if err != nil {
		return sidecarState{}, err
	}
	switch {
	case certificateInSync(certificate, wanted):
	case len(holders) > 1 && certificate == nil:
		return sidecarState{
			reason: names.ReasonPortConflict, message: "No certificate is issued for the sidecars of the tenant's pods while another tenant has the same port",
		}, nil
	case len(holders) > 1:
	default:
		if certificate, err = r.certificates.apply(ctx, wanted); err != nil {
			return sidecarState{}, err
		}
		ctrl.LoggerFrom(ctx).Info("Certificate of a tenant applied", "certificate", wanted.Name)
	}
	secret := &corev1.Secret{}
	err = r.options.Live.Get(ctx, client.ObjectKeyFromObject(certificate), secret)
	if client.IgnoreNotFound(err) != nil {
		return sidecarState{}, fmt.Errorf("reading Secret %s/%s: %w", certificate.Namespace, certificate.Name, err)
	}
	state, now := sidecarState{}, time.Now()
	if apierrors.IsNotFound(err) {
		err = errors.New("it has no Secret")
	} else if state.identity, err = parseIdentity(secret, tenant.Name, now); err == nil {
		if err := r.certificates.own(ctx, secret, certificate); err != nil {
			return sidecarState{}, err
		}
	}
	state.reason, state.message = judgeIssue(certificate, state.identity, err, now)
	return state, nil
}

// namespacesOf returns the names of the namespaces of a tenant: those that get
// its Secret, and those that keep it because they end and their pods may still run.
func (r *SidecarReconciler) namespacesOf(ctx context.Context, tenant string) (living, ending []string, err error) {
	list, err := listNamespaces(ctx, r.options.Client, tenant)
	if err != nil {
		return nil, nil, err
	}
	for i := range list {
		switch namespace := &list[i]; {
		case r.options.Settings.ProtectedNamespaces.Has(namespace.Name):
		case namespace.DeletionTimestamp != nil:
			ending = append(ending, namespace.Name)
		default:
			living = append(living, namespace.Name)
		}
	}
	slices.Sort(living)
	return living, ending, nil
}
