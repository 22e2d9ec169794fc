package controller

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"egress.scw/webhook/api/names"
)

// CRDApplier brings the EgressTenant's CustomResourceDefinition up to the
// version that the binary was built with. Helm installs what stands in a
// chart's crds/, and never upgrades it.
type CRDApplier struct {
	client client.Client
	crd    *unstructured.Unstructured
}

// NewCRDApplier reads the CustomResourceDefinition, given in YAML.
func NewCRDApplier(c client.Client, crd []byte) (*CRDApplier, error) {
	object := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(crd, &object.Object); err != nil {
		return nil, fmt.Errorf("reading the embedded CustomResourceDefinition: %w", err)
	}
	if object.GetKind() != "CustomResourceDefinition" || object.GetName() == "" {
		return nil, fmt.Errorf("the embedded CustomResourceDefinition is a %s called %q", object.GetKind(), object.GetName())
	}
	return &CRDApplier{client: c, crd: object}, nil
}

// NeedLeaderElection says that only the leader applies: in a rolling upgrade
// the last leader is one of the new replicas, whatever restarts in between.
func (*CRDApplier) NeedLeaderElection() bool { return true }

// Start applies the definition, again and again until it succeeds or the
// context ends. It returns no error: pods are admitted with yesterday's
// definition as well, and not at all without the process.
func (a *CRDApplier) Start(ctx context.Context) error {
	log := ctrl.LoggerFrom(ctx).WithValues("customResourceDefinition", a.crd.GetName())
	backoff := wait.Backoff{Duration: time.Second, Factor: 2, Jitter: 0.1, Steps: 7, Cap: time.Minute}
	delay := backoff.DelayFunc()
	_ = delay.Until(ctx, true, true, func(ctx context.Context) (bool, error) {
		err := a.apply(ctx)
		if err != nil {
			log.Error(err, "the EgressTenant's definition is not up to date yet, trying again")
		} else {
			log.Info("the EgressTenant's definition is up to date")
		}
		return err == nil, nil
	})
	return nil
}

func (a *CRDApplier) apply(ctx context.Context) error {
	config := client.ApplyConfigurationFromUnstructured(a.crd.DeepCopy())
	if err := a.client.Apply(ctx, config, client.FieldOwner(names.FieldOwner), client.ForceOwnership); err != nil {
		return fmt.Errorf("applying CustomResourceDefinition %s: %w", a.crd.GetName(), err)
	}
	return nil
}
