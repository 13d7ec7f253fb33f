"""What ``make k8s-check`` looks at before a cluster does: every overlay, rendered, whole."""
