// Package watch is the part of bootstrap watch that decides, and its connection to the
// cluster. Command bootstrap makes the plans and carries them out.
//
// Merge adds the EgressTenants of the cluster to egress.yaml, Decide permits or blocks
// a plan, and a Loop determines when the next one is made: these are pure. Cluster
// reads and writes Kubernetes, Lead keeps a Lease, and Monitor counts the results and
// records them as events.
package watch
