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

{{- /* Labels of the objects that Prometheus selects. */}}
{{- define "egress-webhook.monitoringLabels" -}}
{{ include "egress-webhook.labels" . }}
{{- with .Values.monitoring.labels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* The reference of an image. The context is its values, with a tag or a digest. */}}
{{- define "egress-webhook.reference" -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag }}
{{- end -}}
{{- end }}

{{- define "egress-webhook.image" -}}
{{ include "egress-webhook.reference" (merge (dict "tag" (.Values.image.tag | default .Chart.AppVersion)) .Values.image) }}
{{- end }}

{{- define "egress-webhook.sidecarImage" -}}
{{ include "egress-webhook.reference" (merge (dict "tag" (.Values.sidecar.image.tag | default .Chart.AppVersion)) .Values.sidecar.image) }}
{{- end }}

{{- /* The addresses of the proxy with that of the spare machine, as JSON. */}}
{{- define "egress-webhook.machines" -}}
{{- concat .Values.proxy.addresses (list .Values.proxy.spareAddress | compact) | toJson }}
{{- end }}

{{- /* Whether the proxy accepts sidecars: not empty if it does. */}}
{{- define "egress-webhook.sidecars" -}}
{{- if ne .Values.proxy.identity "Port" }}true{{ end }}
{{- end }}

{{- /* Labels of the pods of the DNS server for tenants with dns Closed. */}}
{{- define "egress-webhook.closedDNSLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}-dns
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- /* The port on which they listen: one that needs no privilege. */}}
{{- define "egress-webhook.closedDNSPort" -}}
1053
{{- end }}

{{- /* The cluster's DNS pods. An empty list stands for the default. */}}
{{- define "egress-webhook.dnsPods" -}}
{{ .Values.dns.pods | default (list (dict "namespace" "kube-system" "podLabels" (dict "k8s-app" "kube-dns"))) | toYaml }}
{{- end }}

{{- /*
Namespaces that cannot belong to a tenant, whatever their label is: a policy
would cut off pods that the cluster or the webhook depends on, and the webhook
would have to answer before its own pods, the issuer of its certificate or the
DNS can start. Kubernetes creates default, kube-public and kube-node-lease, and
every cluster has them in common for all its users.
*/}}
{{- define "egress-webhook.protectedNamespaces" -}}
{{- $namespaces := list "kube-system" "default" "kube-public" "kube-node-lease" .Release.Namespace .Values.certManager.namespace }}
{{- range include "egress-webhook.dnsPods" . | fromYamlArray }}
{{- $namespaces = append $namespaces .namespace }}
{{- end -}}
{{ $namespaces | uniq | toYaml }}
{{- end }}

{{- /* Annotations of the objects that apply the definition before an upgrade. The context is the weight. */}}
{{- define "egress-webhook.definitionHook" -}}
helm.sh/hook: pre-upgrade
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}

{{- /* YAML reads an unquoted off as false. */}}
{{- define "egress-webhook.podSecurity" -}}
{{ .Values.namespaces.podSecurity | default "off" }}
{{- end }}

{{- /* The CIDR of exactly one IP address. */}}
{{- define "egress-webhook.hostCIDR" -}}
{{ . }}/{{ contains ":" . | ternary 128 32 }}
{{- end }}

{{- /* Egress rules of NetworkPolicies of the chart: to the cluster's DNS. */}}
{{- define "egress-webhook.egressToDNS" -}}
# DNS.
{{- range include "egress-webhook.dnsPods" . | fromYamlArray }}
- to:
    - namespaceSelector:
        matchLabels:
          kubernetes.io/metadata.name: {{ .namespace | quote }}
      podSelector:
        matchLabels:
          {{- toYaml .podLabels | nindent 10 }}
  ports:
    {{- range .ports | default (list 53) }}
    - port: {{ . }}
      protocol: UDP
    - port: {{ . }}
      protocol: TCP
    {{- end }}
{{- end }}
{{- with .Values.dns.nodeLocalAddress }}
- to:
    - ipBlock:
        cidr: {{ include "egress-webhook.hostCIDR" . }}
  ports:
    - port: 53
      protocol: UDP
    - port: 53
      protocol: TCP
{{- end }}
{{- end }}

{{- /*
The settings file of the webhook. It has the names of the values, so that the
path of an error in the file is the path of the value. Other programs read it
from the ConfigMap.
*/}}
{{- define "egress-webhook.settings" -}}
{{- $dns := dict
  "pods" (include "egress-webhook.dnsPods" . | fromYamlArray)
  "nodeLocalAddress" .Values.dns.nodeLocalAddress }}
{{- with .Values.dns.closed.address }}
{{- $_ := set $dns "closed" (dict
  "address" .
  "pods" (dict
    "namespace" $.Release.Namespace
    "podLabels" (include "egress-webhook.closedDNSLabels" $ | fromYaml)
    "ports" (list (include "egress-webhook.closedDNSPort" $ | int)))) }}
{{- end }}
{{- dict
  "apiVersion" "egress.scw/v1alpha1"
  "kind" "WebhookSettings"
  "proxy" .Values.proxy
  "cluster" .Values.cluster
  "dns" $dns
  "sidecar" (dict "image" (include "egress-webhook.sidecarImage" .))
  "protectedNamespaces" (include "egress-webhook.protectedNamespaces" . | fromYamlArray)
  "namespaces" (dict "podSecurity" (include "egress-webhook.podSecurity" .))
  "admission" (dict "bindAddress" ":9443" "certDir" "/etc/egress-webhook/tls")
  "metrics" (dict "bindAddress" ":8080")
  "probes" (dict "bindAddress" ":8081")
  "leaderElection" (dict "enabled" true "namespace" .Release.Namespace)
  "memoryLimit" (dig "limits" "memory" "" (.Values.resources | default dict) | toString)
  "logLevel" .Values.logLevel
  | toYaml }}
{{- end }}

{{- /*
The namespaces of tenants, for a guard. A namespace's own labels cannot be
guarded with it: for a Namespace, the API server compares the new labels, and
an update that removes the label would not match.
*/}}
{{- define "egress-webhook.tenantNamespaces" -}}
matchExpressions:
  - key: egress.scw/tenant
    operator: Exists
  - key: kubernetes.io/metadata.name
    operator: NotIn
    values:
      {{- include "egress-webhook.protectedNamespaces" . | nindent 6 }}
{{- end }}

{{- /*
The requests that no guard refuses. namespaceObject must not be used here: it is
always null in matchConditions, and with failurePolicy Fail the error would
refuse every matched request in the cluster.
*/}}
{{- define "egress-webhook.guardConditions" -}}
- name: not-by-the-platform
  expression: "!authorizer.group('egress.scw').resource('egresstenants').check('enforce').allowed()"
{{ include "egress-webhook.notByTheNamespaceController" . }}
{{- end }}

{{- /*
Without this condition, a namespace that is deleted would stay in Terminating. The
second name is that of a control plane without --use-service-account-credentials.
*/}}
{{- define "egress-webhook.notByTheNamespaceController" -}}
- name: not-by-the-namespace-controller
  expression: "!(request.userInfo.username in ['system:serviceaccount:kube-system:namespace-controller', 'system:kube-controller-manager'])"
{{- end }}

{{- /*
Whether an update takes the finalizer off that keeps a NetworkPolicy until the pods of a
deleted namespace have ended. An expression of CEL.
*/}}
{{- define "egress-webhook.takesFinalizer" -}}
'egress.scw/pods' in oldObject.metadata.?finalizers.orValue([]) && !('egress.scw/pods' in object.metadata.?finalizers.orValue([]))
{{- end }}

{{- /*
Whether the API server deletes the NetworkPolicy of a namespace before its pods, or
in any order: not empty before Kubernetes 1.33.
*/}}
{{- define "egress-webhook.unorderedDeletion" -}}
{{- if semverCompare "<1.33.0-0" .Capabilities.KubeVersion.Version }}true{{ end }}
{{- end }}

{{- /* The binding of a guard, which has the guard's name. */}}
{{- define "egress-webhook.guardBinding" -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ .name }}
  labels:
    {{- include "egress-webhook.labels" .chart | nindent 4 }}
spec:
  policyName: {{ .name }}
  validationActions: [Deny]
{{- end }}

{{- /*
The namespaces that get the tenant label, or another one, for a webhook of
namespaces. Others never depend on it. A namespace's own labels are compared, of
which the API server takes the new ones, and for objectSelector the old ones too.
*/}}
{{- define "egress-webhook.joiningNamespaces" -}}
objectSelector:
  matchExpressions:
    - key: egress.scw/tenant
      operator: Exists
namespaceSelector:
  matchExpressions:
    - key: kubernetes.io/metadata.name
      operator: NotIn
      values:
        {{- include "egress-webhook.protectedNamespaces" . | nindent 8 }}
matchConditions:
  - name: gets-tenant
    expression: >-
      object.metadata.?labels[?'egress.scw/tenant'].hasValue() &&
      (oldObject == null || object.metadata.?labels[?'egress.scw/tenant'] != oldObject.metadata.?labels[?'egress.scw/tenant'])
{{- end }}
