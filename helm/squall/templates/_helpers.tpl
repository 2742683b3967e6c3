{{/*
What several templates say. Names are fixed, and the same as with `kubectl apply -k`: a namespace has one Squall, and Helm itself refuses
to put a second one beside it.
*/}}

{{/* What an object's pods are selected by. Takes the component. */}}
{{- define "squall.selector" -}}
app.kubernetes.io/name: squall
app.kubernetes.io/component: {{ . }}
{{- end }}

{{/* Labels and annotations of an object. Takes a dict: root; component, for what belongs to one; labels and annotations, for more. */}}
{{- define "squall.metadata" -}}
{{- $root := .root -}}
{{- $labels := dict
  "app.kubernetes.io/name" "squall"
  "app.kubernetes.io/instance" $root.Release.Name
  "app.kubernetes.io/version" $root.Chart.AppVersion
  "app.kubernetes.io/managed-by" $root.Release.Service
  "helm.sh/chart" (printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_")
-}}
{{- with .component }}{{ $_ := set $labels "app.kubernetes.io/component" . }}{{ end -}}
labels:
  {{- toYaml (merge $labels (.labels | default dict) $root.Values.commonLabels) | nindent 2 }}
{{- with merge (dict) (.annotations | default dict) $root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Labels of the pods of a workload. Takes a dict: component, and the workload's part of the values. */}}
{{- define "squall.podLabels" -}}
{{- toYaml (merge (include "squall.selector" .component | fromYaml) .part.podLabels) }}
{{- end }}

{{/* The name of an image. Takes a dict: root, and the image as the values have it. */}}
{{- define "squall.image" -}}
{{- with .root.Values.images.registry }}{{ trimSuffix "/" . }}/{{ end -}}
{{- .image.repository -}}
{{- if .image.digest }}@{{ .image.digest }}{{ else }}:{{ .image.tag | default .root.Chart.AppVersion }}{{ end -}}
{{- end }}

{{/* Who an object of the operator is for: the subject of its bindings. */}}
{{- define "squall.operator.subjects" -}}
- {kind: ServiceAccount, name: {{ .Values.operator.serviceAccount.name | quote }}, namespace: {{ .Release.Namespace | quote }}}
{{- end }}

{{- define "squall.key.secret" -}}
{{- .Values.key.existingSecret | default "squall-key" -}}
{{- end }}

{{- define "squall.hub.tls.secret" -}}
{{- .Values.hub.tls.existingSecret | default "squall-hub-tls" -}}
{{- end }}

{{/* The Service of a hub, by its number. The first one's name stays when there are more. */}}
{{- define "squall.hub.service" -}}
squall-hub{{ if int . }}-{{ . }}{{ end }}
{{- end }}

{{/*
Whether the cluster can be asked (yes, or nothing). A list is never empty there, not even of a namespace that is still to be made; where there
is nobody to ask, it is.
*/}}
{{- define "squall.asks" -}}
{{- if hasKey (lookup "v1" "Secret" .Release.Namespace "") "items" }}yes{{ end -}}
{{- end }}

{{/* Pull secrets, placement and what else pods of both workloads have. Takes a dict: root, and the workload's part of the values. */}}
{{- define "squall.pod" -}}
{{- with .root.Values.images.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
{{- with .part.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .part.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .part.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .part.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- $selector := dict "matchLabels" (include "squall.selector" .component | fromYaml) }}
{{- with .part.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- range . }}
  - {{- toYaml (hasKey . "labelSelector" | ternary . (set (deepCopy .) "labelSelector" $selector)) | nindent 4 }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Where DNS is answered, as an egress rule. Takes `networkPolicy`. */}}
{{- define "squall.dns" -}}
- ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]
  to:
    {{- toYaml .dns | nindent 4 }}
{{- end }}
