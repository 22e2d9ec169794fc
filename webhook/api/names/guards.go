package names

// Guards returns the names of the chart's guards that are on by default, sorted.
// Each is a ValidatingAdmissionPolicy, and a binding of the same name with the
// label of ChartName.
func Guards() []string {
	return []string{
		"bindings.egress.scw", "cni-policies.egress.scw", "endpoints.egress.scw", "external-ips.egress.scw",
		"load-balancer-status.egress.scw", "namespace-labels.egress.scw", "network-policies.egress.scw", "own-policy.egress.scw",
		"probe-hosts.egress.scw", "volumes.egress.scw",
	}
}

const (
	// ChartLabel is a label on every object of the chart, with the value ChartName.
	ChartLabel = "app.kubernetes.io/name"
	// ChartName is the name of the chart.
	ChartName = "egress-webhook"
)
