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

// CRDApplier updates the CustomResourceDefinition of EgressTenant to the version
// that is embedded in the binary. Helm installs the files in a chart's crds/,
// but never upgrades them.
type CRDApplier struct {
	client client.Client
	crd    *unstructured.Unstructured
}

// NewCRDApplier parses the CustomResourceDefinition, in YAML.
func NewCRDApplier(c client.Client, crd []byte) (*CRDApplier, error) {
	object := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(crd, &object.Object); err != nil {
		return nil, fmt.Errorf("reading the embedded CustomResourceDefinition: %w", err)
	}
	if object.GetKind() != "CustomResourceDefinition" || object.GetName() == "" {
		return nil, fmt.Errorf("the embedded CustomResourceDefinition has the kind %q and the name %q", object.GetKind(), object.GetName())
	}
	return &CRDApplier{client: c, crd: object}, nil
}

// NeedLeaderElection returns true: only the leader applies. In a rolling
// upgrade the last leader is one of the new replicas, whichever replicas
// restart in between.
func (*CRDApplier) NeedLeaderElection() bool { return true }

// Start applies the definition, and retries until it succeeds or the context
// ends. It never returns an error, because an error would end the process:
// pods are admitted with the previous definition too, but not without a
// process.
func (a *CRDApplier) Start(ctx context.Context) error {
	log := ctrl.LoggerFrom(ctx).WithValues("customResourceDefinition", a.crd.GetName())
	backoff := wait.Backoff{Duration: time.Second, Factor: 2, Jitter: 0.1, Steps: 7, Cap: time.Minute}
	delay := backoff.DelayFunc()
	_ = delay.Until(ctx, true, true, func(ctx context.Context) (bool, error) {
		err := a.apply(ctx)
		if err != nil {
			log.Error(err, "the definition of EgressTenant is not up to date yet, retrying")
		} else {
			log.Info("the definition of EgressTenant is up to date")
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
