// Package inject decides whether a pod gets the proxy variables of its tenant,
// computes them, and encodes them as a JSON patch.
//
//   - Decide: pod, namespace and tenant → inject, skip or deny, with a reason.
//   - NewTemplate, once for a namespace, and Template.Compute, for each pod:
//     cluster, tenant, namespace and annotations → the injection.
//   - Pod.ReadDetails and Injection.Conflict, for tenants with the sidecar or closed DNS
//     alone: further parts of the pod → whether it can have them.
//   - NewPatch, NewEphemeralPatch and NewUpdatePatch: pod and injection → RFC 6902
//     operations.
//
// The package is pure: it maps values to values and uses no client. Pods are
// decoded from the JSON that the API server sent, and only as far as injection
// reads them. The patch adds values and replaces only those of a container's own
// NO_PROXY and JAVA_TOOL_OPTIONS, of a former injection, of the status annotation, and
// of the sidecar with the settings that it needs, so that fields of newer versions of
// Kubernetes survive.
package inject
