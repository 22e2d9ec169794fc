// Package charts gives Go code the files of the charts that it installs itself.
package charts

import "embed"

// EgressTenantCRD is the CustomResourceDefinition of the EgressTenant, in YAML,
// as the chart installs it. Helm never upgrades what stands in a chart's crds/,
// so the webhook's leader applies it again at its start.
//
//go:embed egress-webhook/crds/egress.scw_egresstenants.yaml
var EgressTenantCRD []byte

// EgressWebhook is the chart itself, below the folder of its name. Whoever
// reads it from here rather than from the disk also gets Go's test cache right,
// which does not see files of other modules.
//
//go:embed all:egress-webhook
var EgressWebhook embed.FS
