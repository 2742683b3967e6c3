{{/* The name of the ValidatingWebhookConfiguration. There is one operator for a whole cluster, or any number of them for some namespaces. */}}
{{- define "squall.webhook.configuration" -}}
squall{{ if .Values.watchNamespaces }}-{{ .Release.Namespace }}{{ end }}
{{- end }}

{{/* The name of its rights on the cluster. */}}
{{- define "squall.webhook.role" -}}
squall-webhook{{ if .Values.watchNamespaces }}-{{ .Release.Namespace }}{{ end }}
{{- end }}
