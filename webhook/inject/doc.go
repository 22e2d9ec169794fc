// Package inject decides whether a pod is given its tenant's proxy variables,
// computes them, and writes them as a JSON patch.
//
//   - Decide: pod, namespace and tenant → inject, skip or deny, and why.
//   - Configure, once for a namespace, and Compute, for a pod: cluster,
//     tenant, namespace and annotations → what to add.
//   - Patch: pod and what to add → RFC 6902 operations.
//
// Nothing here talks to anything: values in, values out. Pods come as the raw
// JSON that the API server sent, of which only what injection reads is decoded
// and to which operations are only added, so that fields of newer Kubernetes
// versions than ours survive.
package inject
