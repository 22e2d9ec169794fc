package integration

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/sidecar"
	"egress.scw/webhook/api/v1alpha1"
)

// createSidecarTenant creates a tenant whose pods have sidecars, and a namespace of it.
func createSidecarTenant(t *testing.T, name string, port int32) (namespace string) {
	t.Helper()
	object := tenant(name, port)
	object.Spec.Sidecar = &v1alpha1.Sidecar{Capture: v1alpha1.CaptureNames}
	object.Spec.DNS = v1alpha1.DNSClosed
	createTenant(t, &object)
	return newNamespace(t, name)
}

// waitForSecret waits until the Secret of sidecars of a namespace is as wanted.
func waitForSecret(t *testing.T, namespace, what string, wanted func(*corev1.Secret) bool) *corev1.Secret {
	t.Helper()
	secret := &corev1.Secret{}
	eventually(t, "the Secret of "+namespace+" "+what, func(ctx context.Context) (bool, string) {
		err := shared.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: names.SidecarName}, secret)
		return err == nil && wanted(secret), fmt.Sprintf("%v, keys of %d bytes", err, len(secret.Data[names.SidecarPrivateKeyKey]))
	})
	return secret
}

func anySecret(*corev1.Secret) bool { return true }

// waitForSecretGone waits until a namespace has no Secret of sidecars.
func waitForSecretGone(t *testing.T, namespace string) {
	t.Helper()
	eventually(t, "the Secret of "+namespace+" to go", func(ctx context.Context) (bool, string) {
		err := shared.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: names.SidecarName}, &corev1.Secret{})
		return apierrors.IsNotFound(err), fmt.Sprint(err)
	})
}

// verifyIdentity requires that a Secret has a certificate of the tenant that the
// published authority issued, and a valid configuration.
func verifyIdentity(t *testing.T, secret *corev1.Secret, tenant string) {
	t.Helper()
	pair, err := tls.X509KeyPair(secret.Data[names.SidecarCertificateKey], secret.Data[names.SidecarPrivateKeyKey])
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	eventually(t, "the authority", func(ctx context.Context) (bool, string) {
		var authority corev1.ConfigMap
		err := shared.client.Get(ctx, client.ObjectKey{Namespace: releaseNamespace, Name: names.AuthorityConfigMap}, &authority)
		return err == nil && roots.AppendCertsFromPEM([]byte(authority.Data[names.AuthorityKey])), fmt.Sprint(err)
	})
	if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		t.Error(err)
	}
	subject, life := pair.Leaf.Subject, pair.Leaf.NotAfter.Sub(pair.Leaf.NotBefore)
	if subject.CommonName != tenant || !slices.Equal(subject.Organization, []string{names.CertificateOrganization}) || life != 24*time.Hour {
		t.Errorf("the certificate of %s lives %s", subject, life)
	}
	config, err := sidecar.Parse(secret.Data[names.SidecarConfigKey])
	if err != nil {
		t.Fatal(err)
	}
	if config.Tenant != tenant || config.Machines[0].Address.String() != fmt.Sprintf("%s:%d", proxyAddress, names.SidecarPort) {
		t.Errorf("the configuration is %+v", config)
	}
	if want := closedDNSAddress + ":53"; config.Capture == nil || len(config.Capture.Resolvers) != 1 || config.Capture.Resolvers[0].String() != want {
		t.Errorf("capture is %+v, want the resolver %s", config.Capture, want)
	}
}

// TestCertificateOfTenant: cert-manager issues the certificate of a tenant with
// sidecars, the webhook copies it into the tenant's namespaces, again when it is
// renewed, and removes it with the namespace's label and with the tenant.
func TestCertificateOfTenant(t *testing.T) {
	const name, port = "certified", 3220
	first := createSidecarTenant(t, name, port)
	secret := waitForSecret(t, first, "to exist", anySecret)
	verifyIdentity(t, secret, name)
	eventually(t, "the tenant to be ready", func(ctx context.Context) (bool, string) {
		condition, status, err := readiness(ctx, name)
		for _, each := range status.Conditions {
			if each.Type == names.ConditionSidecarReady {
				return each.Status == metav1.ConditionTrue && condition.Status == metav1.ConditionTrue, fmt.Sprint(each)
			}
		}
		return false, fmt.Sprint(condition, err)
	})

	second := newNamespace(t, name)
	if copied := waitForSecret(t, second, "to exist", anySecret); !bytes.Equal(copied.Data[names.SidecarCertificateKey], secret.Data[names.SidecarCertificateKey]) {
		t.Error("two namespaces of a tenant have different certificates")
	}

	renew(t, port)
	former := secret.DeepCopy()
	for _, namespace := range []string{first, second} {
		verifyIdentity(t, waitForSecret(t, namespace, "to be renewed", func(s *corev1.Secret) bool {
			return !bytes.Equal(s.Data[names.SidecarPrivateKeyKey], former.Data[names.SidecarPrivateKeyKey])
		}), name)
	}

	if err := shared.client.Delete(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: second, Name: names.SidecarName}}); err != nil {
		t.Fatal(err)
	}
	waitForSecret(t, second, "to be restored", anySecret)
	setLabel(t, second, "null")
	waitForSecretGone(t, second)

	setLabel(t, first, "null")
	waitForSecretGone(t, first)
	object := tenant(name, port)
	if err := shared.client.Delete(t.Context(), &object); err != nil {
		t.Fatal(err)
	}
	requireNothingIssued(t, port)
}

// renew makes cert-manager issue a certificate again, as its command line tool does, once it
// has finished the issuance of before: it writes the Secret first. A request that comes before
// its last step is taken for that issuance, or gets the same key.
func renew(t *testing.T, port int32) {
	t.Helper()
	key := client.ObjectKey{Namespace: releaseNamespace, Name: names.SidecarCertificate(port)}
	eventually(t, "the end of the issuance of before", func(ctx context.Context) (bool, string) {
		var certificate certmanagerv1.Certificate
		err := shared.client.Get(ctx, key, &certificate)
		issuing := slices.ContainsFunc(certificate.Status.Conditions, func(c certmanagerv1.CertificateCondition) bool {
			return c.Type == certmanagerv1.CertificateConditionIssuing && c.Status == cmmeta.ConditionTrue
		})
		return err == nil && certificate.Status.Revision != nil && !issuing && certificate.Status.NextPrivateKeySecretName == nil, fmt.Sprintf("%+v, error %v", certificate.Status, err)
	})
	err := retry.RetryOnConflict(conflicts, func() error {
		var certificate certmanagerv1.Certificate
		if err := shared.client.Get(t.Context(), key, &certificate); err != nil {
			return err
		}
		certificate.Status.Conditions = append(slices.DeleteFunc(certificate.Status.Conditions, func(c certmanagerv1.CertificateCondition) bool {
			return c.Type == certmanagerv1.CertificateConditionIssuing
		}), certmanagerv1.CertificateCondition{
			Type: certmanagerv1.CertificateConditionIssuing, Status: cmmeta.ConditionTrue, Reason: "ManuallyTriggered", LastTransitionTime: new(metav1.Now()),
		})
		return shared.client.Status().Update(t.Context(), &certificate)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// requireNothingIssued waits until the Certificate on a port is gone, and its key.
func requireNothingIssued(t *testing.T, port int32) {
	t.Helper()
	key := client.ObjectKey{Namespace: releaseNamespace, Name: names.SidecarCertificate(port)}
	for _, object := range []client.Object{&certmanagerv1.Certificate{}, &corev1.Secret{}} {
		eventually(t, fmt.Sprintf("%T %s to go", object, key), func(ctx context.Context) (bool, string) {
			err := shared.client.Get(ctx, key, object)
			return apierrors.IsNotFound(err), fmt.Sprint(err)
		})
	}
}

// TestSidecarIsTurnedOff: without spec.sidecar, nothing of it stays.
func TestSidecarIsTurnedOff(t *testing.T) {
	const name, port = "turned-off", 3221
	namespace := createSidecarTenant(t, name, port)
	waitForSecret(t, namespace, "to exist", anySecret)
	if err := retry.RetryOnConflict(conflicts, func() error {
		var object v1alpha1.EgressTenant
		if err := shared.client.Get(t.Context(), client.ObjectKey{Name: name}, &object); err != nil {
			return err
		}
		object.Spec.Sidecar = nil
		return shared.client.Update(t.Context(), &object)
	}); err != nil {
		t.Fatal(err)
	}
	waitForSecretGone(t, namespace)
	requireNothingIssued(t, port)
	eventually(t, "the condition to go", func(ctx context.Context) (bool, string) {
		_, status, err := readiness(ctx, name)
		return err == nil && !slices.ContainsFunc(status.Conditions, func(c metav1.Condition) bool { return c.Type == names.ConditionSidecarReady }), fmt.Sprint(status.Conditions, err)
	})
}

// TestCertificateIsNotIssued: the tenant's status and an event have the cause and the
// command to look further.
func TestCertificateIsNotIssued(t *testing.T) {
	const name, port = "refused", 3222
	var issuer certmanagerv1.Issuer
	key := client.ObjectKey{Namespace: releaseNamespace, Name: names.SidecarIssuer}
	if err := shared.client.Get(t.Context(), key, &issuer); err != nil {
		t.Fatal(err)
	}
	if err := shared.client.Delete(t.Context(), &issuer); err != nil {
		t.Fatal(err)
	}
	restore := issuer.DeepCopy()
	restore.ResourceVersion, restore.UID = "", ""
	restored := false
	t.Cleanup(func() {
		if !restored {
			_ = shared.client.Create(context.Background(), restore)
		}
	})
	namespace := createSidecarTenant(t, name, port)
	eventually(t, "the cause in the status", func(ctx context.Context) (bool, string) {
		condition, _, err := readiness(ctx, name)
		return condition.Reason == string(names.ReasonCertificateNotIssued) && strings.Contains(condition.Message, "kubectl -n egress-system describe certificate egress-sidecar-3222"), fmt.Sprint(condition, err)
	})
	eventually(t, "the event", func(ctx context.Context) (bool, string) {
		var events corev1.EventList
		err := shared.client.List(ctx, &events, client.InNamespace("default"))
		return slices.ContainsFunc(events.Items, func(e corev1.Event) bool {
			return e.InvolvedObject.Name == name && e.Reason == string(names.ReasonCertificateNotIssued)
		}), fmt.Sprint(len(events.Items), err)
	})
	if err := shared.client.Create(t.Context(), restore); err != nil {
		t.Fatal(err)
	}
	restored = true
	verifyIdentity(t, waitForSecret(t, namespace, "to exist", anySecret), name)
}

// TestRightsOnSecrets: with its token, the webhook reads no Secret but those that it
// copies, and writes none of another name.
func TestRightsOnSecrets(t *testing.T) {
	const name, port = "private", 3223
	namespace := createSidecarTenant(t, name, port)
	waitForSecret(t, namespace, "to exist", anySecret)
	other := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "other"}, StringData: map[string]string{"a": "b"}}
	if err := shared.client.Create(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	webhook := webhookClient(t)
	read := func(namespace, name string) func(context.Context) error {
		return func(ctx context.Context) error {
			return webhook.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &corev1.Secret{})
		}
	}
	list := func(options ...client.ListOption) func(context.Context) error {
		return func(ctx context.Context) error { return webhook.List(ctx, &corev1.SecretList{}, options...) }
	}
	apply := func(name string) func(context.Context) error {
		return func(ctx context.Context) error {
			config := secretConfig(t, namespace, name)
			return webhook.Apply(ctx, config, client.FieldOwner(names.FieldOwner), client.ForceOwnership, client.DryRunAll)
		}
	}
	for what, attempt := range map[string]struct {
		request func(context.Context) error
		allowed bool
	}{
		"list the Secrets of sidecars":               {list(client.MatchingFields{"metadata.name": names.SidecarName}), true},
		"apply the Secret of sidecars":               {apply(names.SidecarName), true},
		"read what cert-manager issued":              {read(releaseNamespace, names.SidecarCertificate(port)), true},
		"read another Secret of a tenant":            {read(namespace, other.Name), false},
		"apply another Secret of a tenant":           {apply(other.Name), false},
		"create another Secret of a tenant":          {apply("third"), false},
		"list all Secrets":                           {list(), false},
		"list the Secrets of a namespace":            {list(client.InNamespace(namespace)), false},
		"list the Secrets of the release":            {list(client.InNamespace(releaseNamespace)), false},
		"read the key of the authority":              {read(releaseNamespace, names.AuthorityConfigMap), false},
		"read the key of the webhook":                {read(releaseNamespace, releaseName+"-tls"), false},
		"read what cert-manager issued, elsewhere":   {read(namespace, names.SidecarCertificate(port)), false},
		"read the Secret of sidecars of the release": {read(releaseNamespace, names.SidecarName), false},
	} {
		err := attempt.request(t.Context())
		if attempt.allowed && err != nil || !attempt.allowed && !apierrors.IsForbidden(err) {
			t.Errorf("%s: %v, allowed: %t", what, err, attempt.allowed)
		}
	}
}

// webhookClient sends requests with the webhook's own token.
func webhookClient(t *testing.T) client.Client {
	t.Helper()
	file := ""
	for _, variable := range shared.webhook.command.Env {
		if value, found := strings.CutPrefix(variable, "KUBECONFIG="); found {
			file = value
		}
	}
	config, err := clientcmd.BuildConfigFromFlags("", file)
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.New(config, client.Options{Scheme: shared.client.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// secretConfig is a Secret to apply.
func secretConfig(t *testing.T, namespace, name string) runtime.ApplyConfiguration {
	t.Helper()
	secret, err := object(fmt.Sprintf("{apiVersion: v1, kind: Secret, metadata: {name: %s}, type: Opaque}", name), namespace)
	if err != nil {
		t.Fatal(err)
	}
	return client.ApplyConfigurationFromUnstructured(secret)
}
