{{/* Options of pushing, by the name of their environment variable. Takes `hub.remoteWrite`. */}}
{{- define "squall.remoteWrite" -}}
{{- range $name, $value := omit . "secret" "labels" -}}
{{- if ne (toString $value) "" }}
{{- /* Helm has all numbers as floats, and would write a million as 1e+06. */}}
SQUALL_REMOTE_WRITE_{{ snakecase $name | upper }}: {{ kindIs "string" $value | ternary $value (int64 $value) | quote }}
{{- end -}}
{{- end -}}
{{- with .labels }}
{{- $pairs := list -}}
{{- range $name, $value := . }}{{ $pairs = append $pairs (printf "%s=%s" $name $value) }}{{ end }}
SQUALL_REMOTE_WRITE_LABELS: {{ join "," $pairs | quote }}
{{- end -}}
{{- end }}

{{/* What a probe asks of the hub. Takes `hub`. */}}
{{- define "squall.hub.healthy" -}}
httpGet: {path: /healthz, port: hub{{ if .tls.enabled }}, scheme: HTTPS{{ end }}}
{{- end }}

{{/* The names that a hub's certificate is for, as a list in YAML. */}}
{{- define "squall.hub.names" -}}
{{- range until (int .Values.hub.replicas) }}
- {{ include "squall.hub.service" . }}.{{ $.Release.Namespace }}.svc
{{- end }}
{{- end }}
