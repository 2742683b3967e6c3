{{/* Options of the operator, by the name of their environment variable. What can be given more than once is separated by spaces. */}}
{{- define "squall.options" -}}
SQUALL_RUNNER_IMAGE: {{ include "squall.image" (dict "root" . "image" .Values.images.runner) | quote }}
SQUALL_RUNNER_EVM_IMAGE: {{ include "squall.image" (dict "root" . "image" .Values.images.runnerEvm) | quote }}
{{- with .Values.images.pullPolicy }}
SQUALL_RUNNER_PULL_POLICY: {{ . }}
{{- end }}
SQUALL_RUNNER_CPU: {{ .Values.runner.cpu | quote }}
SQUALL_RUNNER_MEMORY: {{ .Values.runner.memory | quote }}
{{- with .Values.runner.pullSecrets }}
SQUALL_RUNNER_PULL_SECRET: {{ join " " . | quote }}
{{- end }}
{{- with .Values.runner.logLevel }}
SQUALL_RUNNER_LOG_LEVEL: {{ . }}
{{- end }}
{{- with .Values.operator }}
SQUALL_ALLOW_HOST_NETWORK: {{ .allowHostNetwork | quote }}
{{- with .prometheusUrl }}
SQUALL_PROMETHEUS_URL: {{ . | quote }}
{{- end }}
SQUALL_START_DEADLINE: {{ .startDeadline | quote }}
SQUALL_SCHEDULE_DEADLINE: {{ .scheduleDeadline | quote }}
SQUALL_LOG_LEVEL: {{ .logLevel }}
SQUALL_LOG_FORMAT: {{ .logFormat }}
{{- end }}
{{- end }}

{{/* The hubs as operator and runners reach them, separated by spaces. */}}
{{- define "squall.hub.urls" -}}
{{- $scheme := ternary "https" "http" .Values.hub.tls.enabled -}}
{{- $urls := list -}}
{{- range until (int .Values.hub.replicas) -}}
{{- $urls = append $urls (printf "%s://%s.$(SQUALL_LEASE_NAMESPACE).svc:4180" $scheme (include "squall.hub.service" .)) -}}
{{- end -}}
{{- join " " $urls -}}
{{- end }}
