"""What others would build with the same detectors, to be measured beside ztad.

Programs apart: `ztad bench --peers` starts them, nothing of ztad imports them, and they run with
packages of their own (`requirements/peers.txt`, below `build/peers/`). They keep to what services
of their kind do: no history, no reasons, no store. Alone among what is here they load pickles
(joblib, as the first of them always did), which `peers.training` has just written.
"""
