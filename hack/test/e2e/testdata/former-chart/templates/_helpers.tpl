{{- /*
Every object is named after the chart, not after the release: a cluster has one
egress-webhook. Helm refuses a second release because the objects already have
an owner. Two releases would inject twice and overwrite each other's
NetworkPolicies.
*/}}

{{- define "egress-webhook.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "egress-webhook.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "egress-webhook.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: webhook
app.kubernetes.io/part-of: egress.scw
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "egress-webhook.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end }}

{{- /*
The default is not in values.yaml, because Helm merges maps: the DNS pods would
need the default label in addition to the labels in the values.
*/}}
{{- define "egress-webhook.dnsPodLabels" -}}
{{ .Values.dns.podLabels | default (dict "k8s-app" "kube-dns") | toYaml }}
{{- end }}

{{- /*
Namespaces that cannot belong to a tenant, whatever their label is: a policy
would cut off pods that the cluster or the webhook depends on, and the webhook
would have to answer before its own pods, the issuer of its certificate or the
DNS can start.
*/}}
{{- define "egress-webhook.protectedNamespaces" -}}
{{ list "kube-system" .Release.Namespace .Values.certManager.namespace .Values.dns.namespace | uniq | toYaml }}
{{- end }}

{{- /* The CIDR of exactly one IP address. */}}
{{- define "egress-webhook.hostCIDR" -}}
{{ . }}/{{ contains ":" . | ternary 128 32 }}
{{- end }}

{{- /*
The settings file of the webhook. It has the names of the values, so that the
path of an error in the file is the path of the value. Other programs read it
from the ConfigMap.
*/}}
{{- define "egress-webhook.settings" -}}
{{ dict
  "apiVersion" "egress.scw/v1alpha1"
  "kind" "WebhookSettings"
  "proxy" .Values.proxy
  "cluster" .Values.cluster
  "dns" (dict
    "pods" (list (dict "namespace" .Values.dns.namespace "podLabels" (include "egress-webhook.dnsPodLabels" . | fromYaml)))
    "nodeLocalAddress" .Values.dns.nodeLocalAddress)
  "protectedNamespaces" (include "egress-webhook.protectedNamespaces" . | fromYamlArray)
  "admission" (dict "bindAddress" ":9443" "certDir" "/etc/egress-webhook/tls")
  "metrics" (dict "bindAddress" ":8080")
  "probes" (dict "bindAddress" ":8081")
  "leaderElection" (dict "enabled" true "namespace" .Release.Namespace)
  "logLevel" .Values.logLevel
  | toYaml }}
{{- end }}
