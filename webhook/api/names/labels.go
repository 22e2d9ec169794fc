package names

const (
	// LabelTenant on a namespace is the name of the EgressTenant that the
	// namespace belongs to. It is the only switch that users set.
	LabelTenant = "egress.scw/tenant"

	// LabelInject on a pod, or on a namespace for its pods without the label, turns
	// injection off with the value "false". The NetworkPolicy applies nevertheless.
	LabelInject = "egress.scw/inject"
)
