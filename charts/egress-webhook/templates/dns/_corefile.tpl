{{- /*
The configuration of the DNS server for tenants with dns Closed. Each name belongs to
the block of the longest zone. Targets of Services of type ExternalName are resolved by
these blocks too, so that such a Service leads to no other server.
*/}}
{{- define "egress-webhook.corefile" -}}
{{- $port := include "egress-webhook.closedDNSPort" . }}
{{- $zones := list .Values.cluster.domain "in-addr.arpa" "ip6.arpa" }}
{{- range $i, $forward := .Values.dns.closed.forward }}
{{- if has .zone $zones }}
{{- fail (printf "dns.closed.forward[%d].zone: %s is answered already: list each zone once, and none of the cluster's own (%s, in-addr.arpa, ip6.arpa)" $i .zone $.Values.cluster.domain) }}
{{- end }}
{{- $zones = append $zones .zone }}
{{- end -}}
{{ .Values.cluster.domain }}:{{ $port }} in-addr.arpa:{{ $port }} ip6.arpa:{{ $port }} {
    errors
    health :8080 {
        lameduck 5s
    }
    ready :8181
    cache 30
    kubernetes {{ .Values.cluster.domain }} in-addr.arpa ip6.arpa {
        pods insecure
    }
}
{{- range .Values.dns.closed.forward }}
{{ .zone }}:{{ $port }} {
    errors
    cache 30
    forward . {{ range .servers }}{{ contains ":" . | ternary (printf "[%s]" .) . }} {{ end }}
}
{{- end }}
.:{{ $port }} {
    errors
    # All other names do not exist. No answer would make clients ask again, and wait.
    file /etc/coredns/root.zone .
}
{{- end }}
