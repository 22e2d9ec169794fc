package controller

import (
	"bytes"
	"context"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
)

// authority is the ConfigMap with the certificates of the authorities that issued the
// present certificates of tenants: one, and two while the authority is replaced.
// bootstrap copies them to the proxy machines.
type authority struct {
	live      client.Reader
	writer    client.Writer
	namespace string
}

// publishAuthority writes the ConfigMap once the certificates of all tenants with
// sidecars have been looked at. It stays as it is while none is issued. While one could not
// be read, no authority is withdrawn: that may be the one that issued it.
func (r *SidecarReconciler) publishAuthority(ctx context.Context) error {
	r.publishing.Lock()
	defer r.publishing.Unlock()
	var tenants v1alpha1.EgressTenantList
	if err := r.options.Client.List(ctx, &tenants, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing EgressTenants: %w", err)
	}
	var issuers []string
	isUnread := false
	for i := range tenants.Items {
		if !usesSidecars(&tenants.Items[i]) {
			continue
		}
		state := r.stateOf(tenants.Items[i].Name)
		if state.reason == "" {
			return nil // its own reconcile comes here again
		}
		isUnread = isUnread || state.isUnread
		if state.identity != nil {
			issuers = append(issuers, string(bytes.TrimSpace(state.identity.authority))+"\n")
		}
	}
	if len(issuers) == 0 {
		return nil
	}
	return r.authority.write(ctx, issuers, isUnread)
}

// write writes the certificates into the ConfigMap. With keepPresent, those in it stay.
func (a authority) write(ctx context.Context, issuers []string, keepPresent bool) error {
	present := &corev1.ConfigMap{}
	key := client.ObjectKey{Namespace: a.namespace, Name: names.AuthorityConfigMap}
	err := a.live.Get(ctx, key, present)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("reading ConfigMap %s: %w", key, err)
	}
	if keepPresent {
		for block, rest := pem.Decode([]byte(present.Data[names.AuthorityKey])); block != nil; block, rest = pem.Decode(rest) {
			issuers = append(issuers, string(pem.EncodeToMemory(block)))
		}
	}
	slices.Sort(issuers)
	certificates := strings.Join(slices.Compact(issuers), "")
	if !apierrors.IsNotFound(err) && present.Data[names.AuthorityKey] == certificates {
		return nil
	}
	wanted := applycorev1.ConfigMap(key.Name, key.Namespace).
		WithLabels(map[string]string{names.ChartLabel: names.ChartName}).
		WithData(map[string]string{names.AuthorityKey: certificates})
	if err := a.writer.Apply(ctx, wanted, client.FieldOwner(names.FieldOwner), client.ForceOwnership); err != nil {
		return fmt.Errorf("applying ConfigMap %s: %w", key, err)
	}
	return nil
}
