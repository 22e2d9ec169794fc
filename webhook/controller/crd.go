package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
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
	writer client.Writer
	live   client.Reader
	crd    *unstructured.Unstructured
}

// NewCRDApplier parses the CustomResourceDefinition, in YAML. The reader reads from the
// API server.
func NewCRDApplier(writer client.Writer, live client.Reader, crd []byte) (*CRDApplier, error) {
	object := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(crd, &object.Object); err != nil {
		return nil, fmt.Errorf("reading the embedded CustomResourceDefinition: %w", err)
	}
	if object.GetKind() != "CustomResourceDefinition" || object.GetName() == "" {
		return nil, fmt.Errorf("the embedded CustomResourceDefinition has the kind %q and the name %q", object.GetKind(), object.GetName())
	}
	return &CRDApplier{writer: writer, live: live, crd: object}, nil
}

// NeedLeaderElection returns true: only the leader applies. In a rolling
// upgrade the last leader is one of the new replicas, whichever replicas
// restart in between.
func (*CRDApplier) NeedLeaderElection() bool { return true }

// Start applies the definition, and retries until it succeeds or the context
// ends. It never returns an error, because an error would end the process:
// pods are admitted with the previous definition too, but not without a
// process.
//
// A newer definition stays: in a rolling upgrade, a replica of before may lead for a
// while. If it took the new fields away, the next write to a tenant would lose them for
// ever.
func (a *CRDApplier) Start(ctx context.Context) error {
	log := ctrl.LoggerFrom(ctx).WithValues("customResourceDefinition", a.crd.GetName())
	backoff := wait.Backoff{Duration: time.Second, Factor: 2, Jitter: 0.1, Steps: 7, Cap: time.Minute}
	delay := backoff.DelayFunc()
	_ = delay.Until(ctx, true, true, func(ctx context.Context) (bool, error) {
		outdated, err := a.isOutdated(ctx)
		if err == nil && !outdated {
			err = a.apply(ctx)
		}
		switch {
		case err != nil:
			log.Error(err, "the definition of EgressTenant is not up to date yet, retrying")
		case outdated:
			log.Info("the definition of EgressTenant is newer than this version, and stays")
		default:
			log.Info("the definition of EgressTenant is up to date")
		}
		return err == nil, nil
	})
	return nil
}

// isOutdated reports whether the definition of the API server has every field of the
// embedded one, and further ones.
func (a *CRDApplier) isOutdated(ctx context.Context) (bool, error) {
	present := &unstructured.Unstructured{}
	present.SetGroupVersionKind(a.crd.GroupVersionKind())
	err := a.live.Get(ctx, client.ObjectKeyFromObject(a.crd), present)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading CustomResourceDefinition %s: %w", a.crd.GetName(), err)
	}
	theirs, theirErr := fieldsOf(present)
	own, err := fieldsOf(a.crd)
	if err := errors.Join(theirErr, err); err != nil {
		return false, err
	}
	return covers(theirs, own) && !covers(own, theirs), nil
}

func (a *CRDApplier) apply(ctx context.Context) error {
	config := client.ApplyConfigurationFromUnstructured(a.crd.DeepCopy())
	if err := a.writer.Apply(ctx, config, client.FieldOwner(names.FieldOwner), client.ForceOwnership); err != nil {
		return fmt.Errorf("applying CustomResourceDefinition %s: %w", a.crd.GetName(), err)
	}
	return nil
}
