// Package inject decides whether a pod gets the proxy variables of its tenant,
// computes them, and encodes them as a JSON patch.
//
//   - Decide: pod, namespace and tenant → inject, skip or deny, with a reason.
//   - NewTemplate, once for a namespace, and Template.Compute, for each pod:
//     cluster, tenant, namespace and annotations → the injection.
//   - NewPatch, NewEphemeralPatch and NewUpdatePatch: pod and injection → RFC 6902
//     operations.
//
// The package is pure: it maps values to values and uses no client. Pods are
// decoded from the JSON that the API server sent, and only as far as injection
// reads them. The patch adds values and replaces only those of a container's own
// NO_PROXY and JAVA_TOOL_OPTIONS, of a former injection, and of the status annotation,
// so that fields of newer versions of Kubernetes survive.
package inject
