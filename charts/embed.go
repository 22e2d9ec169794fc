// Package charts embeds the files of the charts, for Go code that installs them.
package charts

import "embed"

// EgressTenantCRD is the CustomResourceDefinition of EgressTenant in the chart,
// in YAML. Helm never upgrades the files in a chart's crds/, so the webhook's
// leader applies the definition when it starts.
//
//go:embed egress-webhook/crds/egress.scw_egresstenants.yaml
var EgressTenantCRD []byte

// EgressWebhook is the chart itself, in a folder of its name. Tests of other
// modules that read this variable, and not the files, are run again when the
// chart changes: Go's test cache does not see files of other modules.
//
//go:embed all:egress-webhook
var EgressWebhook embed.FS
