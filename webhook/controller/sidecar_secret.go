package controller

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/sets"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"egress.scw/webhook/api/names"
)

// concurrentSecrets is the number of Secrets of a tenant that are written at the same
// time. A new certificate requires a write in each namespace of the tenant.
const concurrentSecrets = 16

// digestKey is the only key of a Secret in the cache. Its value is the digest of the
// contents.
const digestKey = "digest"

// stripSecret returns the part of a Secret that is compared. The cache holds no key of
// a tenant.
func stripSecret(secret *corev1.Secret) *corev1.Secret {
	stripped := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Name: secret.Name, Namespace: secret.Namespace, UID: secret.UID, ResourceVersion: secret.ResourceVersion, DeletionTimestamp: secret.DeletionTimestamp,
		},
		Type: secret.Type, Immutable: secret.Immutable,
		Data: map[string][]byte{digestKey: digest(secret.Data)},
	}
	if tenant, labelled := secret.Labels[names.LabelTenant]; labelled {
		stripped.Labels = map[string]string{names.LabelTenant: tenant}
	}
	return stripped
}

// digest identifies the contents of a Secret.
func digest(data map[string][]byte) []byte {
	hash := sha256.New()
	for _, key := range slices.Sorted(maps.Keys(data)) {
		for _, part := range [][]byte{[]byte(key), data[key]} {
			hash.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
			hash.Write(part)
		}
	}
	return hash.Sum(nil)
}

// secretCopies are the Secrets that the sidecars of a tenant's pods mount, in the namespaces
// of the tenant.
type secretCopies struct {
	// cache has the Secrets as stripSecret returns them.
	cache  client.Reader
	writer client.Writer
}

// write writes the contents into the namespaces that do not have them. It returns the
// namespaces in which that failed, sorted, and the first of the errors.
func (c secretCopies) write(ctx context.Context, tenant string, namespaces []string, contents map[string][]byte) (failed []string, err error) {
	wanted := digest(contents)
	var lock sync.Mutex
	var writing sync.WaitGroup
	turn := make(chan struct{}, concurrentSecrets)
	for _, namespace := range namespaces {
		observed, readErr := c.observe(ctx, namespace)
		if readErr == nil && secretInSync(observed, tenant, wanted) {
			continue
		}
		turn <- struct{}{}
		writing.Go(func() {
			defer func() { <-turn }()
			writeErr := readErr
			if writeErr == nil {
				writeErr = c.replace(ctx, observed, tenant, namespace, contents)
			}
			if writeErr == nil {
				return
			}
			lock.Lock()
			defer lock.Unlock()
			failed = append(failed, namespace)
			if err == nil {
				err = writeErr
			}
		})
	}
	writing.Wait()
	slices.Sort(failed)
	return failed, err
}

func secretInSync(observed *corev1.Secret, tenant string, wanted []byte) bool {
	return observed != nil && observed.DeletionTimestamp == nil && observed.Type == corev1.SecretTypeOpaque &&
		observed.Labels[names.LabelTenant] == tenant && bytes.Equal(observed.Data[digestKey], wanted)
}

// observe returns the Secret in a namespace, nil if there is none.
func (c secretCopies) observe(ctx context.Context, namespace string) (*corev1.Secret, error) {
	secret := &corev1.Secret{}
	err := c.cache.Get(ctx, client.ObjectKey{Namespace: namespace, Name: names.SidecarName}, secret)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("reading Secret %s/%s: %w", namespace, names.SidecarName, err)
	}
	return secret, nil
}

// replace applies the Secret. One of another type, one that cannot be changed, and one with
// keys of other clients is deleted: its name belongs to the webhook in a tenant's namespace.
func (c secretCopies) replace(ctx context.Context, observed *corev1.Secret, tenant, namespace string, contents map[string][]byte) error {
	if observed != nil && (observed.Type != corev1.SecretTypeOpaque || observed.Immutable != nil && *observed.Immutable) {
		if err := c.remove(ctx, observed); err != nil {
			return err
		}
	}
	stored, err := c.apply(ctx, tenant, namespace, contents)
	if err == nil && hasForeignKeys(stored, contents) {
		foreign := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: names.SidecarName, Namespace: namespace, UID: stored.GetUID()}}
		if err = c.remove(ctx, foreign); err == nil {
			_, err = c.apply(ctx, tenant, namespace, contents)
		}
	}
	if apierrors.IsNotFound(err) || apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return nil // the namespace ends
	}
	if err != nil {
		return fmt.Errorf("applying Secret %s/%s: %w", namespace, names.SidecarName, err)
	}
	return nil
}

// hasForeignKeys reports whether a Secret has keys of other clients, which server-side apply
// leaves.
func hasForeignKeys(stored *unstructured.Unstructured, contents map[string][]byte) bool {
	data, _, _ := unstructured.NestedMap(stored.Object, "data") // never an error: it is that of a Secret
	return len(data) > len(contents)
}

// apply applies the Secret, and returns it as it was stored.
func (c secretCopies) apply(ctx context.Context, tenant, namespace string, contents map[string][]byte) (*unstructured.Unstructured, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&corev1.Secret{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{
			Name: names.SidecarName, Namespace: namespace,
			Labels: map[string]string{names.LabelTenant: tenant, names.ChartLabel: names.ChartName},
		},
		Type: corev1.SecretTypeOpaque,
		Data: contents,
	})
	stored := &unstructured.Unstructured{Object: content}
	if err == nil {
		err = c.writer.Apply(ctx, client.ApplyConfigurationFromUnstructured(stored), client.FieldOwner(names.FieldOwner), client.ForceOwnership)
	}
	return stored, err
}

// removeOthers deletes the tenant's Secrets in all namespaces but the listed ones.
func (c secretCopies) removeOthers(ctx context.Context, tenant string, keep []string) error {
	var list corev1.SecretList
	if err := c.cache.List(ctx, &list, client.MatchingLabels{names.LabelTenant: tenant}, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing the Secrets of tenant %s: %w", tenant, err)
	}
	kept := sets.New(keep...)
	for i := range list.Items {
		secret := &list.Items[i]
		if secret.Name != names.SidecarName || secret.DeletionTimestamp != nil || kept.Has(secret.Namespace) {
			continue
		}
		if err := c.remove(ctx, secret); err != nil {
			return err
		}
	}
	return nil
}

// remove deletes a Secret, unless it was made again meanwhile.
func (c secretCopies) remove(ctx context.Context, observed *corev1.Secret) error {
	err := c.writer.Delete(ctx, observed.DeepCopy(), client.Preconditions{UID: &observed.UID})
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting Secret %s/%s: %w", observed.Namespace, observed.Name, err)
	}
	return nil
}
