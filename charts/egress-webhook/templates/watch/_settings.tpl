{{- define "egress-webhook.watchLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}-watch
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "egress-webhook.watchImage" -}}
{{ include "egress-webhook.reference" (merge (dict "tag" (.Values.watch.image.tag | default .Chart.AppVersion)) .Values.watch.image) }}
{{- end }}

{{- /* The volume with egress.yaml: of exactly one of a ConfigMap and a Secret. */}}
{{- define "egress-webhook.watchConfig" -}}
{{- $config := .Values.watch.config }}
{{- if eq (empty $config.configMap) (empty $config.secret) }}
{{- fail "watch.config: set either configMap or secret: the name of the object with egress.yaml" }}
{{- end }}
{{- if $config.configMap -}}
configMap:
  name: {{ $config.configMap | quote }}
  items: [{key: {{ $config.key | quote }}, path: egress.yaml}]
{{- else -}}
secret:
  secretName: {{ $config.secret | quote }}
  defaultMode: 0440
  items: [{key: {{ $config.key | quote }}, path: egress.yaml}]
{{- end }}
{{- end }}
