#!/bin/bash
# preStop of a Ray worker: Serve starts its replicas elsewhere and stops sending work here, then Ray
# ends. Kubernetes takes the pod out of its Services at the same time.
set -u
address="${RAY_ADDRESS:?}"

# Empty when Ray itself took the node out before, as when the cluster scales down.
node=$(timeout 20 python -c '
import os
from ray.util.state import list_nodes

mine = [("node_ip", "=", os.environ["POD_IP"]), ("state", "=", "ALIVE")]
print("".join(node.node_id for node in list_nodes(filters=mine)[:1]))
')
if [ -n "$node" ]; then
  timeout 20 ray drain-node --address="$address" --node-id="$node" \
    --reason=DRAIN_NODE_REASON_PREEMPTION --reason-message="the pod is being ended" \
    --deadline-remaining-seconds=60 && sleep "${ZTAD_DRAIN_S:-45}"
fi
timeout 15 ray stop --grace-period 10
exit 0
