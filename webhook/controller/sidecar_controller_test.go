package controller

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/sidecar"
	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/inject"
	"egress.scw/webhook/settings"
)

// issued is an API server with a tenant whose certificate is in the namespace "web".
func issued(t *testing.T, authority *testAuthority, objects ...client.Object) (*api, *SidecarReconciler) {
	t.Helper()
	server := newAPI(t, append(objects, tenantWithSidecar("client-a", 3129), namespaceFixture("web", "client-a"))...)
	r := newSidecarReconciler(t, server)
	reconcileSidecars(t, r, "client-a")
	authority.issue(t, server, 3129, "client-a")
	if state := reconcileSidecars(t, r, "client-a"); state.reason != names.ReasonSidecarReady || copyIn(t, server, "web") == nil {
		t.Fatalf("the state is %s: %s", state.reason, state.message)
	}
	return server, r
}

// A tenant with sidecars gets a Certificate. It is in the namespace of the Issuer, and
// goes with the tenant.
func TestTenantGetsCertificate(t *testing.T) {
	t.Parallel()
	tenant := tenantWithSidecar("client-a", 3129)
	tenant.UID = "tenant-uid"
	server := newAPI(t, tenant)
	state := reconcileSidecars(t, newSidecarReconciler(t, server), "client-a")
	certificate := certificateOf(t, server, 3129)
	if certificate == nil {
		t.Fatal("there is no Certificate")
	}
	if state.reason != names.ReasonCertificateNotIssued && state.reason != names.ReasonCertificatePending {
		t.Errorf("the state is %s: %s", state.reason, state.message)
	}
	spec := certificate.Spec
	if spec.CommonName != "client-a" || !slices.Equal(spec.Subject.Organizations, []string{"egress.scw"}) {
		t.Errorf("the subject is %s, %v", spec.CommonName, spec.Subject)
	}
	if spec.Duration.Duration != 24*time.Hour || spec.RenewBefore.Duration != 8*time.Hour {
		t.Errorf("it lives %s, and is renewed %s before the end", spec.Duration.Duration, spec.RenewBefore.Duration)
	}
	if key := spec.PrivateKey; key.Algorithm != certmanagerv1.ECDSAKeyAlgorithm || key.Size != 256 || key.RotationPolicy != certmanagerv1.RotationPolicyAlways {
		t.Errorf("the key is %+v", key)
	}
	if slices.Contains(spec.Usages, certmanagerv1.UsageServerAuth) || !slices.Contains(spec.Usages, certmanagerv1.UsageClientAuth) || spec.IsCA {
		t.Errorf("it is for %v, for an authority: %t", spec.Usages, spec.IsCA)
	}
	if spec.IssuerRef.Name != names.SidecarIssuer || spec.IssuerRef.Kind != "Issuer" {
		t.Errorf("the issuer is %+v", spec.IssuerRef)
	}
	if owners := certificate.OwnerReferences; len(owners) != 1 || owners[0].Kind != names.KindEgressTenant || owners[0].UID != "tenant-uid" {
		t.Errorf("the owner is %+v", owners)
	}
}

// The issued certificate is copied into the namespaces of the tenant, with the
// configuration, and into no others. Nothing is written while nothing changes.
func TestCertificateIsCopied(t *testing.T) {
	t.Parallel()
	authority := newAuthority(t)
	ending := namespaceFixture("ending", "client-a")
	ending.DeletionTimestamp, ending.Finalizers = new(metav1.Now()), []string{"kubernetes"}
	server, r := issued(t, authority, namespaceFixture("api", "client-a"), namespaceFixture("other", "client-b"), namespaceFixture("kube-system", "client-a"), ending)

	for _, namespace := range []string{"web", "api"} {
		secret := copyIn(t, server, namespace)
		if secret == nil {
			t.Fatalf("namespace %s has no Secret", namespace)
		}
		config, err := sidecar.Parse(secret.Data[names.SidecarConfigKey])
		if err != nil {
			t.Fatal(err)
		}
		want := &sidecar.Config{Tenant: "client-a", Machines: []sidecar.Machine{
			{Address: netip.MustParseAddrPort("172.16.28.8:3443"), Certificate: r.options.Settings.Proxy.Machines[0].Certificate},
		}}
		if diff := cmp.Diff(want, config, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
			t.Errorf("configuration (-want +got):\n%s", diff)
		}
		if _, err := parseIdentity(&corev1.Secret{Data: map[string][]byte{
			corev1.TLSCertKey: secret.Data[names.SidecarCertificateKey], corev1.TLSPrivateKeyKey: secret.Data[names.SidecarPrivateKeyKey], "ca.crt": authority.pem,
		}}, "client-a", time.Now()); err != nil {
			t.Error(err)
		}
		if secret.Type != corev1.SecretTypeOpaque || len(secret.Data) != 3 {
			t.Errorf("the Secret has type %s and %d keys", secret.Type, len(secret.Data))
		}
	}
	for _, namespace := range []string{"other", "kube-system", "ending"} {
		if copyIn(t, server, namespace) != nil {
			t.Errorf("namespace %s has the Secret", namespace)
		}
	}
	if public := get(t, server, issuerNamespace, names.AuthorityConfigMap, &corev1.ConfigMap{}); public == nil || public.Data[names.AuthorityKey] != string(authority.pem) {
		t.Errorf("the authority is published as %v", public)
	}
	owned := get(t, server, issuerNamespace, names.SidecarCertificate(3129), &corev1.Secret{})
	if len(owned.OwnerReferences) != 1 || owned.OwnerReferences[0].Kind != "Certificate" {
		t.Errorf("the owner of the issued Secret is %+v: it stays when the tenant goes", owned.OwnerReferences)
	}
	writes := server.applied + server.deleted
	reconcileSidecars(t, r, "client-a")
	if now := server.applied + server.deleted; now != writes {
		t.Errorf("%d writes although nothing changed", now-writes)
	}
}

// A renewed certificate, another list of machines and other ports arrive in the copies.
func TestCopiesFollow(t *testing.T) {
	t.Parallel()
	authority := newAuthority(t)
	server, r := issued(t, authority)
	first := copyIn(t, server, "web")

	authority.issue(t, server, 3129, "client-a")
	reconcileSidecars(t, r, "client-a")
	renewed := copyIn(t, server, "web")
	if slices.Equal(first.Data[names.SidecarPrivateKeyKey], renewed.Data[names.SidecarPrivateKeyKey]) {
		t.Error("the copy has the former key after the renewal")
	}

	r.options.Settings.Proxy.Machines = append(r.options.Settings.Proxy.Machines, settings.Machine{Address: netip.MustParseAddr("172.16.28.9"), Certificate: machineFixture(t).Certificate})
	tenant := get(t, server, "", "client-a", &v1alpha1.EgressTenant{})
	tenant.Spec.Sidecar.Capture = v1alpha1.CaptureNames
	tenant.Spec.Allow = &v1alpha1.AllowSpec{Domains: []string{"db.example.com"}, Ports: []int32{5432, 443}}
	if err := server.Update(t.Context(), tenant); err != nil {
		t.Fatal(err)
	}
	reconcileSidecars(t, r, "client-a")
	config, err := sidecar.Parse(copyIn(t, server, "web").Data[names.SidecarConfigKey])
	if err != nil {
		t.Fatal(err)
	}
	if len(config.Machines) != 2 || config.Capture == nil || !slices.Equal(config.Capture.Ports, []uint16{443, 5432}) {
		t.Errorf("the configuration is %+v, capture %+v", config, config.Capture)
	}
	if want := netip.MustParseAddrPort("10.32.0.10:53"); !slices.Equal(config.Capture.Resolvers, []netip.AddrPort{want}) || config.Capture.ClusterDomain != "cluster.local" {
		t.Errorf("names of %q are asked of %v", config.Capture.ClusterDomain, config.Capture.Resolvers)
	}
	if want := []string{"internal", "intranet.example.com"}; !slices.Equal(config.Capture.Direct, want) {
		t.Errorf("reached without the proxy are %v, want %v", config.Capture.Direct, want)
	}
	if want := netip.MustParsePrefix("10.32.0.0/20"); !slices.Equal(config.Capture.Ranges, []netip.Prefix{want}) {
		t.Errorf("the ranges of the cluster are %v, want %v", config.Capture.Ranges, want)
	}
}

// A tenant with dns Closed has no other resolver in its sidecars either.
func TestCaptureWithClosedDNS(t *testing.T) {
	t.Parallel()
	r := newSidecarReconciler(t, newAPI(t))
	tenant := tenantWithSidecar("client-a", 3129)
	tenant.Spec.DNS = v1alpha1.DNSClosed
	r.options.Settings.DNS.Closed = &settings.ClosedDNS{Address: netip.MustParseAddr("10.32.0.11")}
	if got, err := r.resolversOf(tenant); err != nil || !slices.Equal(got, []netip.AddrPort{netip.MustParseAddrPort("10.32.0.11:53")}) {
		t.Errorf("resolvers %v, error %v", got, err)
	}
}

// Where the settings lack what sidecars need, the certificate is issued and the
// authority published, which bootstrap needs to complete the settings. Pods keep the
// Secret that they have, and no namespace gets a new one.
func TestUnsupportedTenantGetsNoSecret(t *testing.T) {
	t.Parallel()
	authority := newAuthority(t)
	server, r := issued(t, authority)
	r.options.Settings.Proxy.Machines = nil
	refusal := &inject.Refusal{Reason: names.ReasonSidecarNotOffered, Message: "there is no machine"}
	r.options.Unsupported = func(*v1alpha1.EgressTenant) *inject.Refusal { return refusal }
	if err := server.Create(t.Context(), namespaceFixture("api", "client-a")); err != nil {
		t.Fatal(err)
	}
	if err := server.Delete(t.Context(), get(t, server, issuerNamespace, names.AuthorityConfigMap, &corev1.ConfigMap{})); err != nil {
		t.Fatal(err)
	}
	if state := reconcileSidecars(t, r, "client-a"); state.reason != refusal.Reason || state.message != refusal.Message {
		t.Errorf("the state is %s: %s", state.reason, state.message)
	}
	if copyIn(t, server, "web") == nil || copyIn(t, server, "api") != nil {
		t.Error("pods lost their Secret, or a namespace got one without machines")
	}
	if public := get(t, server, issuerNamespace, names.AuthorityConfigMap, &corev1.ConfigMap{}); public == nil || public.Data[names.AuthorityKey] != string(authority.pem) {
		t.Errorf("the authority is published as %v", public)
	}
}

// The copy goes when the namespace leaves the tenant, and stays in one that ends:
// its pods may still run.
func TestCopyGoesWithTheNamespace(t *testing.T) {
	t.Parallel()
	server, r := issued(t, newAuthority(t), namespaceFixture("api", "client-a"))
	for namespace, change := range map[string]func(*corev1.Namespace){
		"web": func(n *corev1.Namespace) { delete(n.Labels, names.LabelTenant) },
		"api": func(n *corev1.Namespace) { n.Labels[names.LabelTenant] = "client-b" },
	} {
		changed := get(t, server, "", namespace, &corev1.Namespace{})
		change(changed)
		if err := server.Update(t.Context(), changed); err != nil {
			t.Fatal(err)
		}
	}
	reconcileSidecars(t, r, "client-a")
	for _, namespace := range []string{"web", "api"} {
		if copyIn(t, server, namespace) != nil {
			t.Errorf("namespace %s keeps the Secret of a tenant that it has left", namespace)
		}
	}
	// The next reconcile finds a Secret in a namespace that ends.
	server, r = issued(t, newAuthority(t))
	ending := get(t, server, "", "web", &corev1.Namespace{})
	ending.Finalizers = []string{"kubernetes"}
	if err := server.Update(t.Context(), ending); err != nil {
		t.Fatal(err)
	}
	if err := server.Delete(t.Context(), ending); err != nil {
		t.Fatal(err)
	}
	reconcileSidecars(t, r, "client-a")
	if copyIn(t, server, "web") == nil {
		t.Error("the Secret was removed from pods that may still run")
	}
}

// Everything goes when the tenant uses sidecars no more, or is deleted.
func TestEverythingGoesWithTheSidecar(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*testing.T, *api, *v1alpha1.EgressTenant) error{
		"no sidecar": func(t *testing.T, server *api, tenant *v1alpha1.EgressTenant) error {
			tenant.Spec.Sidecar = nil
			return server.Update(t.Context(), tenant)
		},
		"no tenant": func(t *testing.T, server *api, tenant *v1alpha1.EgressTenant) error {
			return server.Delete(t.Context(), tenant)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, r := issued(t, newAuthority(t))
			if err := change(t, server, get(t, server, "", "client-a", &v1alpha1.EgressTenant{})); err != nil {
				t.Fatal(err)
			}
			if state := reconcileSidecars(t, r, "client-a"); state.reason != "" {
				t.Errorf("the state is %s", state.reason)
			}
			if certificateOf(t, server, 3129) != nil || copyIn(t, server, "web") != nil {
				t.Error("the Certificate or the Secret stays")
			}
		})
	}
}

// With another port, the tenant has another Certificate. Pods keep the certificate of
// the former until it is issued. A Secret that another tenant left there is not copied.
func TestPortOfCertificateChanges(t *testing.T) {
	t.Parallel()
	authority := newAuthority(t)
	server, r := issued(t, authority)
	former := copyIn(t, server, "web")
	tenant := get(t, server, "", "client-a", &v1alpha1.EgressTenant{})
	tenant.Spec.Proxy.Port = 3140
	if err := server.Update(t.Context(), tenant); err != nil {
		t.Fatal(err)
	}
	reconcileSidecars(t, r, "client-a")
	if certificateOf(t, server, 3129) != nil || certificateOf(t, server, 3140) == nil {
		t.Fatal("the Certificates are not those of the new port")
	}
	authority.issue(t, server, 3140, "client-b")
	state := reconcileSidecars(t, r, "client-a")
	if state.identity != nil || !strings.Contains(state.message, `a certificate of "client-b"`) && state.reason != names.ReasonCertificatePending {
		t.Errorf("the state is %s: %s", state.reason, state.message)
	}
	if now := copyIn(t, server, "web"); now == nil || !cmp.Equal(now.Data, former.Data) {
		t.Error("pods lost the certificate, or got that of another tenant")
	}
	authority.issue(t, server, 3140, "client-a")
	reconcileSidecars(t, r, "client-a")
	if now := copyIn(t, server, "web"); cmp.Equal(now.Data, former.Data) {
		t.Error("the certificate of the new port is not copied")
	}
}

// While two tenants have one port, Certificates stay as they are.
func TestPortOfCertificateIsShared(t *testing.T) {
	t.Parallel()
	server, r := issued(t, newAuthority(t))
	if err := server.Create(t.Context(), tenantWithSidecar("client-b", 3129)); err != nil {
		t.Fatal(err)
	}
	if state := reconcileSidecars(t, r, "client-b"); state.reason != names.ReasonPortConflict {
		t.Errorf("the state is %s: %s", state.reason, state.message)
	}
	if state := reconcileSidecars(t, r, "client-a"); state.reason != names.ReasonSidecarReady {
		t.Errorf("the state is %s: %s", state.reason, state.message)
	}
	if got := certificateOf(t, server, 3129).Spec.CommonName; got != "client-a" {
		t.Errorf("the Certificate is that of %s", got)
	}
}

// A copy that another client edited, replaced or deleted is restored.
func TestCopyIsRestored(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*testing.T, *api, *corev1.Secret) error{
		"edited": func(t *testing.T, server *api, secret *corev1.Secret) error {
			secret.Data[names.SidecarConfigKey] = []byte("{}")
			return server.Update(t.Context(), secret)
		},
		"with a further key": func(t *testing.T, server *api, secret *corev1.Secret) error {
			secret.Data["note"] = []byte("of another client")
			return server.Update(t.Context(), secret)
		},
		"without the label": func(t *testing.T, server *api, secret *corev1.Secret) error {
			secret.Labels = nil
			return server.Update(t.Context(), secret)
		},
		"deleted": func(t *testing.T, server *api, secret *corev1.Secret) error {
			return server.Delete(t.Context(), secret)
		},
		"of another type": func(t *testing.T, server *api, secret *corev1.Secret) error {
			other := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: secret.Name, Namespace: secret.Namespace}, Type: corev1.SecretTypeTLS}
			return errors.Join(server.Delete(t.Context(), secret), server.Create(t.Context(), other))
		},
		"immutable": func(t *testing.T, server *api, secret *corev1.Secret) error {
			other := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: secret.Name, Namespace: secret.Namespace}, Type: corev1.SecretTypeOpaque, Immutable: new(true)}
			return errors.Join(server.Delete(t.Context(), secret), server.Create(t.Context(), other))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, r := issued(t, newAuthority(t))
			before := copyIn(t, server, "web")
			if err := change(t, server, before.DeepCopy()); err != nil {
				t.Fatal(err)
			}
			reconcileSidecars(t, r, "client-a")
			after := copyIn(t, server, "web")
			if diff := cmp.Diff(before.Data, after.Data); diff != "" || after.Labels[names.LabelTenant] != "client-a" || after.Type != corev1.SecretTypeOpaque || after.Immutable != nil {
				t.Errorf("type %s, labels %v, immutable %v; -want +got:\n%s", after.Type, after.Labels, after.Immutable, diff)
			}
		})
	}
}

// A namespace that refuses the Secret delays no other one, and is named.
func TestOneNamespaceRefusesTheCopy(t *testing.T) {
	t.Parallel()
	var objects []client.Object
	for i := range 40 {
		objects = append(objects, namespaceFixture(fmt.Sprintf("web-%02d", i), "client-a"))
	}
	server, r := issued(t, newAuthority(t), objects...)
	for i := range 40 {
		if namespace := fmt.Sprintf("web-%02d", i); copyIn(t, server, namespace) == nil {
			t.Fatalf("namespace %s has no Secret", namespace)
		}
	}
	if err := server.Create(t.Context(), namespaceFixture("last", "client-a")); err != nil {
		t.Fatal(err)
	}
	server.failApply = errors.New("exceeded quota")
	_, err := r.Reconcile(t.Context(), requestFor("client-a"))
	state := r.stateOf("client-a")
	want := "Secret egress-sidecar, which the sidecars of the tenant's pods need, could not be written in last: applying Secret last/egress-sidecar: exceeded quota"
	if err == nil || state.reason != names.ReasonSecretNotCopied || state.message != want {
		t.Errorf("error %v, state %s: %s", err, state.reason, state.message)
	}
}

// refusingSecrets is an API server that refuses Secrets in a namespace, as a quota does.
type refusingSecrets struct {
	client.Client
	in string
}

func (c refusingSecrets) Apply(ctx context.Context, config runtime.ApplyConfiguration, options ...client.ApplyOption) error {
	if object, ok := config.(interface {
		GetKind() string
		GetNamespace() string
	}); ok && object.GetKind() == "Secret" && object.GetNamespace() == c.in {
		return errors.New("exceeded quota")
	}
	return c.Client.Apply(ctx, config, options...)
}

// A namespace that refuses the Secret does not keep the authority from the proxies: they
// would refuse the sidecars of all namespaces.
func TestAuthorityIsPublishedInSpiteOfARefusedCopy(t *testing.T) {
	t.Parallel()
	authority := newAuthority(t)
	server := newAPI(t, tenantWithSidecar("client-a", 3129), namespaceFixture("web", "client-a"), namespaceFixture("full", "client-a"))
	options := sidecarOptions(t, server)
	options.Client = strippedCache{refusingSecrets{server, "full"}}
	r := NewSidecarReconciler(options)
	reconcileSidecars(t, r, "client-a")
	authority.issue(t, server, 3129, "client-a")
	if _, err := r.Reconcile(t.Context(), requestFor("client-a")); err == nil || !strings.Contains(err.Error(), "exceeded quota") {
		t.Errorf("error %v", err)
	}
	if found := get(t, server, issuerNamespace, names.AuthorityConfigMap, &corev1.ConfigMap{}); found == nil || found.Data[names.AuthorityKey] != string(authority.pem) {
		t.Errorf("the authority is published as %v", found)
	}
}

// Without the kinds of cert-manager, the tenant's status tells what to install, and
// the other tenants work.
func TestNoCertManager(t *testing.T) {
	t.Parallel()
	server := newAPI(t, tenantWithSidecar("client-a", 3129), tenantFixture("client-b", 3130), namespaceFixture("web", "client-a"))
	r := newSidecarReconciler(t, server)
	r.certificates.live = noCertificates{server}
	state := reconcileSidecars(t, r, "client-a")
	if state.reason != names.ReasonCertificateNotIssued || !strings.Contains(state.message, "install cert-manager with its CRDs") {
		t.Errorf("the state is %s: %s", state.reason, state.message)
	}
	if state := reconcileSidecars(t, r, "client-b"); state.reason != "" {
		t.Errorf("a tenant without sidecars: %s", state.reason)
	}
	// It is installed later.
	r.certificates.live = server
	reconcileSidecars(t, r, "client-a")
	if certificateOf(t, server, 3129) == nil {
		t.Error("there is no Certificate after cert-manager was installed")
	}
}

// noCertificates is an API server that does not know the kind Certificate.
type noCertificates struct{ client.Reader }

func (noCertificates) List(context.Context, client.ObjectList, ...client.ListOption) error {
	return &meta.NoKindMatchError{GroupKind: schema.GroupKind{Group: "cert-manager.io", Kind: "Certificate"}}
}

// Both authorities are published while certificates of both are in use, and none before
// all certificates have been looked at.
func TestAuthorityIsReplaced(t *testing.T) {
	t.Parallel()
	first, second := newAuthority(t), newAuthority(t)
	server := newAPI(t, tenantWithSidecar("client-a", 3129), tenantWithSidecar("client-b", 3130))
	r := newSidecarReconciler(t, server)
	published := func() string {
		if found := get(t, server, issuerNamespace, names.AuthorityConfigMap, &corev1.ConfigMap{}); found != nil {
			return found.Data[names.AuthorityKey]
		}
		return ""
	}
	reconcileSidecars(t, r, "client-a")
	first.issue(t, server, 3129, "client-a")
	reconcileSidecars(t, r, "client-a")
	if got := published(); got != "" {
		t.Errorf("an authority is published before the certificate of client-b was looked at:\n%s", got)
	}
	reconcileSidecars(t, r, "client-b")
	second.issue(t, server, 3130, "client-b")
	reconcileSidecars(t, r, "client-b")
	if got := published(); !strings.Contains(got, string(first.pem)) || !strings.Contains(got, string(second.pem)) {
		t.Errorf("not both authorities are published:\n%s", got)
	}
	second.issue(t, server, 3129, "client-a")
	reconcileSidecars(t, r, "client-a")
	if got := published(); got != string(second.pem) {
		t.Errorf("the former authority stays:\n%s", got)
	}
}

// A new leader that cannot read the certificate of one tenant withdraws no authority: the
// proxies would refuse the sidecars of that tenant.
func TestAuthorityStaysWhileACertificateCannotBeRead(t *testing.T) {
	t.Parallel()
	first, second := newAuthority(t), newAuthority(t)
	server := newAPI(t, tenantWithSidecar("client-a", 3129), tenantWithSidecar("client-b", 3130))
	r := newSidecarReconciler(t, server)
	for range 2 { // the first time creates the Certificates
		reconcileSidecars(t, r, "client-a")
		reconcileSidecars(t, r, "client-b")
		first.issue(t, server, 3129, "client-a")
		second.issue(t, server, 3130, "client-b")
	}
	both := func(moment string) {
		t.Helper()
		found := get(t, server, issuerNamespace, names.AuthorityConfigMap, &corev1.ConfigMap{})
		if got := found.Data[names.AuthorityKey]; !strings.Contains(got, string(first.pem)) || !strings.Contains(got, string(second.pem)) || len(got) != len(first.pem)+len(second.pem) {
			t.Errorf("%s, not exactly both authorities are published:\n%s", moment, got)
		}
	}
	both("before")
	leader := newSidecarReconciler(t, server)
	leader.options.Live = refusesSecret{server, certificateOf(t, server, 3129).Name}
	if _, err := leader.Reconcile(t.Context(), requestFor("client-a")); err == nil {
		t.Fatal("the Secret of client-a is read")
	}
	reconcileSidecars(t, leader, "client-b")
	both("while the certificate of client-a cannot be read")
	leader.options.Live = server
	second.issue(t, server, 3129, "client-a")
	reconcileSidecars(t, leader, "client-a")
	if found := get(t, server, issuerNamespace, names.AuthorityConfigMap, &corev1.ConfigMap{}); found.Data[names.AuthorityKey] != string(second.pem) {
		t.Errorf("the former authority stays:\n%s", found.Data[names.AuthorityKey])
	}
}

// refusesSecret fails to read the Secret of this name.
type refusesSecret struct {
	client.Reader
	name string
}

func (r refusesSecret) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	if _, isSecret := object.(*corev1.Secret); isSecret && key.Name == r.name {
		return errors.New("no answer")
	}
	return r.Reader.Get(ctx, key, object, options...)
}

// whileReading calls a function at the first reading of a ConfigMap.
type whileReading struct {
	client.Reader
	began *atomic.Bool
	do    func()
}

func (r whileReading) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	if _, isConfigMap := object.(*corev1.ConfigMap); isConfigMap && r.began.CompareAndSwap(false, true) {
		r.do()
	}
	return r.Reader.Get(ctx, key, object, options...)
}

// Two tenants are reconciled at the same time, and one gets a certificate of a new authority
// while the other one publishes: the new authority is published in the end.
func TestAuthoritiesThatArePublishedAtTheSameTime(t *testing.T) {
	t.Parallel()
	first, second := newAuthority(t), newAuthority(t)
	server := newAPI(t, tenantWithSidecar("client-a", 3129), tenantWithSidecar("client-b", 3130))
	r := newSidecarReconciler(t, server)
	stateBy := func(authority *testAuthority) sidecarState {
		return sidecarState{identity: &identity{authority: authority.pem}, reason: names.ReasonSidecarReady}
	}
	r.states["client-a"], r.states["client-b"] = stateBy(first), stateBy(first)
	done := make(chan error, 1)
	r.authority.live = whileReading{server, &atomic.Bool{}, func() {
		r.setState(t.Context(), tenantWithSidecar("client-b", 3130), stateBy(second))
		go func() { done <- r.publishAuthority(t.Context()) }()
		select {
		case err := <-done:
			done <- err
		case <-time.After(time.Second): // it waits for its turn
		}
	}}
	if err := errors.Join(r.publishAuthority(t.Context()), <-done); err != nil {
		t.Fatal(err)
	}
	found := get(t, server, issuerNamespace, names.AuthorityConfigMap, &corev1.ConfigMap{})
	if got := found.Data[names.AuthorityKey]; !strings.Contains(got, string(first.pem)) || !strings.Contains(got, string(second.pem)) {
		t.Errorf("not both authorities are published:\n%s", got)
	}
}
