"""Lists the namespaces of the cluster that the kubeconfig named by KUBECONFIG points to."""

from kubernetes import client, config

config.load_kube_config()
print(" ".join(item.metadata.name for item in client.CoreV1Api().list_namespace().items))
