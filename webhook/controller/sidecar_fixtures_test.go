package controller

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/netip"
	"testing"
	"time"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/inject"
	"egress.scw/webhook/settings"
)

const issuerNamespace = "egress-system"

// testAuthority issues certificates as cert-manager does.
type testAuthority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pem         []byte
}

func newAuthority(t *testing.T) *testAuthority {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: serial(t), Subject: pkix.Name{CommonName: "egress-sidecar-ca"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a := &testAuthority{certificate: template}
	a.pem, a.key = a.sign(t, template)
	return a
}

func serial(t *testing.T) *big.Int {
	t.Helper()
	number, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	return number
}

// sign returns a certificate of a new key. Without a key of its own yet, the authority
// signs with the new one.
func (a *testAuthority) sign(t *testing.T, template *x509.Certificate) ([]byte, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer := a.key
	if signer == nil {
		signer = key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), key
}

// contents returns the contents of the Secret of a certificate, changed.
func (a *testAuthority) contents(t *testing.T, tenant string, changes ...func(*x509.Certificate)) map[string][]byte {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: serial(t), Subject: pkix.Name{CommonName: tenant, Organization: []string{names.CertificateOrganization}},
		NotAfter: time.Now().Add(certificateLife), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, change := range changes {
		change(template)
	}
	certificate, key := a.sign(t, template)
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{
		corev1.TLSCertKey: certificate, corev1.TLSPrivateKeyKey: pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), cmmeta.TLSCAKey: a.pem,
	}
}

// issue does what cert-manager does for the tenant's Certificate: it writes the Secret
// and the status.
func (a *testAuthority) issue(t *testing.T, server *api, port int32, tenant string) {
	t.Helper()
	name := names.SidecarCertificate(port)
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: issuerNamespace}, Type: corev1.SecretTypeTLS, Data: a.contents(t, tenant)}
	err := server.Get(t.Context(), client.ObjectKeyFromObject(secret), &corev1.Secret{})
	if apierrors.IsNotFound(err) {
		err = server.Create(t.Context(), secret)
	} else {
		err = server.Update(t.Context(), secret)
	}
	if err != nil {
		t.Fatal(err)
	}
	certificate := certificateOf(t, server, port)
	certificate.Status.Conditions = []certmanagerv1.CertificateCondition{{Type: certmanagerv1.CertificateConditionReady, Status: cmmeta.ConditionTrue}}
	if err := server.Update(t.Context(), certificate); err != nil {
		t.Fatal(err)
	}
}

// certificateOf returns the Certificate of the tenant on a port, nil if there is none.
func certificateOf(t *testing.T, server *api, port int32) *certmanagerv1.Certificate {
	t.Helper()
	return get(t, server, issuerNamespace, names.SidecarCertificate(port), &certmanagerv1.Certificate{})
}

// copyIn returns the Secret of sidecars in a namespace, nil if there is none.
func copyIn(t *testing.T, server *api, namespace string) *corev1.Secret {
	t.Helper()
	return get(t, server, namespace, names.SidecarName, &corev1.Secret{})
}

func get[T client.Object](t *testing.T, server *api, namespace, name string, object T) T {
	t.Helper()
	err := server.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, object)
	if apierrors.IsNotFound(err) {
		return *new(T)
	}
	if err != nil {
		t.Fatal(err)
	}
	return object
}

// strippedCache reads from the API server what a cache would hold.
type strippedCache struct{ client.Client }

func (c strippedCache) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	err := c.Client.Get(ctx, key, object, options...)
	if secret, isSecret := object.(*corev1.Secret); isSecret && err == nil {
		*secret = *stripSecret(secret)
	}
	return err
}

func (c strippedCache) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	err := c.Client.List(ctx, list, options...)
	if secrets, isSecrets := list.(*corev1.SecretList); isSecrets {
		kept := secrets.Items[:0]
		for i := range secrets.Items {
			if secrets.Items[i].Name == names.SidecarName {
				kept = append(kept, *stripSecret(&secrets.Items[i]))
			}
		}
		secrets.Items = kept
	}
	return err
}

// machineFixture is a certificate of a proxy machine.
func machineFixture(t *testing.T) settings.Machine {
	t.Helper()
	return settings.Machine{Address: netip.MustParseAddr("172.16.28.8"), Certificate: string(bytes.TrimSpace(newAuthority(t).pem)) + "\n"}
}

// sidecarSettings are those of a proxy that accepts sidecars.
func sidecarSettings(t *testing.T) *settings.Settings {
	t.Helper()
	s := settingsFixture()
	s.ProtectedNamespaces = protectedFixture()
	s.Cluster = settings.Cluster{Domain: "cluster.local", CIDRs: []netip.Prefix{netip.MustParsePrefix("10.32.0.0/20")}}
	s.Proxy.Identity, s.Proxy.Machines = v1alpha1.IdentityOffered, []settings.Machine{machineFixture(t)}
	return s
}

func newSidecarReconciler(t *testing.T, server *api) *SidecarReconciler {
	t.Helper()
	return NewSidecarReconciler(sidecarOptions(t, server))
}

// sidecarOptions are those of a cluster that has what tenants with sidecars need.
func sidecarOptions(t *testing.T, server *api) SidecarOptions {
	t.Helper()
	return SidecarOptions{
		Client: strippedCache{server}, Live: server, Namespace: issuerNamespace, Settings: sidecarSettings(t),
		Resolvers:   Resolvers{netip.MustParseAddr("10.32.0.10")},
		Unsupported: func(*v1alpha1.EgressTenant) *inject.Refusal { return nil },
		DirectNames: func(*v1alpha1.EgressTenant) []string { return []string{"internal", "intranet.example.com"} },
	}
}

func tenantWithSidecar(name string, port int32) *v1alpha1.EgressTenant {
	tenant := tenantFixture(name, port)
	tenant.Spec.Sidecar = &v1alpha1.Sidecar{}
	return tenant
}

// reconcileSidecars runs the reconciler for a tenant, and returns the state after it.
func reconcileSidecars(t *testing.T, r *SidecarReconciler, tenant string) sidecarState {
	t.Helper()
	if _, err := r.Reconcile(t.Context(), requestFor(tenant)); err != nil {
		t.Fatal(err)
	}
	return r.stateOf(tenant)
}
