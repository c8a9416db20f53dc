"""Lists the namespaces of the cluster that the kubeconfig named by KUBECONFIG points to, or of the context KUBE_CONTEXT."""

import os

from kubernetes import client, config

config.load_kube_config(context=os.environ.get("KUBE_CONTEXT"))
print(" ".join(item.metadata.name for item in client.CoreV1Api().list_namespace().items))
