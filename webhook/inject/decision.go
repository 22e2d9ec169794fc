package inject

import (
	"fmt"
	"strings"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
)

// Action is the treatment of a pod.
type Action string

const (
	// Inject admits the pod with the tenant's proxy variables.
	Inject Action = "Inject"
	// Skip admits the pod as it is.
	Skip Action = "Skip"
	// Deny refuses the pod.
	Deny Action = "Deny"
)

// Decision is the action for a pod, and the reason for it.
type Decision struct {
	Action Action
	Reason names.Reason
	// Message explains the reason to the author of the pod in one sentence.
	Message string
	// Warnings are addressed to the author of the pod. They do not prevent
	// admission.
	Warnings []string
}

// Refusal is the error of a pod that must not be admitted unchanged.
type Refusal struct {
	Reason  names.Reason
	Message string
}

func (r *Refusal) Error() string { return r.Message }

// Decision returns the refusal as a decision.
func (r *Refusal) Decision() Decision {
	return Decision{Action: Deny, Reason: r.Reason, Message: r.Message}
}

// Namespace is the part of a pod's namespace that Decide reads.
type Namespace struct {
	Name        string
	Labels      map[string]string
	Annotations map[string]string
	// Protected namespaces cannot belong to a tenant, regardless of their labels,
	// because the cluster or the webhook depends on them.
	Protected bool
}

// Tenant returns the name of the EgressTenant in the namespace's label, and
// whether the namespace has that label.
func (n Namespace) Tenant() (name string, labelled bool) {
	name, labelled = n.Labels[names.LabelTenant]
	return name, labelled
}

// annotationMirror marks the pods that a kubelet creates in the API for the
// static pods that it runs from files. Kubernetes declares the constant in an
// internal package.
const annotationMirror = "kubernetes.io/config.mirror"

// Decide returns the decision about a pod. The tenant is the EgressTenant in the
// namespace's label, or nil if it does not exist. The message does not contain the
// names of other tenants, because the author of the pod may be one of them.
func Decide(pod *Pod, namespace Namespace, tenant *v1alpha1.EgressTenant) Decision {
	name, labelled := namespace.Tenant()
	if !labelled {
		return Decision{
			Action: Skip, Reason: names.ReasonNotATenant,
			Message: fmt.Sprintf("namespace %s has no label %s", namespace.Name, names.LabelTenant),
		}
	}
	if namespace.Protected {
		return Decision{
			Action: Deny, Reason: names.ReasonProtectedNamespace,
			Message: fmt.Sprintf("namespace %[1]s has the label %[2]s=%[3]s, but the cluster or the webhook depends on it, so that it can belong to no tenant. Remove the label: kubectl label namespace %[1]s %[2]s-",
				namespace.Name, names.LabelTenant, name),
		}
	}
	if tenant == nil {
		return Decision{
			Action: Deny, Reason: names.ReasonUnknownTenant,
			Message: fmt.Sprintf("namespace %s has the label %s=%s, but there is no such EgressTenant: correct the label or create the tenant",
				namespace.Name, names.LabelTenant, name),
		}
	}
	if _, mirror := pod.Annotations()[annotationMirror]; mirror {
		return Decision{
			Action: Skip, Reason: names.ReasonMirrorPod,
			Message: "the pod mirrors a static pod, which its kubelet does not run from here",
		}
	}
	if !tenant.Spec.IsProxied() {
		return Decision{
			Action: Skip, Reason: names.ReasonGatewayPath,
			Message: fmt.Sprintf("EgressTenant %s has path %s: its pods reach the internet without the proxy", tenant.Name, tenant.Spec.Path),
		}
	}
	decision := decideByOptOut(pod, namespace, tenant)
	if decision.Action == Inject && pod.Spec.containers() > maxContainers {
		return Decision{
			Action: Deny, Reason: names.ReasonTooManyContainers,
			Message: fmt.Sprintf("the pod has more than %d containers", maxContainers),
		}
	}
	return decision
}

// maxContainers prevents patches of hundreds of megabytes: the API server calls
// the webhook before it checks the size of the pod. With some 700 bytes of
// variables each, little more than twice as many containers would exceed the
// largest object that etcd stores (1.5 MiB).
const maxContainers = 1000

// listSome lists at most that many of the names, and the number of the others.
func listSome(names []string, most int) string {
	listed := make([]string, 0, most)
	for _, name := range names[:min(len(names), most)] {
		listed = append(listed, shown(name))
	}
	list := strings.Join(listed, ", ")
	if more := len(names) - most; more > 0 {
		return fmt.Sprintf("%s and %d more", list, more)
	}
	return list
}

// maxShown is the length of the longest name of Kubernetes, in bytes.
const maxShown = 253

// shown returns the part of a name or a value that is repeated in messages: all of one
// that the API server accepts, as it checks them after the webhook. Otherwise a pod with
// a name of some megabytes would have it in the log, and once for each warning in the
// answer.
func shown(text string) string {
	if len(text) <= maxShown {
		return text
	}
	return strings.ToValidUTF8(text[:maxShown], "") + "…"
}
