{{/*
A certificate kept by cert-manager, in the Secret `squall-NAME-tls`; without an issuer, with an authority of its own, which outlives many
certificates: renewing one changes nothing of what is trusted. Takes a dict: root, name, component, names, issuerRef.
*/}}
{{- define "squall.certificate" -}}
{{- $metadata := include "squall.metadata" . -}}
{{- $namespace := .root.Release.Namespace -}}
{{- $name := printf "squall-%s" .name -}}
{{- $authority := printf "%s-authority" $name -}}
{{- if not .issuerRef.name }}
apiVersion: cert-manager.io/v1
kind: Issuer
metadata:
  name: {{ $authority }}
  namespace: {{ $namespace | quote }}
  {{- $metadata | nindent 2 }}
spec:
  selfSigned: {}
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata:
  name: {{ $authority }}
  namespace: {{ $namespace | quote }}
  {{- $metadata | nindent 2 }}
spec:
  isCA: true
  commonName: {{ $name }}
  secretName: {{ $authority }}
  duration: 87600h
  privateKey: {algorithm: ECDSA, size: 256}
  issuerRef: {name: {{ $authority }}, kind: Issuer}
---
apiVersion: cert-manager.io/v1
kind: Issuer
metadata:
  name: {{ $name }}
  namespace: {{ $namespace | quote }}
  {{- $metadata | nindent 2 }}
spec:
  ca: {secretName: {{ $authority }}}
---
{{- end }}
apiVersion: cert-manager.io/v1
kind: Certificate
metadata:
  name: {{ $name }}
  namespace: {{ $namespace | quote }}
  {{- $metadata | nindent 2 }}
spec:
  secretName: {{ $name }}-tls
  dnsNames:
    {{- toYaml .names | nindent 4 }}
  privateKey: {algorithm: ECDSA, size: 256}
  issuerRef:
    {{- if .issuerRef.name }}
    {{- toYaml .issuerRef | nindent 4 }}
    {{- else }}
    {name: {{ $name }}, kind: Issuer}
    {{- end }}
---
{{ end }}
